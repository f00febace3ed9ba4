"""The levels of one replica over time: at the right instants, with few requests.

Method: a simulated primary on a clock that the test moves, which its files' times follow.
Bugs planted to try these tests: the newest file forgotten, an idle level listed, two compactions in an interval.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from replication.client.memory import MemoryReplicaClient
from replication.compaction_levels import CompactionLevel
from replication.errors import CompactionTooEarlyError, ConflictError, DBNotReadyError, NoCompactionError
from replication.ltx.decoder import Decoder
from replication.position import TXID
from replication.replica import Replica
from replication.retention import RetentionPolicy
from replication.upkeep import Upkeep
from tests.support.faulty_client import FaultyClient
from tests.support.local_database import LocalStandIn, local_names
from tests.support.ltx_files import make_file

LEVEL_1, LEVEL_2, DAILY = CompactionLevel(1, 30), CompactionLevel(2, 300), CompactionLevel(9, 86_400)


class Kept:
    """A database, its replica and the upkeep of that."""

    def __init__(self, db: LocalStandIn) -> None:
        self.db = db
        self.client = FaultyClient(MemoryReplicaClient())
        self.replica = Replica(db, self.client, clock=db.primary.clock)
        self.upkeep = Upkeep(self.replica, clock=db.primary.clock)

    def write(self, count: int = 1) -> None:
        """Commit, each a second later than the one before, and sync."""
        for _ in range(count):
            txid = self.db.pos().txid
            sql = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"
            self.db.commit(sql if not txid else f"INSERT INTO item VALUES ({txid}, noise({txid}, 200))")
        self.replica.sync()

    def wait(self, seconds: float) -> None:
        self.db.primary.clock.advance(seconds)

    def files(self, level: int) -> list[tuple[int, int]]:
        return [(info.min_txid, info.max_txid) for info in self.client.inner.ltx_files(level)]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with LocalStandIn(tmp_path) as db:
        yield Kept(db)


def test_a_level_is_compacted_once_in_an_interval(kept: Kept) -> None:
    kept.write(3)
    assert kept.upkeep.compact(LEVEL_1).max_txid == 3
    kept.write(3)
    with pytest.raises(CompactionTooEarlyError):
        kept.upkeep.compact(LEVEL_1)
    kept.wait(30)
    assert kept.upkeep.compact(LEVEL_1).max_txid == 6
    assert kept.files(1) == [(2, 3), (4, 6)]


def test_what_was_compacted_is_of_this_interval_even_if_its_transactions_are_of_the_one_before(kept: Kept) -> None:
    kept.write(3)
    kept.wait(30)
    kept.upkeep.compact(LEVEL_1)
    kept.write(1)
    with pytest.raises(CompactionTooEarlyError):
        kept.upkeep.compact(LEVEL_1)


def test_a_restart_does_not_compact_anew(kept: Kept) -> None:
    kept.write(3)
    kept.upkeep.compact(LEVEL_1)
    kept.write(1)
    with pytest.raises(CompactionTooEarlyError):
        Upkeep(kept.replica, clock=kept.db.primary.clock).compact(LEVEL_1)


def test_an_idle_replica_costs_no_request(kept: Kept) -> None:
    kept.write(4)
    for level in (LEVEL_1, LEVEL_2):
        kept.upkeep.compact(level)
    kept.wait(400)
    assert [info.max_txid for info in kept.upkeep.enforce_level_0_retention(RetentionPolicy())] == [1, 2, 3]
    assert local_names(kept.db) == [(4, 4)]
    kept.client.clear_calls()
    for _ in range(3):
        kept.wait(400)
        for level in (LEVEL_1, LEVEL_2):
            with pytest.raises(NoCompactionError):
                kept.upkeep.compact(level)
        assert kept.upkeep.enforce_level_0_retention(RetentionPolicy()) == ()
    assert kept.client.calls == []
    kept.write()
    kept.wait(400)
    assert kept.upkeep.compact(LEVEL_1).max_txid == 5
    kept.wait(400)
    assert [info.max_txid for info in kept.upkeep.enforce_level_0_retention(RetentionPolicy())] == [4]


def test_a_busy_replica_costs_two_listings_for_each_compaction(kept: Kept) -> None:
    kept.write(4)
    kept.upkeep.compact(LEVEL_1)
    kept.wait(30)
    kept.write(2)
    kept.client.clear_calls()
    kept.upkeep.compact(LEVEL_1)
    assert [call.method for call in kept.client.calls] == ["ltx_files", "ltx_files", "write_ltx_file"]


def test_a_backlog_is_worked_off_in_one_call(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication.compaction_plan.MAX_INPUT_FILES", 3)
    kept.write(11)
    assert kept.upkeep.compact(LEVEL_1).max_txid == 11
    assert kept.files(1) == [(2, 4), (5, 7), (8, 10), (11, 11)]


def test_nothing_replicated_is_not_ready(kept: Kept) -> None:
    for level in (LEVEL_1, DAILY):
        with pytest.raises(DBNotReadyError):
            kept.upkeep.compact(level)
    assert kept.client.calls == []
    assert repr(kept.upkeep) == "<Upkeep app.db nothing known>"


def test_the_first_compaction_is_the_first_snapshot(kept: Kept) -> None:
    kept.write(3)
    assert not kept.upkeep.is_behind(DAILY)
    kept.upkeep.compact(LEVEL_1)
    assert not kept.upkeep.is_behind(DAILY)
    kept.write()
    with pytest.raises(CompactionTooEarlyError):
        kept.upkeep.compact(DAILY)
    kept.wait(86_400)
    assert kept.upkeep.is_behind(DAILY)
    assert kept.upkeep.compact(DAILY).max_txid == 4
    assert kept.files(9) == [(1, 1), (1, 4)]
    assert repr(kept.upkeep) == "<Upkeep app.db 1:0000000000000003 9:0000000000000004>"


def let_another_write(kept: Kept, txid: int) -> dict[int, bytes]:
    """Put a file of another writer into level 0 that is as large as ours, and return its pages."""
    decoder = Decoder(io.BytesIO(ours := kept.db.ltx_path(0, TXID(txid), TXID(txid)).read_bytes()))
    pages: dict[int, bytes] = {
        page.pgno: page.data[:-1] + bytes([page.data[-1] ^ 1]) for page in decoder
    }  # the end is not compressed
    theirs = make_file(decoder.header, pages)
    assert len(theirs) == len(ours)
    kept.client.inner.write_ltx_file(0, TXID(txid), TXID(txid), io.BytesIO(theirs))
    return pages


def test_the_replica_gets_what_a_snapshot_is_of_before_the_snapshot(kept: Kept) -> None:
    kept.write(2)
    kept.db.commit("INSERT INTO item VALUES (7, noise(7, 200))")
    kept.client.clear_calls()
    assert kept.upkeep.compact(DAILY).max_txid == 3
    written = [(call.level, call.max_txid) for call in kept.client.calls if call.method == "write_ltx_file"]
    assert written == [(0, 3), (9, 3)]


def test_of_a_database_whose_replica_another_writer_has_no_snapshot_is_taken(kept: Kept) -> None:
    kept.write(2)
    kept.db.commit("INSERT INTO item VALUES (7, noise(7, 200))")
    let_another_write(kept, 3)
    with pytest.raises(ConflictError):
        kept.upkeep.compact(DAILY)
    assert kept.files(9) == []


def test_of_what_another_writer_uploaded_no_local_file_is_taken_for_a_copy(kept: Kept) -> None:
    kept.write(2)
    kept.db.commit("INSERT INTO item VALUES (7, noise(7, 200))")
    theirs = let_another_write(kept, 3)
    kept.upkeep.compact(LEVEL_1)
    (info,) = kept.client.inner.ltx_files(1)
    merged: dict[int, bytes] = {page.pgno: page.data for page in Decoder(io.BytesIO(kept.client.inner.read_ltx(info)))}
    assert {pgno: merged[pgno] for pgno in theirs} == theirs


def test_snapshots_are_kept_for_their_time(kept: Kept) -> None:
    kept.write(3)
    kept.upkeep.compact(LEVEL_1)
    for _ in range(4):
        kept.wait(86_400)
        kept.write(2)
        kept.upkeep.compact(LEVEL_1)
        kept.upkeep.compact(DAILY)
        kept.upkeep.enforce_snapshot_retention(RetentionPolicy())
    assert kept.files(9) == [(1, 9), (1, 11)]
    assert kept.files(1) == [(6, 7), (8, 9), (10, 11)]


def test_without_remote_deletion_local_files_go_all_the_same(kept: Kept) -> None:
    kept.write(4)
    kept.upkeep.compact(LEVEL_1)
    kept.wait(400)
    assert kept.upkeep.enforce_level_0_retention(RetentionPolicy(delete_remote=False)) == ()
    assert local_names(kept.db) == [(4, 4)]
    assert len(kept.files(0)) == 4
