"""One call replicates a database: to one place or several, woken by commits, and stored when `sync` says so.

Bugs planted to try these tests: `sync` that waits for the first replica only, a hook that is not taken away, a look
that trusts a time of change of just now, local files deleted when one replica of two holds them, no snapshot for a
replica that comes later.
"""

import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

import litestream
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient, RetryPolicy
from replication.compaction_levels import CompactionLevel, CompactionLevels
from replication.db import DB
from replication.errors import DBNotReadyError, DeniedError, LocalStateHeldError, UnavailableError, UsageError
from replication.replica import Replica
from replication.store import Store
from replication.sync.wal_state import TICK, WALState
from tests.support import litestream_program
from tests.support.faulty_client import FaultyClient
from tests.support.litestream_program import FileReplica
from tests.support.live_db import connect, image
from tests.support.restoring import restore_to
from tests.support.waiting import wait_until

TIMEOUT_S = 20.0
NEVER_S = 3600.0  # for what must not happen by itself


@pytest.fixture
def application(tmp_path: Path) -> Iterator[apsw.Connection]:
    connection = connect(tmp_path / "app.db", autocheckpoint=500)
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    yield connection
    connection.close()


def commit(connection: apsw.Connection, count: int = 1) -> None:
    for _ in range(count):
        connection.execute("INSERT INTO item VALUES (NULL, randomblob(500))")


def held(client: litestream.ReplicaClient, level: int = 0) -> list[int]:
    return [info.max_txid for info in client.ltx_files(level)]


