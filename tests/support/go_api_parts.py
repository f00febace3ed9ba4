"""What the calls of the Go package's names are made on: a database in use, its store, its replica, and its WAL.

Nothing happens by itself, so that each call sees what it expects: the database has one table with ten rows, and one
transaction of it is in the replica.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

import litestream
from tests.support.live_db import connect, open_db

ROWS = 10
NAME = "go-api"


@dataclass(frozen=True, slots=True)
class Parts:
    """A primary that is open in a store, and what belongs to it."""

    directory: Path
    connection: apsw.Connection
    db: litestream.DB
    client: litestream.FileReplicaClient
    replica: litestream.Replica
    store: litestream.Store

    @property
    def url(self) -> str:
        return f"file://{self.client.path}"

    @property
    def newest(self) -> litestream.FileInfo:
        """The newest file of level 0 of the replica."""
        return list(self.client.ltx_files(0))[-1]

    @property
    def wal(self) -> bytes:
        return self.db.wal_path.read_bytes()

    def read_at(self, offset: int, size: int) -> bytes:
        return self.wal[offset : offset + size]

    def commit(self) -> None:
        self.connection.execute("INSERT INTO item VALUES (NULL)")

    def commit_and_upload(self) -> litestream.Pos:
        self.commit()
        return self.db.sync_and_wait()

    def files(self, level: int = 0) -> int:
        return len(list(self.client.ltx_files(level)))

    def other_db(self) -> litestream.DB:
        """A second primary with a replica, closed."""
        path = self.directory / "other.db"
        with apsw.Connection(str(path)) as other:
            other.execute("CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY)")
        other.close()
        db = open_db(path)
        db.replica = litestream.Replica(db, litestream.FileReplicaClient(self.directory / "other-replica"))
        return db


@contextmanager
def made(directory: Path) -> Iterator[Parts]:
    """Make the parts, and close what is left of them."""
    connection = connect(directory / "app.db")
    db = open_db(directory / "app.db")
    client = litestream.FileReplicaClient(directory / "replica")
    replica = litestream.Replica(db, client)
    db.replica = replica
    store = litestream.Store([db])
    store.compaction_monitor_enabled = False
    parts = Parts(directory, connection, db, client, replica, store)
    with store:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO item VALUES (?)", ((i,) for i in range(1, ROWS + 1)))
        db.sync_and_wait()
        yield parts
    connection.close()
