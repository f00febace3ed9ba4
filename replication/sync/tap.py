"""Reading the bytes of a database and its WAL through SQLite's own descriptors.

POSIX locks belong to the process, and closing any descriptor of a file drops all locks the process has on it: an
`open(database).close()` takes away the locks of every SQLite connection in the process, and another process may then
delete the live WAL. So the database file, `-wal` and `-shm` are never opened here. Instead a connection is opened
through a VFS of its own, which hands every call on to the default one and keeps the file objects that come back.
Reading through them is reading through descriptors that SQLite opened, shares between connections and closes when no
lock is left to be lost.

The connection takes its locks as any other. It is used for a read transaction and for these reads, nothing more: each
of SQLite's own calls passes through Python here, which is slow for a checkpoint.

Source: sqlite.org/howtocorrupt.html, "Posix advisory locks canceled by a separate thread doing close()".
"""

import itertools
import os

import apsw

from replication.sync.sqlite_errors import sqlite_errors

CACHE_PAGES = 2
"""SQLite reads one page through this connection; a process may have thousands of them."""

_numbers = itertools.count(1)


class _TapVFS(apsw.VFS):
    """The default VFS; it remembers the main file and the WAL of the one connection that uses it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.main: apsw.VFSFile | None = None
        self.wal: apsw.VFSFile | None = None
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        file = apsw.VFSFile("", name, flags)
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            self.main = file
        elif flags[0] & apsw.SQLITE_OPEN_WAL:
            self.wal = file
        return file


class TappedConnection:
    """A connection with a read transaction, and the bytes of its files; not for several threads at once."""

    def __init__(self, path: str, *, busy_timeout_s: float) -> None:
        """Open an existing database; no transaction is begun."""
        self.path = path
        self._is_closed = False
        self._vfs = _TapVFS(f"litestream-tap-{next(_numbers)}")
        try:
            with sqlite_errors(path):
                self._connection = apsw.Connection(
                    # A symbolic link is an error to APSW where a VFS passes the answer of the default one on.
                    os.path.realpath(path),
                    flags=apsw.SQLITE_OPEN_READWRITE,
                    vfs=self._vfs.name,
                )
                self._connection.set_busy_timeout(int(busy_timeout_s * 1000))
                self._connection.wal_autocheckpoint(0)
                self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                self._connection.pragma("mmap_size", 0)  # reads go to the descriptor, also while the file shrinks
                self._connection.pragma("cache_size", CACHE_PAGES)
                self._connection.pragma("shrink_memory")  # setting it has filled a cache of the old size
        except BaseException:
            self._vfs.unregister()
            raise

    @property
    def is_reading(self) -> bool:
        """Whether the read transaction lives: SQLite ends one by itself after an I/O error."""
        return self._connection.txn_state("main") == apsw.SQLITE_TXN_READ

    def begin_read(self) -> None:
        """Begin the read transaction; from here on it has a place in the WAL."""
        with sqlite_errors(self.path):
            self._connection.execute("BEGIN")
            try:
                self._connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
            except BaseException:
                self.end_read()
                raise

    def end_read(self) -> None:
        """End the read transaction, if there is one."""
        with sqlite_errors(self.path):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def page_count(self) -> int:
        """Return the size of the database as the read transaction sees it, in pages."""
        with sqlite_errors(self.path):
            return int(self._connection.pragma("page_count"))

    def read_main(self, offset: int, size: int) -> bytes:
        """Return bytes of the database file, as many as there are."""
        return self._read(self._vfs.main, offset, size)

    def read_wal(self, offset: int, size: int) -> bytes:
        """Return bytes of the WAL, as many as there are; they may be in the course of being written."""
        return self._read(self._vfs.wal, offset, size)

    def close(self) -> None:
        """End the transaction and close, which leaves the WAL as it is; a second time does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._connection.close()
            self._vfs.unregister()

    def _read(self, file: apsw.VFSFile | None, offset: int, size: int) -> bytes:
        if file is None:
            return b""
        with sqlite_errors(self.path):
            size = max(0, min(size, file.xFileSize() - offset))
            # APSW cannot tell how short a short read was, and cuts off zeros at its end: put them back. If the file was
            # truncated since it was measured, zeros are no valid frame.
            return file.xRead(size, offset).ljust(size, b"\0") if size else b""
