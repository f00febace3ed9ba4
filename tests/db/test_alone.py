"""A `DB` has its local state for itself, and in its process, among the copies of SQLite, its database.

Bugs planted to try these tests: lock or guard kept after the end or after a failed start, the guard not taken, the
id of the lock not told to the lease.
"""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from replication.client.file import FileReplicaClient
from replication.db import DB
from replication.errors import CorruptError, LeaseHeldError, LocalStateHeldError, UsageError
from replication.lease import DEFAULT_LEASE_TTL_S
from replication.replica import Replica
from replication.sync import guard as guard_module
from tests.db.test_restart import commit, make
from tests.support.guarding import REFUSED
from tests.support.live_db import image, open_db, restored
from tests.support.workload import PROJECT

REPLICATE = """
import sys, threading
from pathlib import Path
from replication.client.file import FileReplicaClient
from replication.replica import Replica
from tests.support.live_db import open_db
db = open_db(Path(sys.argv[1]))
db.replica = Replica(db, FileReplicaClient(Path(sys.argv[2])), monitor_enabled=False)
db.open()
db.sync_and_wait()
print("synced", flush=True)
threading.Event().wait()
"""


def with_replica(path: Path, replica: Path) -> DB:
    db = open_db(path)
    db.replica = Replica(db, FileReplicaClient(replica), monitor_enabled=False)
    db.shutdown_sync_timeout_s = 0.0
    return db


@contextmanager
def replicator(path: Path, replica: Path) -> Iterator[None]:
    """A process that has replicated, and is killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", REPLICATE, str(path), str(replica)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "synced\n"
            yield
        finally:
            process.kill()


def test_sqlite3_may_have_the_database_before_and_after_but_not_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    make(path).close()
    db = open_db(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT * FROM log").fetchall()
        db.open()
        with pytest.raises(UsageError, match=REFUSED):
            db.sync()
    first = db.sync().txid
    with pytest.raises(UsageError, match=REFUSED):
        sqlite3.connect(path)
    with closing(apsw.Connection(str(path))) as application:
        commit(application, 1)
        assert db.sync().txid == first + 1
        assert restored(db, tmp_path) == image(application)
    db.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM counter").fetchall() == [(1,)]


def test_the_database_that_takes_the_place_of_another_is_guarded(tmp_path: Path) -> None:
    path, other = tmp_path / "app.db", tmp_path / "other.db"
    make(path).close()
    make(other).close()
    with open_db(path) as db:
        db.sync()
        other.replace(path)
        db.sync()
        path.with_name("link.db").hardlink_to(path)
        with pytest.raises(UsageError, match=REFUSED):
            sqlite3.connect(path.with_name("link.db"))
    assert not guard_module._guarded.guards


def test_two_with_the_same_local_state_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    one, other = open_db(path), open_db(path)
    one.open()
    other.open()
    first = one.sync().txid
    for _ in range(2):
        with pytest.raises(LocalStateHeldError, match=r"app\.db"):
            other.sync()
    commit(application, 1)
    one.close()
    commit(application, 1)
    assert other.sync().txid == first + 2
    assert restored(other, tmp_path) == image(application)
    other.close()
    application.close()


def test_two_with_local_state_of_their_own_work_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    one, other = open_db(path), open_db(path)
    other.set_meta_path(tmp_path / "other-state")
    with one, other:
        for _ in range(3):
            commit(application, 1)
            one.sync()
            other.sync()
        assert restored(one, tmp_path) == image(application)
    application.close()


def test_a_failed_start_leaves_neither_lock_nor_guard(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    path.write_bytes(b"no database at all" * 1000)
    db = open_db(path)
    db.open()
    with pytest.raises(CorruptError):
        db.sync()
    assert not guard_module._guarded.guards
    path.unlink()
    application = make(path)
    with open_db(path) as other:
        other.sync()
    assert db.sync().txid == 1
    db.close()
    application.close()


def test_the_successor_of_a_killed_replicator_does_not_wait_for_its_lease(tmp_path: Path) -> None:
    path, replica = tmp_path / "app.db", tmp_path / "replica"
    application = make(path)
    standby = with_replica(path, replica)
    with replicator(path, replica):
        standby.open()
        with pytest.raises(LocalStateHeldError):
            standby.sync()
    commit(application, 1)
    begin = time.monotonic()
    pos = standby.sync_and_wait()
    assert time.monotonic() - begin < DEFAULT_LEASE_TTL_S / 3
    assert standby.replica is not None
    assert standby.replica.pos() == pos
    standby.close()
    application.close()


def test_a_copy_of_a_killed_replicator_waits_for_its_lease(tmp_path: Path) -> None:
    path, replica, copy = tmp_path / "app.db", tmp_path / "replica", tmp_path / "copy" / "app.db"
    make(path).close()
    with replicator(path, replica):
        pass
    shutil.copytree(tmp_path, copy.parent, ignore=shutil.ignore_patterns("copy"))
    with closing(apsw.Connection(str(copy))) as application:
        commit(application, 1)
        db = with_replica(copy, replica)
        db.open()
        with pytest.raises(LeaseHeldError):
            db.sync_and_wait()
        with pytest.raises(LeaseHeldError):
            db.close()
