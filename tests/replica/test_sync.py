"""A replica gets the local files it lacks: all of them, in order, once, whatever fails meanwhile.

Bugs planted to try these tests: the position moved before the upload, a batch that ends one file early, a name written
over, the position asked for at each sync, the monitor that stops at the first failure.
"""

import io
import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient, RetryPolicy
from replication.errors import (
    ConflictError,
    DBNotReadyError,
    DeniedError,
    LTXMissingError,
    PositionError,
    UnavailableError,
)
from replication.position import TXID, Pos
from replication.replica import Replica
from tests.support.faulty_client import FaultyClient
from tests.support.local_database import LocalStandIn
from tests.support.ltx_files import make_file, make_header
from tests.support.primary import masked

ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"
TIMEOUT_S = 20.0


def no_pause(client: ReplicaClient, attempts: int = 1) -> RetryingClient:
    return RetryingClient(client, RetryPolicy(max_attempts=attempts, sleep=lambda _seconds: None))


def write(db: LocalStandIn, count: int) -> None:
    if not db.pos().txid:
        db.commit(ITEM)
        count -= 1
    for _ in range(count):
        txid = db.pos().txid
        db.commit(f"INSERT OR REPLACE INTO item VALUES ({txid % 5}, noise({txid}, 700))")


def uploads(client: FaultyClient) -> list[int]:
    return [call.min_txid for call in client.calls if call.method == "write_ltx_file"]


def held(client: ReplicaClient) -> list[int]:
    return [info.max_txid for info in client.ltx_files(0)]


def same_files(db: LocalStandIn, client: ReplicaClient) -> bool:
    return [db.client.read_ltx(info) for info in db.client.ltx_files(0)] == [
        client.read_ltx(info) for info in client.ltx_files(0)
    ]


def test_a_sync_uploads_what_the_replica_lacks_in_order(db: LocalStandIn, tmp_path: Path) -> None:
    write(db, 4)
    client = FaultyClient(FileReplicaClient(tmp_path / "replica"))
    replica = Replica(db, client)
    assert replica.pos() == Pos()
    assert replica.sync() == replica.pos() == Pos(TXID(4))
    write(db, 3)
    assert replica.sync().txid == 7
    assert uploads(client) == [1, 2, 3, 4, 5, 6, 7]
    assert same_files(db, client)
    result = replica.restore(tmp_path / "out.db", integrity_check="full")
    assert result.txid == 7
    assert masked((tmp_path / "out.db").read_bytes()) == masked(db.images[7].data)


def test_a_sync_without_news_asks_nothing(db: LocalStandIn) -> None:
    write(db, 2)
    client = FaultyClient(MemoryReplicaClient())
    replica = Replica(db, client)
    replica.sync()
    client.clear_calls()
    for _ in range(3):
        assert replica.sync().txid == 2
    assert client.calls == []


def test_a_sync_with_news_costs_the_uploads_and_nothing_more(db: LocalStandIn) -> None:
    write(db, 2)
    client = FaultyClient(MemoryReplicaClient())
    replica = Replica(db, client)
    replica.sync()
    client.clear_calls()
    write(db, 3)
    replica.sync()
    assert [call.method for call in client.calls] == ["write_ltx_file"] * 3


def test_a_new_process_goes_on_after_what_is_there(db: LocalStandIn) -> None:
    write(db, 3)
    client = FaultyClient(MemoryReplicaClient())
    Replica(db, client).sync()
    write(db, 2)
    for txid in (1, 2):
        db.ltx_path(0, TXID(txid), TXID(txid)).unlink()  # not needed any more
    client.clear_calls()
    assert Replica(db, client).sync().txid == 5
    assert uploads(client) == [4, 5]


def test_each_replica_has_a_position_of_its_own(db: LocalStandIn) -> None:
    write(db, 3)
    clients = [FaultyClient(MemoryReplicaClient()) for _ in range(3)]
    replicas = [Replica(db, client) for client in clients]
    replicas[0].sync()
    write(db, 2)
    replicas[1].sync()
    assert [replica.pos().txid for replica in replicas] == [3, 5, 0]
    for replica in replicas:
        replica.sync()
    assert all(same_files(db, client) for client in clients)


