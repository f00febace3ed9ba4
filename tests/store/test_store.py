"""Several databases whose replicas are kept small in the background, while they are written to.

Method: real databases and the real `DB`, levels of tenths of a second; at the end everything is restored.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.compaction_levels import CompactionLevel, CompactionLevels
from replication.db import DB
from replication.errors import CompactionTooEarlyError, UnavailableError, UsageError
from replication.replica import Replica
from replication.restore.points import restore_points
from replication.restore.source import list_levels
from replication.store import Store
from tests.support import litestream_program
from tests.support.faulty_client import FaultyClient
from tests.support.litestream_program import FileReplica
from tests.support.live_db import connect
from tests.support.waiting import wait_until

FAST = CompactionLevels.of(0.1, 0.3)
TIMEOUT_S = 30.0


def replicated(path: Path, client: ReplicaClient) -> DB:
    db = DB(path)
    db.monitor_interval_s = 0.02
    db.replica = Replica(db, client, sync_interval_s=0.02)
    return db


def fast_store(*dbs: DB) -> Store:
    store = Store(dbs, FAST)
    store.l0_retention_s = 0.2
    store.l0_retention_check_interval_s = 0.1
    return store


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    connection = connect(tmp_path / "app.db", page_size=512)
    connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, body)")
    yield connection
    connection.close()


def newest(client: ReplicaClient, level: int) -> int:
    return max((int(info.max_txid) for info in client.ltx_files(level)), default=0)


def newest_row(path: Path) -> object:
    connection = apsw.Connection(str(path))
    try:
        return connection.execute("SELECT max(id), count(*) FROM log").get
    finally:
        connection.close()


@pytest.mark.interop
def test_a_written_database_is_compacted_and_restored_by_the_real_program(
    connection: apsw.Connection, tmp_path: Path
) -> None:
    replica = FileReplica(tmp_path / "replica")
    client = FileReplicaClient(replica.path)
    with fast_store(replicated(tmp_path / "app.db", client)) as store:

        def is_kept() -> bool:
            connection.execute("INSERT INTO log VALUES (NULL, zeroblob(300))")
            return newest(client, 2) > 30 and next(iter(client.ltx_files(0))).min_txid > 20

        wait_until(is_kept, "compactions and deletions", timeout_s=TIMEOUT_S)
        assert repr(store) == "<Store open dbs=1 levels=2>"
    assert [(info.min_txid, info.max_txid) for info in client.ltx_files(9)] == [(1, 1)]
    expected = newest_row(tmp_path / "app.db")
    points = restore_points(list_levels(client))
    for txid in (points[0].txid, points[len(points) // 2].txid, points[-1].txid):
        litestream_program.restore(replica, tmp_path / f"{txid}.db", txid=txid, integrity_check="full")
    assert newest_row(tmp_path / f"{points[-1].txid}.db") == expected
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("litestream-store")]


def test_a_failing_replica_does_not_keep_the_others_from_their_turn(
    connection: apsw.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = connect(tmp_path / "other.db", page_size=512)
    other.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, body)")
    failing, working = FaultyClient(MemoryReplicaClient()), MemoryReplicaClient()
    dbs = [replicated(tmp_path / "app.db", failing), replicated(tmp_path / "other.db", working)]
    with fast_store(*dbs):
        wait_until(lambda: bool(newest(failing, 0) and newest(working, 0)), "both replicas", timeout_s=TIMEOUT_S)
        failing.fail("open_ltx_file", UsageError("no"), times=None)
        failing.fail("write_ltx_file", UsageError("no"), times=None)

        def is_compacted() -> bool:
            connection.execute("INSERT INTO log VALUES (NULL, NULL)")
            other.execute("INSERT INTO log VALUES (NULL, NULL)")
            return newest(working, 2) > 5

        wait_until(is_compacted, "the one that works", timeout_s=TIMEOUT_S)
        failing.heal()
        wait_until(lambda: newest(failing, 2) > 0, "the other one", timeout_s=TIMEOUT_S)
    assert any("failed" in record.getMessage() for record in caplog.records)
    other.close()


def test_levels_are_compacted_by_hand_without_a_monitor(connection: apsw.Connection, tmp_path: Path) -> None:
    client = MemoryReplicaClient()
    db = DB(tmp_path / "app.db")
    db.monitor_interval_s = 0
    db.replica = Replica(db, client, monitor_enabled=False)
    store = Store([db])
    store.compaction_monitor_enabled = False
    with store:
        for _ in range(3):
            connection.execute("INSERT INTO log VALUES (NULL, NULL)")
            db.sync()
            db.replica.sync()
        store.compact_db(db, store.levels.level(1))
        with pytest.raises(CompactionTooEarlyError):
            store.compact_db(db, store.levels.level(1))
        with pytest.raises(CompactionTooEarlyError):
            store.compact_db(db, store.snapshot_level())
        assert store.snapshot_level() == CompactionLevel(9, 86_400)
        assert store.enforce_snapshot_retention(db) == store.enforce_l0_retention(db) == ()
        store.set_l0_retention(0)
        assert len(store.enforce_l0_retention(db)) == 2
        assert newest(client, 1) == 3


def test_databases_come_and_go(connection: apsw.Connection, tmp_path: Path) -> None:
    connection.execute("INSERT INTO log VALUES (1, NULL)")
    client = MemoryReplicaClient()
    store = fast_store()
    assert repr(store) == "<Store closed dbs=0 levels=2>"
    with store:
        with pytest.raises(UsageError):
            store.open()
        db = replicated(tmp_path / "app.db", client)
        store.add_db(db)
        store.add_db(replicated(tmp_path / "app.db", client))
        assert store.dbs() == [db]
        wait_until(lambda: newest(client, 9) > 0, "its first compaction", timeout_s=TIMEOUT_S)
        connection.execute("INSERT INTO log VALUES (2, NULL)")
        store.remove_db(tmp_path / "app.db")
        store.remove_db(tmp_path / "app.db")
        assert store.dbs() == []
        assert newest(client, 0) == db.pos().txid > 1, "closing syncs"


def test_settings_reach_the_databases(tmp_path: Path) -> None:
    before, after = DB(tmp_path / "a.db"), DB(tmp_path / "b.db")
    store = Store([before])
    store.set_shutdown_sync_timeout(3)
    store.set_shutdown_sync_interval(0.25)
    with store:
        store.add_db(after)
        assert [(db.shutdown_sync_timeout_s, db.shutdown_sync_interval_s) for db in store.dbs()] == [(3, 0.25)] * 2
        with pytest.raises(UsageError, match="no replica"):
            store.compact_db(before, store.levels.level(1))


def test_all_databases_are_closed_whatever_one_of_them_says(connection: apsw.Connection, tmp_path: Path) -> None:
    connection.execute("INSERT INTO log VALUES (1, NULL)")
    client = FaultyClient(MemoryReplicaClient())
    client.fail("write_ltx_file", UnavailableError("down"), times=None)
    other = DB(tmp_path / "other.db")
    store = Store([replicated(tmp_path / "app.db", client), other], FAST)
    store.set_shutdown_sync_timeout(0.0)
    store.open()
    with pytest.raises(UnavailableError):
        store.close()
    other.open()  # so it was closed
    other.close()
    store.close()


def test_levels_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError):
        Store([], [CompactionLevel(1, 30)])


def test_a_store_that_cannot_open_leaves_what_others_opened_alone_and_may_try_again(tmp_path: Path) -> None:
    mine, others = (replicated(tmp_path / f"{name}.db", MemoryReplicaClient()) for name in ("mine", "others"))
    store = Store([mine, others], FAST)
    others.open()
    with pytest.raises(UsageError, match="open already"):
        store.open()
    store.close()
    others.sync()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("litestream-store")]
    others.close()
    with store:
        assert repr(store) == "<Store open dbs=2 levels=2>"


def test_a_store_whose_threads_cannot_be_started_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(tmp_path / "app.db").close()
    store = Store([replicated(tmp_path / "app.db", MemoryReplicaClient())], FAST)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "litestream-store level 2":
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        store.open()
    assert repr(store) == "<Store closed dbs=1 levels=2>"
    # The loop belongs to the process, once a store needed it.
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith("litestream-")} <= {
        "litestream-loop"
    }
    monkeypatch.undo()
    with store:
        store.sync()
