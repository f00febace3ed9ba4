"""Reading a replica in tests: polled by hand, and compared page by page past SQLite's own cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import apsw

import litestream
from replication.client.base import ReplicaClient
from tests.support.primary import Image, masked
from vfs.file import ReplicaFile
from vfs.functions import find_file

NEVER_S = 24 * 3600.0
"""A poll interval so long that only the test itself polls."""

_numbers = count(1)


@contextmanager
def followed(client: ReplicaClient, **options: Any) -> Iterator[litestream.ReadReplica]:  # noqa: ANN401
    """A registered replica that only the test polls."""
    name = f"followed-{next(_numbers)}"
    with litestream.register_read_replica(name, client, **{"poll_interval_s": NEVER_S, **options}) as replica:
        yield replica


@contextmanager
def opened(
    replica: litestream.ReadReplica, parameters: str = "", *, sqlite_cache: bool = True
) -> Iterator[apsw.Connection]:
    """A connection to a registered replica; without SQLite's own page cache where that would hide a wrong view."""
    connection = connect(replica, parameters, sqlite_cache=sqlite_cache)
    try:
        yield connection
    finally:
        connection.close()


def connect(replica: litestream.ReadReplica, parameters: str = "", *, sqlite_cache: bool = True) -> apsw.Connection:
    uri = f"file:{replica.name}?vfs=litestream{parameters and '&' + parameters}"
    connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    if not sqlite_cache:
        connection.execute("PRAGMA cache_size = 0")
    return connection


def file_of(connection: apsw.Connection, schema: str = "main") -> ReplicaFile:
    """The file behind a connection."""
    return find_file(connection, schema)


def begin(connection: apsw.Connection) -> None:
    """Begin a transaction by reading one row, so that most pages are read only later."""
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)").fetchall()
    except BaseException:
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")
        raise


def image_of(connection: apsw.Connection, schema: str = "main") -> Image:
    """Every byte of the database as the file gives it, in the transaction under way, or in one of its own."""
    inside = not connection.get_autocommit()
    if not inside:
        begin(connection)
    try:
        return _image_of(file_of(connection, schema))
    finally:
        if not inside and not connection.get_autocommit():
            connection.execute("ROLLBACK")


def pager_image_of(connection: apsw.Connection) -> bytes:
    """The database as SQLite's page cache gives it, masked; after an error it would hold zeros, so expect none."""
    connection.execute("BEGIN")
    try:
        return masked(connection.serialize("main"))
    finally:
        connection.execute("ROLLBACK")


def assert_same(seen: Image, expected: Image) -> None:
    """Compare but for what a view may change, and name the pages that differ."""
    assert (seen.page_size, seen.commit) == (expected.page_size, expected.commit)
    ours, theirs = Image(seen.page_size, masked(seen.data)), Image(seen.page_size, masked(expected.data))
    different = [pgno for pgno in range(1, seen.commit + 1) if ours.page(pgno) != theirs.page(pgno)]
    assert not different, f"pages {different} of {seen.commit} differ"


def _image_of(file: ReplicaFile) -> Image:
    view = file.view
    pages = []
    for pgno in range(1, view.commit + 1):
        page = file.xRead(view.page_size, (pgno - 1) * view.page_size)
        assert len(page) == view.page_size, f"page {pgno} of {view.commit} is short"
        pages.append(page)
    return Image(view.page_size, b"".join(pages))
