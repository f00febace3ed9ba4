"""Interior pages are sought after the first queries: then a look-up by key takes one round trip.

Method: a database with several tables and indexes, its snapshot in a client that counts; what SQLite says of its pages
(dbstat) is what must have been found, and nothing else may have been read. Bugs planted to see it fail: siblings of a
leaf sought too; a search that begins before a query was answered; one that does not end.
"""

import json
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import litestream
from replication.client.memory import MemoryReplicaClient
from tests.support.faulty_client import FaultyClient
from tests.support.waiting import wait_until
from vfs.functions import find_file

LONG_S = 3600.0
PAGE_SIZE = 1024
ROWS = 9000
TABLES = ("item", "other")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("search") / "app.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}; PRAGMA journal_mode = WAL").fetchall()
        for table in TABLES:
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT, body BLOB)")
            connection.execute(f"CREATE INDEX {table}_name ON {table} (name)")
            with connection:
                for number in range(ROWS):
                    values = (f"name {number * 7919 % ROWS:06}",)
                    connection.execute(f"INSERT INTO {table} (name, body) VALUES (?, randomblob(150))", values)
    return path


@pytest.fixture
def client(database: Path) -> FaultyClient:
    client = FaultyClient(MemoryReplicaClient())
    with closing(apsw.Connection(str(database))) as connection, litestream.replicate(connection, client) as store:
        store.sync()
        store.dbs()[0].snapshot()
    client.delete_ltx_files(list(client.ltx_files(0)))
    return client


def interior_pages(database: Path) -> int:
    with closing(apsw.Connection(str(database))) as connection:
        found = connection.execute("SELECT count(*) FROM dbstat WHERE pagetype = 'internal'").fetchone()
        assert found is not None
        return int(str(found[0]))


def prefetch(connection: apsw.Connection) -> dict[str, int]:
    found: dict[str, int] = json.loads(str(connection.pragma("litestream_stats")))["prefetch"]
    return found


def gets(connection: apsw.Connection) -> int:
    return int(json.loads(str(connection.pragma("litestream_stats")))["requests"]["get"])


def look_up(connection: apsw.Connection, table: str, number: int) -> int:
    """Look a row up, and return how many requests that took."""
    before = gets(connection)
    assert connection.execute(f"SELECT length(body) FROM {table} WHERE id = ?", (number,)).fetchall() == [(150,)]
    return gets(connection) - before


def test_all_interior_pages_are_found_and_a_look_up_then_takes_one_request(
    client: FaultyClient, database: Path
) -> None:
    with closing(litestream.connect(client, poll_interval_s=LONG_S)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        assert look_up(connection, "item", 8000) >= 2
        assert prefetch(connection)["prefetched"] == 0, "the first query is not answered any faster by that"
        search = find_file(connection, "main").replica.interior_search

        def is_done() -> bool:
            connection.execute("SELECT count(*) FROM item WHERE id = 1").fetchall()
            return search.is_done

        look_up(connection, "item", 5000)
        wait_until(is_done, "the search", timeout_s=20)
        file = find_file(connection, "main")
        known = file.replica._pages.interiors._nodes
        assert len(known) == interior_pages(database)
        # The probes among the leaves, one for each interior page at the bottom, at most.
        assert prefetch(connection)["prefetched"] <= 2 * interior_pages(database) + 8
        for table in TABLES:
            assert [look_up(connection, table, number) for number in (2222, 4444, 6666)] == [1, 1, 1]


def test_with_prefetch_off_nothing_is_sought(client: FaultyClient) -> None:
    with closing(litestream.connect(client, poll_interval_s=LONG_S, prefetch=False)) as connection:
        for number in range(1, 4000, 97):
            look_up(connection, "item", number)
        assert set(prefetch(connection).values()) == {0}


def test_the_search_stays_within_its_share_of_the_page_cache(client: FaultyClient) -> None:
    size = 64 * 1024
    with closing(litestream.connect(client, poll_interval_s=LONG_S, cache_size=size)) as connection:
        search = find_file(connection, "main").replica.interior_search
        look_up(connection, "item", 1)

        def is_done() -> bool:
            look_up(connection, "item", 5000)
            return search.is_done

        wait_until(is_done, "the search", timeout_s=20)
        assert 0 < prefetch(connection)["prefetched"] <= size / 4 / PAGE_SIZE
