"""Of a database that is replicated nothing is opened but through SQLite, so no lock is ever lost.

Method: everything a `DB` does, in a process that watches what its Python code opens; and another process that takes the
application's locks, or deletes the WAL, if it can, after each thing. The last test shows that it could. SQLite 3.51 and
later deletes the WAL only if the lock on -shm is gone too; older ones are content with that on the database.
Bugs planted to try these tests: the database, its WAL or -shm opened and closed by `open` in each of these places: at
the first sync, at a checkpoint, for a snapshot, at the next start, where pages are compared.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.db.test_restart import commit
from tests.support.audited_run import Run
from tests.support.workload import PROJECT

# Every connection to a database in WAL mode has these locks, shared: sqlite.org/lockingv3.html, walformat.html
TRY_TO_LOCK = """
import fcntl, sys
for suffix, offset, length in (("", 0x40000002, 510), ("-shm", 128, 1)):
    with open(sys.argv[1] + suffix, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, offset)
        except BlockingIOError:
            print("busy")
"""
OPEN_AND_CLOSE = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("SELECT * FROM counter").fetchall()
connection.close()
"""


def run_elsewhere(script: str, path: Path) -> str:
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_nothing_is_opened_but_through_sqlite(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.audited_run", str(tmp_path)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


def test_another_process_never_finds_the_database_without_its_locks(tmp_path: Path) -> None:
    run = Run(tmp_path)
    wal = Path(f"{run.path}-wal")
    inode = wal.stat().st_ino
    for step in run.steps:
        step()
        assert run_elsewhere(TRY_TO_LOCK, run.path) == "busy\nbusy\n", step.__name__
        run_elsewhere(OPEN_AND_CLOSE, run.path)
        assert wal.stat().st_ino == inode, step.__name__
        commit(run.application, 1)
    with run.db() as db:
        db.sync()
        run.application.close()
        assert run_elsewhere(TRY_TO_LOCK, run.path) == "busy\nbusy\n", "the replicator has locks of its own"
        run_elsewhere(OPEN_AND_CLOSE, run.path)
        assert wal.stat().st_ino == inode


def test_it_would_after_one_open_and_close(tmp_path: Path) -> None:
    run = Run(tmp_path)
    commit(run.application, 1)
    for suffix, left in (("", "busy\n"), ("-shm", "")):
        with Path(f"{run.path}{suffix}").open("rb"):
            pass
        assert run_elsewhere(TRY_TO_LOCK, run.path) == left
    run_elsewhere(OPEN_AND_CLOSE, run.path)
    assert not Path(f"{run.path}-wal").exists()
    run.application.close()
