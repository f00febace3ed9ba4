"""Hearing of the commits of a connection in this process, instead of looking for them.

SQLite has one such hook for a connection, and its automatic checkpoints are that hook: ours takes their place, and a
`DB` checkpoints instead. It does nothing but wake the sync, so that a commit costs microseconds more. Somebody who sets
another hook, or asks for automatic checkpoints again, displaces it: then commits are found by looking, which is slower
and loses nothing.

Source: sqlite.org/c3ref/wal_hook.html.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import apsw

from replication.errors import UsageError


def database_path(connection: apsw.Connection) -> str:
    """Return the path of a connection's main database.

    Raises:
        UsageError: it is closed, in memory, temporary, or opened read-only.

    """
    try:
        path = connection.db_filename("main")
    except apsw.ConnectionClosedError as error:
        msg = "expected an open connection, got a closed one"
        raise UsageError(msg) from error
    if not path:
        msg = "expected a connection to a database in a file, got one to a database in memory"
        raise UsageError(msg)
    if connection.readonly("main"):
        msg = f"expected a connection that may write, got a read-only one of {path}"
        raise UsageError(msg)
    return path


class CommitHook:
    """The hook of one connection; a context manager that takes it away."""

    def __init__(self, connection: apsw.Connection, wake: Callable[[], None]) -> None:
        """Call `wake` after each commit to the connection's main database, on the thread that commits."""
        self._connection = connection
        self._autocheckpoint_pages = pages = int(connection.pragma("wal_autocheckpoint"))
        self._is_closed = is_closed = threading.Event()

        def committed(connection: apsw.Connection, name: str, _pages: int) -> int:
            if is_closed.is_set():
                connection.wal_autocheckpoint(pages)
            elif name == "main":
                wake()
            return apsw.SQLITE_OK

        connection.set_wal_hook(committed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the hook away, and let the connection checkpoint as it did; one that is closed needs nothing.

        While another thread works with the connection that cannot be done: then the next commit does it.
        """
        self._is_closed.set()
        with suppress(apsw.ConnectionClosedError, apsw.ThreadingViolationError):
            self._connection.wal_autocheckpoint(self._autocheckpoint_pages)
