"""Replicating in the application's own process takes none of its locks away.

POSIX drops all locks that a process has on a file when it closes any descriptor of it, so each of these tests would
fail if the database or its WAL were opened and closed by plain file calls.
"""

import subprocess
import sys
from pathlib import Path

from tests.db.test_restart import commit, make
from tests.support.live_db import image, open_db, restored

# The bytes that every connection to a database in WAL mode holds a shared lock on: sqlite.org/lockingv3.html
TRY_TO_LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
    except BlockingIOError:
        print("busy")
"""
TRY_TO_WRITE = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
try:
    connection.execute("BEGIN IMMEDIATE")
except apsw.BusyError:
    print("busy")
"""


def run(script: str, path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def replicate(path: Path) -> None:
    """Do all that a `DB` ever does with a database."""
    with open_db(path) as db:
        db.sync()
        _, reader = db.snapshot_reader()
        reader.read(100)
        reader.close()
        db.crc64()


def test_the_application_keeps_the_lock_that_says_that_the_database_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    assert run(TRY_TO_LOCK, path) == "busy"
    replicate(path)
    assert run(TRY_TO_LOCK, path) == "busy"
    with open_db(path) as db:
        db.sync()
        commit(application, 1)
        db.checkpoint("TRUNCATE")
        assert run(TRY_TO_LOCK, path) == "busy"
        commit(application, 1)
        db.sync()
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_another_process_does_not_write_into_a_transaction_of_the_application(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        db.sync()
        application.execute("BEGIN IMMEDIATE; UPDATE counter SET value = 7")
        db.sync()
        _, reader = db.snapshot_reader()
        reader.close()
        db.crc64()
        assert run(TRY_TO_WRITE, path) == "busy"
    assert run(TRY_TO_WRITE, path) == "busy"
    application.execute("ROLLBACK")
    assert run(TRY_TO_WRITE, path) == ""
    application.close()


def test_a_database_reached_by_a_symbolic_link_is_replicated(tmp_path: Path) -> None:
    directory = tmp_path / "real"
    directory.mkdir()
    application = make(directory / "app.db")
    link = tmp_path / "link.db"
    link.symlink_to(directory / "app.db")
    with open_db(link) as db:
        first = db.sync().txid
        commit(application, 2)
    with open_db(link) as db:
        assert db.sync().txid == first + 1
        assert db.meta_path == tmp_path / ".link.db-litestream"
        assert restored(db, tmp_path) == image(application)
    application.close()