def test_a_database_without_a_position_is_not_ready(db: LocalStandIn) -> None:
    client = FaultyClient(MemoryReplicaClient())
    with pytest.raises(DBNotReadyError):
        Replica(db, client).sync()
    assert client.calls == []


def test_a_failed_upload_is_made_up_for_by_the_next_sync(db: LocalStandIn) -> None:
    write(db, 5)
    client = FaultyClient(MemoryReplicaClient())
    replica = Replica(db, no_pause(client))
    client.fail("write_ltx_file", UnavailableError("down"), after=2)
    with pytest.raises(UnavailableError):
        replica.sync()
    assert replica.pos().txid == 2
    assert held(client) == [1, 2]
    assert replica.sync().txid == 5
    assert uploads(client) == [1, 2, 3, 3, 4, 5]


class LostAnswerClient(FaultyClient):
    """Stores some files and fails all the same, as when an answer is lost."""

    def __init__(self, inner: ReplicaClient, chance: Callable[[], float]) -> None:
        super().__init__(inner)
        self._chance = chance
        self.stored: list[int] = []

    def write_ltx_file(self, level, min_txid, max_txid, reader, **options):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN201
        kind = self._chance()
        if kind < 0.2:
            msg = "no answer, nothing stored"
            raise UnavailableError(msg)
        info = super().write_ltx_file(level, min_txid, max_txid, reader, **options)
        self.stored.append(min_txid)
        if kind < 0.4:
            msg = "stored, and the answer lost"
            raise UnavailableError(msg)
        return info


@given(st.integers(0, 2**32), st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(1, 3))
@settings(max_examples=25)
def test_with_failures_at_random_everything_arrives_in_order_and_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int, commits: list[int], attempts: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - faults, not a secret
    with LocalStandIn(tmp_path_factory.mktemp("local")) as db:
        client = LostAnswerClient(MemoryReplicaClient(), chance.random)
        replica = Replica(db, no_pause(client, attempts))
        write(db, 1)
        for count in commits:
            write(db, count)
            if chance.random() < 0.3:
                replica = Replica(db, no_pause(client, attempts))  # a new process
            sync_until(replica, db, client, tries=1)
        sync_until(replica, db, client, tries=500)
        assert replica.pos() == db.pos()
        assert same_files(db, client)
        in_order = list(dict.fromkeys(client.stored))
        assert in_order == list(range(1, db.pos().txid + 1))
        if attempts == 1:  # else the retry of one call stores the same bytes again, which no one can tell
            assert client.stored == in_order


def sync_until(replica: Replica, db: LocalStandIn, client: ReplicaClient, tries: int) -> None:
    for _ in range(tries):
        try:
            replica.sync()
        except UnavailableError:
            assert held(client) == list(range(1, len(held(client)) + 1)), "no gap at any time"
            assert replica.pos().txid <= len(held(client))
        else:
            assert replica.pos() == db.pos()
            return


def foreign_file(txid: int) -> io.BytesIO:
    return io.BytesIO(make_file(make_header(txid, commit=1), {1: b"\1" * 512}))


def test_a_name_with_other_content_stops_us_and_is_not_written_over(db: LocalStandIn) -> None:
    write(db, 2)
    client = FaultyClient(MemoryReplicaClient())
    replica = Replica(db, client)
    replica.sync()
    write(db, 3)
    client.write_ltx_file(0, TXID(4), TXID(4), foreign_file(4))
    data = client.inner.read_ltx(next(client.ltx_files(0, TXID(4))))
    for _ in range(2):
        with pytest.raises(ConflictError, match=r"level-0 file 0{15}4-0{15}4 has other content"):
            replica.sync()
    assert held(client) == [1, 2, 3, 4]
    assert client.inner.read_ltx(next(client.ltx_files(0, TXID(4)))) == data
    assert replica.pos().txid == 3


def test_the_newest_file_is_compared_when_the_position_is_asked_for(db: LocalStandIn) -> None:
    write(db, 3)
    client = MemoryReplicaClient()
    client.write_ltx_file(0, TXID(3), TXID(3), foreign_file(3))
    with pytest.raises(ConflictError):
        Replica(db, client).sync()


