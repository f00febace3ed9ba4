"""Does all that a `DB` does, and prints which files of the database were opened meanwhile by anything but SQLite.

As a program: `python -m tests.support.audited_run DIRECTORY`. It prints one JSON list of lists, of a step and a path.
A program of its own, because Python's audit hooks stay.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import apsw

from replication.client.file import FileReplicaClient
from replication.db import DB
from replication.replica import Replica
from tests.db.test_restart import commit, make
from tests.support.live_db import open_db
from tests.support.waiting import wait_until

MODES = ("PASSIVE", "FULL", "RESTART", "TRUNCATE")
TIMEOUT_S = 20.0


class Run:
    """A database with an application, and what is done to it; each step begins and ends with a `DB` that is closed."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "app.db"
        self.application = make(self.path)
        self.client = FileReplicaClient(directory / "replica")

    def db(self, *, monitor_interval_s: float = 0.0) -> DB:
        db = open_db(self.path, monitor_interval_s=monitor_interval_s)
        db.replica = Replica(db, self.client, sync_interval_s=0.01, monitor_enabled=monitor_interval_s > 0)
        return db

    def sync(self) -> None:
        with self.db() as db:
            for _ in range(3):
                commit(self.application, 2)
                db.sync_and_wait()

    def checkpoint(self) -> None:
        with self.db() as db:
            for mode in MODES:
                commit(self.application, 2)
                db.checkpoint(mode)
                commit(self.application, 2)
                db.sync_and_wait()

    def read_whole(self) -> None:
        with self.db() as db:
            _, reader = db.snapshot_reader()
            with reader:
                while reader.read(1 << 20):
                    pass
            db.crc64()
            db.compact(1)
            db.snapshot()

    def in_background(self) -> None:
        with self.db(monitor_interval_s=0.01) as db:
            db.min_checkpoint_page_n = 10
            for _ in range(5):
                commit(self.application, 5)
                before = db.pos().txid
                wait_until(lambda before=before: db.pos().txid > before, "a level-0 file", timeout_s=TIMEOUT_S)  # type: ignore[misc]

    def start_again(self) -> None:
        for mode in (apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_TRUNCATE):
            commit(self.application, 5)
            self.application.wal_checkpoint(mode=mode)
            commit(self.application, 5)
            self.sync()
        self.application.execute("DELETE FROM ballast; VACUUM")
        self.sync()

    def without_a_position(self) -> None:
        (self.meta_path / "position").unlink()
        self.sync()

    def without_sums(self) -> None:
        (self.meta_path / "sums").unlink()
        (self.meta_path / "position").unlink()
        self.sync()

    def without_local_state(self) -> None:
        shutil.rmtree(self.meta_path)
        self.sync()

    @property
    def steps(self) -> tuple[Callable[[], None], ...]:
        """All of them, in an order in which each can follow the one before."""
        return (
            self.sync,
            self.checkpoint,
            self.read_whole,
            self.in_background,
            self.start_again,
            self.without_a_position,
            self.without_sums,
            self.without_local_state,
        )

    @property
    def meta_path(self) -> Path:
        return open_db(self.path).meta_path


def main() -> None:
    run = Run(Path(sys.argv[1]))
    names = {run.path.name + suffix for suffix in ("", "-wal", "-shm")}
    opened: list[tuple[str, str]] = []
    step: Callable[[], None] = run.sync

    def see(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).rpartition("/")[2] in names:
            opened.append((step.__name__, str(arguments[0])))

    sys.addaudithook(see)
    for step in run.steps:
        step()
    run.application.close()
    print(json.dumps(opened))  # noqa: T201 - the answer to whoever started it


if __name__ == "__main__":
    main()
