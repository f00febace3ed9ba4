"""Compacting a replica changes how it is stored, never what it restores to.

Method: a simulated primary whose state at each TXID is known; after any series of commits, compactions and snapshots
every TXID that a file ends at is restored, and every file of every level is decoded.
Bugs planted to try these tests: the snapshot written after the level, a level that starts with the whole database, the
local file of another size taken, the output uploaded unverified.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication import compaction_plan
from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.wrapper import WrapperClient
from replication.compaction import check_due, compact_level, newest_file, write_snapshot
from replication.compaction_levels import CompactionLevel
from replication.errors import (
    ChecksumMismatchError,
    CompactionTooEarlyError,
    CorruptError,
    DBNotReadyError,
    LTXError,
    LTXMissingError,
    NoCompactionError,
    PositionError,
    UnavailableError,
    UsageError,
)
from replication.local import open_local
from replication.ltx.decoder import decode_file
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE
from replication.position import NO_TXID, TXID
from replication.restore.points import restore_points
from replication.restore.source import list_levels
from tests.support.faulty_client import FaultyClient
from tests.support.local_database import LocalStandIn
from tests.support.primary import Primary, masked
from tests.support.restoring import PageReplica, restore_to

ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"


def insert(number: int) -> str:
    return f"INSERT OR REPLACE INTO item VALUES ({number % 7}, noise({number}, {300 + 211 * (number % 5)}))"


def ranges(client: ReplicaClient, level: int) -> list[tuple[int, int]]:
    return [(info.min_txid, info.max_txid) for info in client.ltx_files(level)]


def check_every_point(primary: Primary, output: Path) -> list[int]:
    """Restore every TXID that a file ends at, and check every file; return the TXIDs."""
    client = primary.client
    listing = list_levels(client)
    for infos in listing.values():
        for info in infos:
            header = decode_file(client.read_ltx(info)).header
            assert (header.min_txid, header.max_txid) == (info.min_txid, info.max_txid)
    points = [point.txid for point in restore_points(listing)]
    for txid in points:
        output.unlink(missing_ok=True)
        restore_to(client, output, txid=txid)
        assert masked(output.read_bytes()) == masked(primary.images[txid].data), txid
    return [int(txid) for txid in points]


@pytest.fixture
def primary() -> Iterator[Primary]:
    with Primary(MemoryReplicaClient()) as primary:
        primary.commit(ITEM)
        for number in range(1, 6):
            primary.commit(insert(number))
        yield primary


@pytest.fixture
def db(tmp_path: Path) -> Iterator[LocalStandIn]:
    with LocalStandIn(tmp_path) as db:
        yield db


@pytest.fixture
def empty() -> Iterator[Primary]:
    with Primary(MemoryReplicaClient()) as primary:
        yield primary


def test_the_first_compaction_copies_the_database_once_and_to_no_level(primary: Primary, tmp_path: Path) -> None:
    client = primary.client
    assert compact_level(client, 1).level == 1
    compact_level(client, 2)
    compact_level(client, 3)
    assert [ranges(client, level) for level in (1, 2, 3, 9)] == [[(2, 6)], [(2, 6)], [(2, 6)], [(1, 1)]]
    first, copy = (next(iter(client.ltx_files(level))) for level in (0, 9))
    assert copy.created_at == first.created_at
    primary.delete(0, 2, 3)
    assert check_every_point(primary, tmp_path / "out.db") == [1, 6]


def test_later_compactions_take_what_is_new_only(primary: Primary, tmp_path: Path) -> None:
    client = primary.client
    first = compact_level(client, 1)
    primary.commit(insert(6))
    primary.commit(insert(7))
    second = compact_level(client, 1, known=first.max_txid)
    assert (second.min_txid, second.max_txid, second.created_at) == (7, 8, primary.instants[8])
    with pytest.raises(NoCompactionError):
        compact_level(client, 1)
    compact_level(client, 2)
    assert ranges(client, 2) == [(2, 8)]
    assert check_every_point(primary, tmp_path / "out.db") == list(range(1, 9))


def test_a_replica_of_one_file_gets_a_snapshot_and_later_a_level(empty: Primary, tmp_path: Path) -> None:
    empty.commit(ITEM)
    assert compact_level(empty.client, 1).level == 9
    with pytest.raises(NoCompactionError):
        compact_level(empty.client, 1)
    empty.commit(insert(1))
    assert compact_level(empty.client, 1).level == 1
    assert check_every_point(empty, tmp_path / "out.db") == [1, 2]


def test_a_level_of_the_real_program_that_starts_with_the_whole_database_is_not_copied_on(
    primary: Primary, tmp_path: Path
) -> None:
    client = primary.client
    primary.compact(1)  # 1-6, as the real program does
    primary.commit(insert(6))
    compact_level(client, 1)
    compact_level(client, 2)
    assert [ranges(client, level) for level in (1, 2, 9)] == [[(1, 6), (7, 7)], [(7, 7)], [(1, 6)]]
    primary.delete(0, 1)
    assert check_every_point(primary, tmp_path / "out.db") == [6, 7]


def test_a_backlog_is_compacted_in_bounded_pieces(
    primary: Primary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction_plan, "MAX_INPUT_FILES", 2)
    written = [compact_level(primary.client, 1) for _ in range(3)]
    assert [(info.min_txid, info.max_txid) for info in written] == [(2, 3), (4, 5), (6, 6)]
    assert check_every_point(primary, tmp_path / "out.db") == list(range(1, 7))


def test_after_a_gap_compaction_goes_on_where_a_snapshot_leads_over_it(primary: Primary, tmp_path: Path) -> None:
    client = primary.client
    compact_level(client, 1)
    for number in range(7, 11):
        primary.commit(insert(number))
    primary.delete(0, keep=[info for info in client.ltx_files(0) if info.max_txid not in {7, 8}])
    with pytest.raises(PositionError) as caught:
        compact_level(client, 1)
    assert (caught.value.expected, caught.value.actual) == (7, 9)
    primary.snapshot(8)
    compact_level(client, 1)
    assert ranges(client, 1) == [(2, 6), (9, 10)]
    primary.delete(0)
    assert check_every_point(primary, tmp_path / "out.db") == [1, 6, 8, 10]


def test_a_changed_page_size_does_not_end_compaction(primary: Primary, tmp_path: Path) -> None:
    primary.commit("PRAGMA page_size = 1024", "VACUUM")
    primary.commit(insert(6))
    assert primary.image.page_size == 1024
    compact_level(primary.client, 1)
    assert ranges(primary.client, 1) == [(2, 8)]
    primary.delete(0)
    restore_to(primary.client, tmp_path / "out.db")
    assert masked((tmp_path / "out.db").read_bytes()) == masked(primary.image.data)


def test_after_a_changed_page_size_a_missing_page_is_an_error() -> None:
    replica = PageReplica()
    replica.add([1, 2, 3], commit=3)
    replica.add([1], commit=3)
    replica.page_size = 1024
    replica.add([1, 2], commit=3)
    with pytest.raises(LTXError, match="expected all 3 pages"):
        compact_level(replica.client, 1)
    assert ranges(replica.client, 1) == []


class CountingLocal:
    """Gives the local files of a stand-in, and counts."""

    def __init__(self, db: LocalStandIn) -> None:
        self._db = db
        self.opened: list[int] = []

    def __call__(self, info: FileInfo) -> BinaryIO | None:
        reader = open_local(self._db, info, position=self._db.pos().txid)
        if reader is not None:
            self.opened.append(info.max_txid)
        return reader


def test_local_files_are_read_instead_of_the_replicas_where_they_are_there_and_the_same(db: LocalStandIn) -> None:
    db.commit(ITEM)
    for number in range(1, 6):
        db.commit(insert(number))
    inner = MemoryReplicaClient()
    for info in db.client.ltx_files(0):
        inner.write_ltx_file(0, info.min_txid, info.max_txid, io.BytesIO(db.client.read_ltx(info)))
    db.ltx_path(0, TXID(3), TXID(3)).unlink()
    db.ltx_path(0, TXID(4), TXID(4)).write_bytes(b"something else")
    client, local = FaultyClient(inner), CountingLocal(db)
    compact_level(client, 1, open_local=local)
    assert local.opened == [1, 2, 5, 6]
    assert [call.min_txid for call in client.calls if call.method == "open_ltx_file"] == [3, 4]
    compact_level(client, 2, open_local=local)
    assert local.opened == [1, 2, 5, 6], "only level 0 is there locally"


def test_a_broken_local_file_of_the_whole_database_never_becomes_a_snapshot(db: LocalStandIn) -> None:
    db.commit(ITEM)
    path = db.ltx_path(0, TXID(1), TXID(1))
    whole = path.read_bytes()
    client = MemoryReplicaClient()
    client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(whole))
    broken = bytearray(whole)
    broken[150] ^= 1
    path.write_bytes(broken)
    with pytest.raises(CorruptError):
        compact_level(client, 1, open_local=partial(open_local, db, position=TXID(1)))
    assert ranges(client, 9) == []
    path.write_bytes(whole)
    compact_level(client, 1, open_local=partial(open_local, db, position=TXID(1)))
    assert client.read_ltx(next(client.ltx_files(9))) == whole


def test_a_broken_input_is_never_compacted(primary: Primary) -> None:
    client = FaultyClient(primary.client)
    client.flip_bit(150, after=3)
    with pytest.raises(CorruptError):
        compact_level(client, 1)
    assert ranges(client, 1) == []
    compact_level(client, 1)
    assert ranges(client, 1) == [(2, 6)]


def test_a_file_under_another_name_is_never_compacted(primary: Primary) -> None:
    client = primary.client
    data = next(client.read_ltx(info) for info in client.ltx_files(0) if info.max_txid == 4)
    client.write_ltx_file(0, TXID(7), TXID(7), io.BytesIO(data))
    with pytest.raises(LTXError, match="TXIDs of the file's name"):
        compact_level(client, 1)
    assert ranges(client, 1) == []


def test_what_is_uploaded_was_read_back_and_verified(primary: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(count: int) -> Callable[..., object]:
        def spoiled(**_options: object) -> io.BytesIO:
            class Spoiled(io.BytesIO):
                def write(self, data: object, /) -> int:
                    bad = bytearray(data)  # type: ignore[call-overload]
                    if len(bad) > count and len(bad) != HEADER_SIZE:
                        bad[count] ^= 1
                    return super().write(bad)

            return Spoiled()

        return spoiled

    monkeypatch.setattr("replication.compaction.SpooledTemporaryFile", spoil(60))
    with pytest.raises((LTXError, ChecksumMismatchError)):
        compact_level(primary.client, 1)
    assert ranges(primary.client, 1) == ranges(primary.client, 9) == []


@pytest.mark.parametrize("fault", ["read_ltx", "write_ltx_file", "ltx_files"])
def test_a_failure_leaves_the_levels_as_they_were_or_one_file_further(
    primary: Primary, tmp_path: Path, fault: str
) -> None:
    client = FaultyClient(primary.client)
    after = 0
    while True:
        client.fail(fault, UnavailableError("down"), after=after)
        try:
            compact_level(client, 1)
        except UnavailableError:
            client.heal()
            assert ranges(client, 1) == []
            assert check_every_point(primary, tmp_path / "out.db") == list(range(1, 7))
            primary.delete(9)
            after += 1
            continue
        break
    client.heal()
    assert after > 1
    assert ranges(client, 1) == [(2, 6)]


def test_a_file_deleted_meanwhile_says_so(primary: Primary) -> None:
    client = FaultyClient(primary.client)
    client.vanish(list(client.ltx_files(0))[3])
    with pytest.raises(LTXMissingError):
        compact_level(client, 1)


def test_a_known_position_saves_listing_the_level_and_the_snapshots(primary: Primary) -> None:
    compact_level(primary.client, 1)
    primary.commit(insert(6))
    client = FaultyClient(primary.client)
    compact_level(client, 1, known=TXID(6))
    assert [(call.level, call.seek) for call in client.calls if call.method == "ltx_files"] == [(1, 7), (0, 7)]


def test_a_known_position_that_is_out_of_date_does_no_harm(primary: Primary) -> None:
    compact_level(primary.client, 1)
    primary.commit(insert(6))
    compact_level(primary.client, 1)
    primary.commit(insert(7))
    assert compact_level(primary.client, 1, known=TXID(6)).min_txid == 8
    newest = newest_file(primary.client, 1, known=TXID(6))
    assert newest is not None
    assert newest.max_txid == 8


@pytest.mark.parametrize("level", [-1, 0, 9, 10])
def test_level_0_and_the_snapshots_are_not_compacted_into(primary: Primary, level: int) -> None:
    with pytest.raises(UsageError):
        compact_level(primary.client, level)


def test_a_level_is_not_compacted_twice_within_an_interval(primary: Primary) -> None:
    level, now = CompactionLevel(1, 30), primary.clock.now()
    newest = primary.instants[6]  # some seconds after the interval began
    info = FileInfo(level=1, min_txid=TXID(2), max_txid=TXID(6), created_at=newest)
    with pytest.raises(CompactionTooEarlyError):
        check_due(level, info, now)
    check_due(level, None, now)
    primary.clock.advance(30)
    check_due(level, info, primary.clock.now())


def test_a_snapshot_holds_the_whole_database_and_is_taken_once_for_each_position(
    db: LocalStandIn, tmp_path: Path
) -> None:
    client = FileReplicaClient(tmp_path / "replica")
    with pytest.raises(DBNotReadyError):
        write_snapshot(client, db)
    db.commit(ITEM)
    db.commit(insert(1))
    info = write_snapshot(client, db)
    assert (info.level, info.min_txid, info.max_txid) == (9, 1, 2)
    with pytest.raises(NoCompactionError):
        write_snapshot(client, db)
    restore_to(client, tmp_path / "out.db")
    assert masked((tmp_path / "out.db").read_bytes()) == masked(db.images[2].data)
    db.commit(insert(2))
    write_snapshot(client, db)
    assert ranges(client, 9) == [(1, 2), (1, 3)]


class ClosingClient(WrapperClient):
    """Remembers the readers it gave."""

    def __init__(self, inner: ReplicaClient) -> None:
        super().__init__(inner)
        self.readers: list[BinaryIO] = []

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        self.readers.append(super().open_ltx_file(level, min_txid, max_txid, offset, size))
        return self.readers[-1]


def test_every_reader_is_closed_whatever_happens(primary: Primary) -> None:
    client = ClosingClient(FaultyClient(primary.client))
    assert isinstance(client.inner, FaultyClient)
    client.inner.flip_bit(150, after=4)
    with pytest.raises(CorruptError):
        compact_level(client, 1)
    compact_level(client, 1)
    assert len(client.readers) > 6
    assert all(reader.closed for reader in client.readers)


STEPS = st.lists(
    st.one_of(
        st.integers(0, 40).map(insert),
        st.sampled_from(["DELETE FROM item", "VACUUM", "full", "snapshot", "compact 1", "compact 2", "compact 3"]),
    ),
    max_size=25,
)


@settings(max_examples=15)
@given(STEPS, STEPS)
def test_any_series_of_steps_keeps_every_restore_point(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], after: list[str]
) -> None:
    with Primary(MemoryReplicaClient()) as primary:
        primary.commit(ITEM)
        position = NO_TXID
        for step in [*before, "compact 1", *after]:
            take(primary, step)
            newest = newest_file(primary.client, 1)
            assert newest is None or newest.max_txid >= position
            position = newest.max_txid if newest else NO_TXID
        points = check_every_point(primary, tmp_path_factory.mktemp("restored") / "out.db")
        assert points == list(range(1, primary.txid + 1)), "level 0 is all there"
        primary.delete(0, keep=[info for info in primary.client.ltx_files(0) if info.max_txid > position])
        rest = check_every_point(primary, tmp_path_factory.mktemp("restored") / "out.db")
        assert rest[-1] == primary.txid
        assert rest[0] == 1


def take(primary: Primary, step: str) -> None:
    if step == "snapshot":
        primary.snapshot()
    elif step == "full":
        primary.replicate(full=True)
    elif step.startswith("compact"):
        with suppress(NoCompactionError):
            compact_level(primary.client, int(step[-1]))
    else:
        primary.commit(step)
