"""A store tells the outside that everything is replicated, and finds what is wrong with its replicas.

Bugs planted to try these tests: a time of sync that counts when the upload begins, a database that is always written
to and never counts as synced, a heartbeat that is not closed.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient, RetryPolicy
from replication.db import DB
from replication.errors import UnavailableError, UsageError
from replication.replica import Replica
from replication.store import Store
from tests.store.test_heartbeat import Server, serving
from tests.support.faulty_client import FaultyClient
from tests.support.live_db import connect
from tests.support.waiting import wait_until

TIMEOUT_S = 20.0


@pytest.fixture
def application(tmp_path: Path) -> Iterator[apsw.Connection]:
    connection = connect(tmp_path / "app.db")
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    yield connection
    connection.close()


def commit(connection: apsw.Connection) -> None:
    connection.execute("INSERT INTO item VALUES (NULL, randomblob(500))")


def new_store(path: Path, *clients: FaultyClient) -> Store:
    db = DB(path)
    db.monitor_interval_s = 0.02
    db.shutdown_sync_timeout_s = 0.0
    db.replicas = [
        Replica(db, RetryingClient(client, RetryPolicy(max_attempts=1)), sync_interval_s=0.02) for client in clients
    ]
    store = Store([db])
    store.shutdown_sync_timeout_s = 0.0
    return store


def test_a_database_counts_as_synced_when_every_replica_has_it(application: apsw.Connection, tmp_path: Path) -> None:
    clients = [FaultyClient(MemoryReplicaClient()) for _ in range(2)]
    store = new_store(tmp_path / "app.db", *clients)
    (db,) = store.dbs()
    assert db.last_synced_at() is None
    clients[1].fail("write_ltx_file", UnavailableError("down"), times=None)
    with store:
        wait_until(lambda: db.replicas[0].pos().txid > 0, "the other replica", timeout_s=TIMEOUT_S)
        assert db.last_synced_at() is None
        clients[1].heal()
        wait_until(lambda: db.last_synced_at() is not None, "both", timeout_s=TIMEOUT_S)
        before = db.last_synced_at()
        assert before is not None
        wait_until(lambda: (db.last_synced_at() or 0) > before, "a later time, though nothing is written", timeout_s=20)
        clients[1].fail("write_ltx_file", UnavailableError("down"), times=None)
        commit(application)
        db.sync()
        at = db.last_synced_at()
        for _ in range(5):
            commit(application)
            db.sync()
        assert db.last_synced_at() == at
        clients[1].heal()


def test_a_database_that_is_written_to_all_the_time_counts_as_synced(
    application: apsw.Connection, tmp_path: Path
) -> None:
    store = new_store(tmp_path / "app.db", FaultyClient(MemoryReplicaClient()))
    (db,) = store.dbs()
    seen = set[float | None]()
    with store:

        def is_moving() -> bool:
            commit(application)
            seen.add(db.last_synced_at())
            return len(seen) > 5

        wait_until(is_moving, "the time to move on", timeout_s=TIMEOUT_S, pause_s=0.001)


def test_a_store_pings_while_all_of_its_databases_are_synced(
    application: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication.upkeep_threads.DEFAULT_HEARTBEAT_CHECK_INTERVAL_S", 0.02)
    commit(application)
    client, heard = FaultyClient(MemoryReplicaClient()), Server()
    heard.hang.set()
    client.fail("write_ltx_file", UnavailableError("down"), times=None)
    store = new_store(tmp_path / "app.db", client)
    with serving(heard):
        store.heartbeat_url = heard.url
        with store:
            wait_until(lambda: client.count("write_ltx_file") > 0, "an upload", timeout_s=TIMEOUT_S)
            assert heard.paths == []
            client.heal()
            wait_until(lambda: heard.paths != [], "the ping", timeout_s=TIMEOUT_S)
        assert heard.paths == ["/the-key?token=token"]


def test_a_heartbeat_that_makes_no_sense_opens_nothing(tmp_path: Path) -> None:
    store = new_store(tmp_path / "app.db")
    store.heartbeat_url, store.heartbeat_interval_s = "http://127.0.0.1/", 1.0
    with pytest.raises(UsageError, match="60 s or more"):
        store.open()
    store.heartbeat_interval_s = 60.0
    with store:
        assert repr(store).startswith("<Store open")


def test_a_store_tells_of_a_replica_that_has_a_gap(
    application: apsw.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = FaultyClient(MemoryReplicaClient())
    store = new_store(tmp_path / "app.db", client)
    store.validation_interval_s = 0.05
    with store:
        for _ in range(4):
            commit(application)
            store.sync()
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        client.delete_ltx_files(list(client.ltx_files(0))[1:3])
        wait_until(
            lambda: any("level 0 has a gap" in record.getMessage() for record in caplog.records),
            "the gap to be found",
            timeout_s=TIMEOUT_S,
        )
