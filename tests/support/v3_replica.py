"""Replicas in the layout of Litestream 0.3, made from a real WAL: no program that writes them is needed.

    replica = V3Replica(tmp_path / "replica")
    with V3Writer(tmp_path / "source.db", replica) as writer:
        writer.snapshot()
        writer.commit("INSERT INTO item VALUES (1)")     # one WAL segment
        writer.next_index()                              # a checkpoint; the WAL starts over

Step n of a writer happened n minutes after `FIRST`.
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import apsw
import lz4.frame  # type: ignore[import-untyped]

FIRST = datetime(2022, 5, 1, 12, tzinfo=UTC)
STEP = timedelta(minutes=1)
GENERATION = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class V3Replica:
    root: Path

    @property
    def url(self) -> str:
        return f"file://{self.root}"

    def write(self, generation: str, kind: str, name: str, data: bytes, time: datetime) -> None:
        path = self.root / "generations" / generation / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lz4.frame.compress(data))
        os.utime(path, (time.timestamp(), time.timestamp()))

    def keys(self) -> dict[str, bytes]:
        """All files by their path below the root."""
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@dataclass(slots=True)
class V3Writer:
    """A source database whose WAL goes into a replica segment by segment; a context manager."""

    database: Path
    replica: V3Replica
    generation: str = GENERATION
    index: int = 0
    first: datetime = FIRST
    times: list[datetime] = field(default_factory=list)  # of the segments
    _steps: int = 0
    _offset: int = 0
    _connection: apsw.Connection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = apsw.Connection(str(self.database))
        self._connection.execute("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").fetchall()
        self._connection.execute("CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, name TEXT)")
        self._checkpoint()

    def snapshot(self) -> None:
        """Store the database file as it is at the start of this index."""
        name = f"{self.index:08x}.snapshot.lz4"
        self.replica.write(self.generation, "snapshots", name, self.database.read_bytes(), self._tick())

    def commit(self, sql: str) -> None:
        """Run SQL as a transaction, and store what it adds to the WAL."""
        with self._connection:
            self._connection.execute(sql)
        data = self.database.with_name(self.database.name + "-wal").read_bytes()[self._offset :]
        time = self._tick()
        self.replica.write(self.generation, "wal", f"{self.index:08x}_{self._offset:08x}.wal.lz4", data, time)
        self._offset += len(data)
        self.times.append(time)

    def next_index(self) -> None:
        """Checkpoint; what is written next begins a WAL."""
        self._checkpoint()
        self.index += 1
        self._offset = 0

    def rows(self) -> list[tuple[int, str]]:
        return [(int(str(number)), str(name)) for number, name in self._connection.execute("SELECT * FROM item")]

    def _checkpoint(self) -> None:
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _tick(self) -> datetime:
        time = self.first + self._steps * STEP
        self._steps += 1
        return time

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()