def test_what_is_there_already_with_our_content_counts_as_uploaded(db: LocalStandIn) -> None:
    write(db, 3)
    client = FaultyClient(MemoryReplicaClient())
    replica = Replica(db, client)
    replica.sync()
    client.clear_calls()
    identities = [info.identity for info in client.ltx_files(0)]
    replica.set_pos(Pos(TXID(1)))
    assert replica.sync().txid == 3
    assert [info.identity for info in client.ltx_files(0)] == identities


def test_a_replica_ahead_of_the_database_is_an_error(db: LocalStandIn) -> None:
    write(db, 2)
    client = MemoryReplicaClient()
    client.write_ltx_file(0, TXID(7), TXID(7), foreign_file(7))
    with pytest.raises(PositionError, match="ahead of") as caught:
        Replica(db, client).sync()
    assert (caught.value.expected, caught.value.actual) == (2, 7)


def test_a_missing_local_file_says_what_to_do(db: LocalStandIn) -> None:
    write(db, 3)
    db.ltx_path(0, TXID(2), TXID(2)).unlink()
    client = MemoryReplicaClient()
    replica = Replica(db, client)
    with pytest.raises(LTXMissingError, match="reset the local state"):
        replica.sync()
    assert held(client) == [1]


def test_where_level_0_was_emptied_the_other_levels_say_the_position(db: LocalStandIn) -> None:
    write(db, 5)
    client = MemoryReplicaClient()
    client.write_ltx_file(1, TXID(1), TXID(3), io.BytesIO(make_file(make_header(1, 3, commit=1), {1: bytes(512)})))
    replica = Replica(db, client)
    replica.sync()
    assert held(client) == [4, 5]


def test_one_sync_runs_at_a_time(db: LocalStandIn) -> None:
    write(db, 3)
    client = FaultyClient(MemoryReplicaClient())
    replica = Replica(db, client)
    gate = client.hold("write_ltx_file", after=1)
    threads = [threading.Thread(target=replica.sync) for _ in range(3)]
    for thread in threads:
        thread.start()
    gate.wait_until_reached()
    write(db, 2)
    gate.release()
    for thread in threads:
        thread.join(TIMEOUT_S)
    replica.sync()
    assert uploads(client) == [1, 2, 3, 4, 5]


def test_a_sync_that_was_overtaken_by_another_is_no_replica_ahead(
    db: LocalStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = Replica(db, MemoryReplicaClient())
    write(db, 2)
    pos, others = db.pos, list[threading.Thread]()

    def pos_of_before() -> Pos:
        found = pos()
        if not others:
            others.append(threading.Thread(target=replica.sync))
            write(db, 1)
            others[0].start()
            others[0].join(0.3)  # longer where it has to wait for us
        return found

    monkeypatch.setattr(db, "pos", pos_of_before)
    replica.sync()
    others[0].join()
    assert replica.pos().txid == 3


def test_a_denied_upload_is_said_at_once(db: LocalStandIn) -> None:
    write(db, 1)
    client = FaultyClient(MemoryReplicaClient())
    client.fail("write_ltx_file", DeniedError("s3:PutObject"))
    with pytest.raises(DeniedError):
        Replica(db, client).sync()
    assert uploads(client) == [1]


def test_nothing_is_logged_by_a_sync_that_works(db: LocalStandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write(db, 2)
    Replica(db, MemoryReplicaClient()).sync()
    assert caplog.records == []


@pytest.mark.parametrize("written", [0, 2])
def test_a_replica_whose_beginning_was_deleted_gets_a_snapshot(
    db: LocalStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture, written: int
) -> None:
    write(db, 3)
    client = FileReplicaClient(tmp_path / "replica")
    first = Replica(db, client)
    first.sync()
    client.delete_ltx_files(list(client.ltx_files(0)))  # as somebody does who believes that nobody writes there
    write(db, 2)
    first.sync()
    assert held(client) == [4, 5]  # it asks for nothing while the lease is its own
    first.stop()
    write(db, written)
    for replica in (Replica(db, client), Replica(db, client)):  # the second finds nothing to do
        assert replica.sync().txid == 5 + written
        replica.stop()
    assert Replica(db, client).restore(tmp_path / "out.db").txid == 5 + written
    assert masked((tmp_path / "out.db").read_bytes()) == masked(db.images[5 + written].data)
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"{db.path}: no file of the replica begins with TXID 1, uploading a snapshot"]
