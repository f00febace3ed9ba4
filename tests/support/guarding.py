"""Guards around a database, and connections of the module sqlite3 to it."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from replication.sync.descriptors import FileId, open_files
from replication.sync.guard import Guard

REFUSED = "apsw-litestream replicate"
"""What every refusal advises."""


def make_database(path: Path) -> Path:
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE item (body)")
    return path


@contextmanager
def guarding(path: Path) -> Iterator[Guard]:
    with closing(Guard(path, path.stat(), logger=logging.getLogger("litestream.replication"))) as guard:
        yield guard


def read(connection: apsw.Connection | sqlite3.Connection, schema: str = "main") -> None:
    connection.execute(f"SELECT * FROM {schema}.item").fetchall()


def connect_sqlite3(path: Path, *, check_same_thread: bool = True) -> sqlite3.Connection:
    """A connection of the module sqlite3 that has a lock on the database."""
    connection = sqlite3.connect(path, check_same_thread=check_same_thread)
    read(connection)
    return connection


def in_thread(function: Callable[[], object]) -> None:
    """Run a function in another thread that ends."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


@contextmanager
def connected_elsewhere(path: Path) -> Iterator[None]:
    """A connection of a thread that does nothing with it meanwhile, and that no other may ask."""
    is_open, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(connect_sqlite3(path)):
            is_open.set()
            is_done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    is_open.wait()
    try:
        yield
    finally:
        is_done.set()
        thread.join()


@contextmanager
def other_connections(path: Path) -> Iterator[None]:
    """Connections of the module sqlite3 to other databases, in this thread and in another; and closed ones to this."""
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE item (body)")
        closed: list[sqlite3.Connection] = []  # they live on

        def connect_and_close() -> None:
            closed.append(sqlite3.connect(path))
            closed[-1].close()

        connect_and_close()
        in_thread(connect_and_close)
        closed.append(sqlite3.Connection.__new__(sqlite3.Connection))
        with connected_elsewhere(other), closing(sqlite3.connect(":memory:")):
            yield


def descriptor_count(path: Path) -> int:
    return open_files()[FileId.of(path.stat())]


def take_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged since the last time."""
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found
