"""The connections to the primary database, and what is done with each.

- `tap` holds the long-lived read transaction, and reads the files. While it lives, nobody else's checkpoint can have
  the WAL used again, but for one case: a read transaction that began when all frames were in the database file reads
  from there alone, and lets the next writer start the WAL over, once. From then on frames lie beyond what the
  transaction sees, no checkpoint may copy them to the file it reads from, and without that no second start-over can be.
- `writer` makes the two tables, holds the write lock as a barrier, and bumps the sequence.
- `checkpointer` checkpoints, because a connection cannot while it holds the write lock itself. It also knows where the
  newest commit ends.

The latter two are opened when they are needed, and closed while nobody writes to the database: a process may replicate
thousands that rest.

The tables are those of the Go program, which makes and expects the same:

    _litestream_seq   one row; raising it puts a frame into the WAL
    _litestream_lock  always empty; the Go program takes the write lock by inserting into it and rolling back

Source: litestream 0.5.17, db.go; SQLite's wal.c, walTryBeginRead, walRestartLog and walCheckpoint.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from replication.errors import UsageError
from replication.sync.sqlite_errors import sqlite_errors
from replication.sync.tap import TappedConnection
from replication.wal.frame import WAL_FRAME_HEADER_SIZE
from replication.wal.header import WAL_HEADER_SIZE

_TABLES = """
    CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
    CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER);
"""
_BUMP = "INSERT INTO _litestream_seq (id, seq) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET seq = seq + 1"


@dataclass(frozen=True, slots=True)
class CheckpointResult:
    """How far a checkpoint came: frames of the WAL, and how many of them are in the database file."""

    wal_frames: int
    checkpointed_frames: int

    @property
    def is_complete(self) -> bool:
        """Whether the next writer can start the WAL over."""
        return self.checkpointed_frames >= self.wal_frames


class Primary:
    """An open primary; not for several threads at once."""

    def __init__(self, path: str, *, busy_timeout_s: float) -> None:
        """Put the database into WAL mode, and make the two tables if they are missing.

        Raises:
            UsageError: the database cannot be in WAL mode.
            PrimaryUnavailableError, PrimaryDeniedError, PrimaryCorruptError: SQLite says so.

        """
        self.path = path
        self.page_size = 0  # bytes
        self._busy_timeout_s = busy_timeout_s
        self._writer: apsw.Connection | None = None
        self._checkpointer: apsw.Connection | None = None
        self._is_lent = False
        try:
            self._prepare(self.writer)
            self.tap = TappedConnection(path, busy_timeout_s=busy_timeout_s)
        except BaseException:
            self.rest()
            raise

    def close(self) -> None:
        """Close all connections; the WAL stays as it is, so that the next start finds its place in it."""
        self._is_lent = False
        self.rest()
        self.tap.close()

    def rest(self) -> None:
        """Close the connections that are needed only while somebody writes."""
        checkpointer, self._checkpointer = self._checkpointer, None
        if checkpointer is not None:
            checkpointer.close()
        if self._writer is not None and not self._is_lent:
            writer, self._writer = self._writer, None
            writer.close()

    @property
    def writer(self) -> apsw.Connection:
        """The connection that writes."""
        if self._writer is None:
            self._writer = self._connect()
        return self._writer

    def lend_writer(self) -> apsw.Connection:
        """Return the connection that writes, which is from now on kept open for whoever asked."""
        self._is_lent = True
        return self.writer

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Have another read transaction, that keeps the WAL as it is while the one of `tap` ends and begins anew."""
        writer = self.writer
        with sqlite_errors(self.path):
            writer.execute("BEGIN")
            try:
                writer.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
            except BaseException:
                writer.execute("ROLLBACK")
                raise
        try:
            yield
        finally:
            with sqlite_errors(self.path):
                if writer.in_transaction:
                    writer.execute("ROLLBACK")

    @contextmanager
    def barrier(self) -> Iterator[None]:
        """Hold the write lock: nobody writes, and so nobody starts the WAL over.

        Raises:
            PrimaryUnavailableError: somebody else held it for longer than the busy timeout.

        """
        writer = self.writer
        with sqlite_errors(self.path):
            writer.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            with sqlite_errors(self.path):
                if writer.in_transaction:
                    writer.execute("ROLLBACK")

    def checkpoint(self, mode: int) -> CheckpointResult:
        """Checkpoint, and say how far it came.

        Raises:
            PrimaryUnavailableError: for a mode that waits, somebody was in the way for longer than the busy timeout.

        """
        if self._checkpointer is None:
            self._checkpointer = self._connect()
        with sqlite_errors(self.path):
            return CheckpointResult(*self._checkpointer.wal_checkpoint(mode=mode))

    def committed_end(self) -> int:
        """Return where in the WAL the newest commit that others can see ends, in bytes.

        Valid frames may follow: a writer is about to publish them, or was killed before it could, and then the next
        writer overwrites them.
        """
        frames = max(0, self.checkpoint(apsw.SQLITE_CHECKPOINT_NOOP).wal_frames)
        return WAL_HEADER_SIZE + frames * (WAL_FRAME_HEADER_SIZE + self.page_size)

    def bump_seq(self) -> None:
        """Commit a small transaction, so that the WAL has a frame."""
        with sqlite_errors(self.path):
            self.writer.execute(_BUMP)

    def _prepare(self, writer: apsw.Connection) -> None:
        with sqlite_errors(self.path):
            mode = writer.pragma("journal_mode", "wal")
            if mode != "wal":
                msg = f"expected that {self.path} can be in WAL mode, got journal_mode {mode}"
                raise UsageError(msg)
            writer.execute(_TABLES)
            self.page_size = int(writer.pragma("page_size"))
        # Level-0 files name the salts of the WAL, so there must be one.
        wal_path = Path(writer.filename_wal)
        if not wal_path.exists() or wal_path.stat().st_size < WAL_HEADER_SIZE:
            self.bump_seq()

    def _connect(self) -> apsw.Connection:
        with sqlite_errors(self.path):
            connection = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.set_busy_timeout(int(self._busy_timeout_s * 1000))
                connection.wal_autocheckpoint(0)
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                connection.pragma("synchronous", "NORMAL")  # a checkpoint syncs all the same
                # Before it has read, a connection knows nothing of the WAL, and would checkpoint nothing.
                connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
            except BaseException:
                connection.close()
                raise
        return connection