def test_a_commit_is_uploaded_when_it_is_made_and_not_when_somebody_looks(
    application: apsw.Connection, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/replica"
    with litestream.replicate(application, url, monitor_interval_s=NEVER_S) as store:
        store.sync()
        reader = litestream.connect(url, poll_interval_s=0.02)
        for number in range(1, 6):
            commit(application)
            wait_until(
                lambda number=number: reader.execute("SELECT count(*) FROM item").get == number,  # type: ignore[misc]
                "the commit on the reader",
                timeout_s=TIMEOUT_S,
            )
        reader.close()


def test_what_sync_returned_for_is_stored_in_every_replica(application: apsw.Connection, tmp_path: Path) -> None:
    places = [tmp_path / "one", tmp_path / "two"]
    with litestream.replicate(
        tmp_path / "app.db", *[f"file://{place}" for place in places], monitor_interval_s=NEVER_S
    ) as store:
        for number in range(5):
            commit(application, 3)
            pos = store.sync()
            for place in places:
                output = tmp_path / f"{number}-{place.name}.db"
                assert restore_to(FileReplicaClient(place), output).txid == pos.txid
                assert output.read_bytes() == image(application)


def test_a_replica_that_fails_keeps_no_other_waiting_and_catches_up(
    application: apsw.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    failing, working = FaultyClient(MemoryReplicaClient()), MemoryReplicaClient()
    failing.fail("write_ltx_file", UnavailableError("down"), times=None)
    once = RetryingClient(failing, RetryPolicy(max_attempts=1))
    with litestream.replicate(application, once, working, sync_interval_s=0.01) as store:
        commit(application, 3)
        wait_until(lambda: held(working) != [], "the replica that works", timeout_s=TIMEOUT_S)
        with pytest.raises(UnavailableError, match="down"):
            store.sync()
        (db,) = store.dbs()
        assert held(working)[-1] == db.pos().txid
        wait_until(lambda: isinstance(db.replicas[0].error, UnavailableError), "its error", timeout_s=TIMEOUT_S)
        failing.heal()
        store.sync()
        assert held(failing) == held(working)
        assert [replica.pos() for replica in db.replicas] == [db.pos()] * 2
    assert any("failed, 1 in a row: down" in record.getMessage() for record in caplog.records)


@pytest.mark.interop
def test_a_replica_that_comes_later_begins_with_a_snapshot(application: apsw.Connection, tmp_path: Path) -> None:
    first, later = tmp_path / "first", FileReplica(tmp_path / "later")
    settings = {"levels": CompactionLevels.of(0.1), "l0_retention_s": 0.1, "l0_retention_check_interval_s": 0.05}
    with litestream.replicate(application, f"file://{first}", **settings) as store:  # type: ignore[arg-type]
        (db,) = store.dbs()

        def has_forgotten() -> bool:
            commit(application)
            return db.pos().txid > 5 and not db.ltx_path(0, litestream.TXID(3), litestream.TXID(3)).exists()

        wait_until(has_forgotten, "local files to be deleted", timeout_s=TIMEOUT_S)
    path = tmp_path / "app.db"
    with litestream.replicate(path, f"file://{first}", later.url, monitor_interval_s=NEVER_S) as store:
        commit(application, 2)
        store.sync()
        commit(application, 2)
        newest = store.sync().txid
        client = FileReplicaClient(later.path)
        (snapshot,) = held(client, 9)
        assert held(client) == [*range(snapshot, newest + 1)]
        for number, by_program in enumerate((True, False)):
            output = tmp_path / f"{number}.db"
            if by_program:
                litestream_program.restore(later, output, integrity_check="full")
            else:
                restore_to(client, output)
            assert output.read_bytes() == image(application)


def test_local_files_stay_until_every_replica_is_done_with_them(application: apsw.Connection, tmp_path: Path) -> None:
    slow, fast = FaultyClient(MemoryReplicaClient()), MemoryReplicaClient()
    db = DB(tmp_path / "app.db")
    db.monitor_interval_s = 0
    db.replicas = [Replica(db, slow, monitor_enabled=False), Replica(db, fast, monitor_enabled=False)]
    store = Store([db])
    store.compaction_monitor_enabled = False
    store.set_l0_retention(-1)
    with store:
        for _ in range(4):
            commit(application)
            store.sync()
        for replica in db.replicas:
            store.compact_db(db, store.levels.level(1), replica=replica)
            store.enforce_l0_retention(db, replica=replica)
            expected = [4] if replica is db.replicas[1] else [1, 2, 3, 4]
            assert [info.max_txid for info in FileReplicaClient(db.meta_path).ltx_files(0)] == expected
        with pytest.raises(UsageError, match="no such replica"):
            store.compact_db(db, store.levels.level(1), replica=Replica(db, fast))


def test_a_hook_that_is_displaced_costs_time_and_loses_nothing(application: apsw.Connection) -> None:
    client = MemoryReplicaClient()
    with litestream.replicate(application, client, monitor_interval_s=0.05, sync_interval_s=0):
        application.set_wal_hook(None)
        commit(application)
        wait_until(lambda: held(client) != [], "the commit to be found", timeout_s=TIMEOUT_S)


def test_a_connection_checkpoints_as_before_when_nobody_replicates_any_more(application: apsw.Connection) -> None:
    with litestream.replicate(application, MemoryReplicaClient()):
        assert application.pragma("wal_autocheckpoint") == 0
    assert application.pragma("wal_autocheckpoint") == 500
    with litestream.replicate(application, MemoryReplicaClient()):
        application.close()


def test_a_connection_at_work_keeps_nobody_from_closing_and_checkpoints_as_before_later(
    application: apsw.Connection, tmp_path: Path
) -> None:
    client = MemoryReplicaClient()
    store = litestream.replicate(application, client, monitor_interval_s=NEVER_S)
    commit(application)
    begun, goes_on = threading.Event(), threading.Event()

    def wait(*_arguments: object) -> int:
        begun.set()
        assert goes_on.wait(TIMEOUT_S)
        return 1

    application.create_scalar_function("wait", wait, 0)
    thread = threading.Thread(target=lambda: application.execute("SELECT wait()").fetchall())
    thread.start()
    assert begun.wait(TIMEOUT_S)
    store.close()
    goes_on.set()
    thread.join()
    restore_to(client, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == image(application)
    commit(application)
    assert application.pragma("wal_autocheckpoint") == 500
    with litestream.replicate(tmp_path / "app.db", client) as store:  # nobody has the local state any more
        store.sync()


def test_a_database_closed_at_once_begins_its_new_replica_with_a_snapshot(
    application: apsw.Connection, tmp_path: Path
) -> None:
    with litestream.replicate(application, MemoryReplicaClient()) as store:
        commit(application)
        store.sync()
        commit(application)
        store.sync()
    (tmp_path / ".app.db-litestream/ltx/0/0000000000000001-0000000000000001.ltx").unlink()
    client = MemoryReplicaClient()
    with litestream.replicate(tmp_path / "app.db", client, monitor_interval_s=0) as store:
        store.set_shutdown_sync_timeout(0)
        commit(application)
    assert held(client) == held(client, 9) != []
    restore_to(client, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == image(application)


def test_commits_by_several_threads_of_a_process_are_all_there(tmp_path: Path) -> None:
    client, connections = MemoryReplicaClient(), [connect(tmp_path / "app.db") for _ in range(3)]
    connections[0].execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    with litestream.replicate(connections[0], client, sync_interval_s=0) as store:
        for connection in connections[1:]:
            store.dbs()[0].wake_on_commit(connection)
        threads = [threading.Thread(target=commit, args=(connection, 50)) for connection in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.sync()
        restore_to(client, tmp_path / "out.db")
        assert (tmp_path / "out.db").read_bytes() == image(connections[0])
    for connection in connections:
        connection.close()


def test_what_cannot_be_replicated_is_refused(application: apsw.Connection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected the URL of a replica"):
        litestream.replicate(tmp_path / "app.db")
    with pytest.raises(UsageError, match="one of them twice"):
        litestream.replicate(tmp_path / "app.db", "file:///replica", "file:///replica")
    with pytest.raises(UsageError, match="in memory"):
        litestream.replicate(apsw.Connection(":memory:"), "file:///replica")
    with pytest.raises(UsageError, match="did you mean"):
        litestream.replicate(tmp_path / "app.db", "replica")
    with pytest.raises(UsageError, match="got nothing"):
        litestream.replicate("", "file:///replica")
    reader = apsw.Connection(str(tmp_path / "app.db"), flags=apsw.SQLITE_OPEN_READONLY)
    with pytest.raises(UsageError, match="read-only"):
        litestream.replicate(reader, "file:///replica")
    reader.close()
    other = connect(tmp_path / "other.db")
    with (
        litestream.replicate(application, MemoryReplicaClient()) as store,
        pytest.raises(UsageError, match=r"other\.db"),
    ):
        store.dbs()[0].wake_on_commit(other)
    other.close()


def test_a_store_syncs_one_database_or_all(tmp_path: Path) -> None:
    connections = [connect(tmp_path / f"{number}.db") for number in range(3)]
    clients = [MemoryReplicaClient() for _ in connections]
    dbs = [DB(tmp_path / f"{number}.db") for number in range(3)]
    for db, client in zip(dbs, clients, strict=True):
        db.monitor_interval_s = 0
        db.replica = Replica(db, client)
    store = Store(dbs)
    with pytest.raises(UsageError, match="open store"):
        store.sync()
    with store:
        assert store.sync(tmp_path / "1.db").txid == 1
        assert [held(client) for client in clients] == [[], [1], []]
        assert store.sync().txid == 0
        assert [held(client) for client in clients] == [[1]] * 3
        with pytest.raises(UsageError, match=r"0\.db.*got .*none\.db"):
            store.sync(tmp_path / "none.db")
    for connection in connections:
        connection.close()


def test_a_database_that_comes_later_is_replicated_from_then_on(tmp_path: Path) -> None:
    client = MemoryReplicaClient()
    with litestream.replicate(tmp_path / "app.db", client, monitor_interval_s=0.02, sync_interval_s=0) as store:
        (db,) = store.dbs()
        with pytest.raises(DBNotReadyError):
            db.snapshot_reader()
        assert store.sync().txid == 0
        application = connect(tmp_path / "app.db")
        wait_until(lambda: held(client) != [], "its first file", timeout_s=TIMEOUT_S)
        application.close()


def test_a_database_that_rests_is_looked_at_and_nothing_more(
    application: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FaultyClient(MemoryReplicaClient())
    syncs = list[None]()
    caught_up = threading.Semaphore(0)
    is_behind = Store.is_behind

    def catch_up(store: Store, db: DB, level: CompactionLevel, *, replica: Replica) -> bool:
        try:
            return is_behind(store, db, level, replica=replica)
        finally:
            caught_up.release()

    monkeypatch.setattr(Store, "is_behind", catch_up)
    with litestream.replicate(
        tmp_path / "app.db",
        client,
        levels=CompactionLevels.of(NEVER_S),
        monitor_interval_s=0.01,
        checkpoint_interval_s=0,
        snapshot_interval_s=NEVER_S,
        l0_retention_check_interval_s=NEVER_S,
    ) as store:
        (db,) = store.dbs()
        for _ in ("level 1", "snapshots"):  # each is asked for once, on a thread of its own, when the store is opened
            assert caught_up.acquire(timeout=TIMEOUT_S)
        commit(application)
        before = store.sync().txid
        wait_until(lambda: db._seen is not None, "the WAL to settle", timeout_s=TIMEOUT_S)
        task = db._task
        assert task is not None
        monkeypatch.setattr(task, "run", lambda run=task.run: syncs.append(run()))
        calls = len(client.calls)
        looked = threading.Semaphore(0)
        look = db.look

        def tell() -> None:
            look()
            looked.release()

        monkeypatch.setattr(db, "look", tell)
        for _ in range(20):
            assert looked.acquire(timeout=TIMEOUT_S)
        assert (syncs, len(client.calls)) == ([], calls)
        commit(application)
        wait_until(lambda: db.pos().txid == before + 1, "a commit to be seen", timeout_s=TIMEOUT_S)


def test_a_look_at_a_wal_counts_only_once_its_last_write_lies_behind(tmp_path: Path) -> None:
    path = tmp_path / "wal"
    path.write_bytes(b"1")
    state = WALState.look(str(path))
    written = datetime.fromtimestamp(state.mtime_ns / 1e9, UTC)
    assert not state.is_settled(written)
    assert not state.is_settled(written + TICK / 2)
    assert not state.is_settled(written - timedelta(hours=1))  # the clock was set back
    assert state.is_settled(written + 2 * TICK)
    assert WALState.look(str(tmp_path / "none")) == WALState(0, 0, 0)


def test_the_levels_of_a_replica_can_be_worked_on_by_hand(application: apsw.Connection, tmp_path: Path) -> None:
    client = MemoryReplicaClient()
    db = DB(tmp_path / "app.db")
    db.monitor_interval_s = 0
    with pytest.raises(UsageError, match="no replica"):
        db.snapshot()
    db.replica = Replica(db, client, monitor_enabled=False)
    with db:
        for _ in range(4):
            commit(application)
            db.sync_and_wait()
        assert db.compact(1).max_txid == 4
        commit(application)
        db.sync_and_wait()
        assert db.snapshot().max_txid == 5
        with pytest.raises(litestream.NoCompactionError):
            db.compact(9)
        newest = db.max_ltx_file_info(9)
        assert newest is not None
        assert newest.max_txid == 5
        db.l0_retention_s = -60
        db.enforce_l0_retention_by_time()
        assert held(client) == [5]
        commit(application)
        db.sync_and_wait()
        assert db.compact(1).max_txid == 6
        db.enforce_retention_by_txid(1, litestream.TXID(6))
        assert held(client, 1) == [6]
        assert db.enforce_snapshot_retention(datetime.now(UTC) + timedelta(hours=1)) == 5
        assert held(client, 9) == [5]


def test_a_logger_of_ones_own_hears_of_it(application: apsw.Connection, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("my.replication")
    client = FaultyClient(MemoryReplicaClient())
    client.fail("write_ltx_file", UsageError("no"), times=None)
    store = litestream.replicate(application, client, logger=logger)
    wait_until(lambda: bool(caplog.records), "the failure", timeout_s=TIMEOUT_S)
    client.heal()
    store.close()
    assert {record.name for record in caplog.records} == {"my.replication"}


def test_what_cannot_be_replicated_is_refused_by_its_name(application: apsw.Connection, tmp_path: Path) -> None:
    closed = connect(tmp_path / "closed.db")
    closed.close()
    url = f"file://{tmp_path}/replica"
    sources = {
        closed: "expected an open connection, got a closed one",
        None: "an apsw.Connection, got builtins.NoneType",
        b"app.db": "expected the path of a database as text, or an apsw.Connection, got builtins.bytes",
        ":memory:": "expected the path of a database, got ':memory:'",
        f"file:{tmp_path}/app.db?mode=rw": "expected the path of a database, got 'file:",
        "s3://key:secret@bucket/app.db": "expected the path of a database, got 's3://bucket/app.db'",
    }
    for source, message in sources.items():
        with pytest.raises(UsageError) as caught:
            litestream.replicate(source, url)  # type: ignore[arg-type]
        assert message in str(caught.value)
        assert "secret" not in str(caught.value)
    replicas = {
        tmp_path / "replica": f"got PosixPath; did you mean file://{tmp_path}/replica[?]",
        None: "expected the URL of a replica, or a client, got NoneType",
    }
    for replica, message in replicas.items():
        with pytest.raises(UsageError, match=message):
            litestream.replicate(application, replica)  # type: ignore[arg-type]
    assert not (tmp_path / ".app.db-litestream").exists()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("monitor_interval_s", float("nan"), "expected monitor_interval_s to be a finite number, 0 or more, got nan"),
        ("sync_interval_s", -1, "expected sync_interval_s to be a finite number, 0 or more, got -1"),
        ("busy_timeout_s", "1s", "expected busy_timeout_s to be a finite number, 0 or more, got '1s'"),
        ("snapshot_retention_s", -0.5, "expected snapshot_retention_s to be a finite number, 0 or more, got -0.5"),
        ("snapshot_interval_s", 0, "expected snapshot_interval_s to be a finite number, more than 0, got 0"),
        ("l0_retention_check_interval_s", 0.0, "l0_retention_check_interval_s to be a finite number, more than 0"),
    ],
)
def test_a_number_out_of_range_is_refused(tmp_path: Path, setting: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        litestream.replicate(tmp_path / "app.db", f"file://{tmp_path}/replica", **{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "tries"), [(DeniedError("the key is unknown"), 1), (UsageError("no such bucket"), 1), (None, 3)]
)
def test_closing_waits_only_for_what_may_heal_and_says_so_once(
    application: apsw.Connection, caplog: pytest.LogCaptureFixture, error: Exception | None, tries: int
) -> None:
    client = FaultyClient(MemoryReplicaClient())
    once = RetryingClient(client, RetryPolicy(max_attempts=1))
    store = litestream.replicate(application, once, monitor_interval_s=0.0, lease=False)
    (db,) = store.dbs()
    db.shutdown_sync_interval_s = 0.01
    db.sync()
    client.fail("ltx_files", error or UnavailableError("down"), times=None if error else tries - 1)
    before = len(client.calls)
    if error:
        with pytest.raises(type(error), match=str(error)):
            store.close()
    else:
        store.close()
        assert held(client) == [1]
    asked = [call for call in client.calls[before:] if call.method == "ltx_files" and call.level == 0]
    assert len(asked) >= tries
    assert sum("trying again for 30 s" in record.getMessage() for record in caplog.records) == (0 if error else 1)


def test_a_second_one_uploads_nothing_of_the_first_when_it_is_closed(
    application: apsw.Connection, tmp_path: Path
) -> None:
    other = MemoryReplicaClient()
    with litestream.replicate(application, f"file://{tmp_path}/replica") as store:
        store.sync()
        second = litestream.replicate(tmp_path / "app.db", other)
        with pytest.raises(LocalStateHeldError, match="expected that nobody else replicates"):
            second.close()
        assert held(other) == []
        commit(application)
        store.sync()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # a process with threads should not be forked
def test_a_forked_child_leaves_replicating_to_its_parent(application: apsw.Connection, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/replica"
    with litestream.replicate(application, url, checkpoint_interval_s=0.0) as store:
        store.sync()
        (db,) = store.dbs()
        lease = (tmp_path / "replica" / "lock.json").read_bytes()
        pid = os.fork()
        if pid == 0:
            refused = 0
            for call in (store.sync, db.sync, db.checkpoint, db.snapshot_reader):
                try:
                    call()
                except UsageError as error:
                    refused += "got one in a fork of it" in str(error)
            db.close()
            store.close()
            os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
        assert (tmp_path / "replica" / "lock.json").read_bytes() == lease
        commit(application)
        assert store.sync().txid == 2
