"""Scans after other scans, beside others, and of more than the page cache holds cost about what one alone does.

Method: requests are counted by a client that is taken for a remote one. Bugs planted to see it fail: what a given-up
scan had fetched counts for ever against the next statement, or within a transaction against the next scan; a run that
has ended goes on to show pages; cached pages are counted on, whatever pushes them out until they are read, or
pages that had landed and had to give way; whoever takes a page of a range has the others shown to the connection that
asked for it.
"""

import random
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import apsw
import pytest

import litestream
from replication.client.url import replica_client
from tests.support.faulty_client import FaultyClient
from vfs.functions import find_file

LONG_S = 3600.0  # no poll happens by itself
LEAVES = 2000  # of each table, a little more
SMALL = 2**20  # a cache that holds less than a quarter of a table
AHEAD = 2**20  # bytes that may be fetched and not used


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("many-scans")
    url = f"file://{directory}/replica"
    chance = random.Random(1)  # noqa: S311 - rows, not secrets
    with closing(apsw.Connection(str(directory / "app.db"))) as source:
        source.execute("PRAGMA journal_mode = WAL; CREATE TABLE one (body); CREATE TABLE other (body)").fetchall()
        with source:
            for table in ("one", "other"):
                rows = [(chance.randbytes(900),) for _ in range(LEAVES * 4)]
                source.executemany(f"INSERT INTO {table} VALUES (?)", rows)
        with litestream.replicate(source, url) as store:
            store.sync()
            store.dbs()[0].snapshot()
    client = replica_client(url)
    client.delete_ltx_files(list(client.ltx_files(0)))
    return url


@pytest.fixture
def client(url: str) -> Iterator[FaultyClient]:
    client = FaultyClient(replica_client(url))
    yield client
    client.close()


def connect(client: FaultyClient, cache_size: int = SMALL) -> apsw.Connection:
    connection = litestream.connect(
        client, name=f"scans-{id(client)}", poll_interval_s=LONG_S, cache_size=cache_size, prefetch=AHEAD
    )
    connection.execute("PRAGMA cache_size = 10; SELECT count(*) FROM sqlite_schema").fetchall()
    return connection


def cost(client: FaultyClient, connection: apsw.Connection, table: str) -> int:
    """Return how many requests a full scan makes."""
    before = client.count("read_ltx")
    assert connection.execute(f"SELECT count(*), sum(length(body)) FROM {table}").fetchone() == (
        LEAVES * 4,
        LEAVES * 4 * 900,
    )
    return client.count("read_ltx") - before


def give_up(connection: apsw.Connection, rows: int) -> None:
    assert len(connection.execute("SELECT body FROM one LIMIT ?", (rows,)).fetchall()) == rows


@pytest.mark.parametrize("begin", ["", "BEGIN"])
@pytest.mark.parametrize("given_up", [[3000], [3000, 4000, 6000]])
def test_a_scan_after_scans_that_were_given_up(client: FaultyClient, begin: str, given_up: list[int]) -> None:
    with closing(connect(client)) as connection:
        connection.execute(begin)
        for rows in given_up:
            give_up(connection, rows)
        assert cost(client, connection, "other") <= 120


def test_nothing_counts_against_a_connection_whose_scans_have_ended(client: FaultyClient) -> None:
    with closing(connect(client)) as connection:
        for rows in [500, 3000, 700, 4000, 6000, 100, 900] * 2:
            give_up(connection, rows)
        assert cost(client, connection, "one") <= 120


@pytest.mark.parametrize("cache_size", [SMALL, 4 * SMALL, 7 * SMALL])
def test_scan_after_scan_of_more_than_the_cache_holds(client: FaultyClient, cache_size: int) -> None:
    with closing(connect(client, cache_size)) as one, closing(connect(client, cache_size)) as other:
        costs = [cost(client, connection, "one") for connection in (one, one, other, other, one)]
        assert max(costs) <= 120


def test_scans_of_two_connections_side_by_side_on_one_thread(client: FaultyClient) -> None:
    with closing(connect(client, 2**16)) as one, closing(connect(client, 2**16)) as other:
        for behind in (0, 1):
            before = client.count("read_ltx")
            queries = [connection.execute("SELECT body FROM one") for connection in (one, other)]
            rows = deque(islice(queries[0], behind))
            for row in queries[0]:
                rows.append(row)
                assert next(queries[1]) == rows.popleft()
            assert client.count("read_ltx") - before <= 300


def test_a_scan_whose_pages_had_to_give_way_goes_on_in_ranges(client: FaultyClient) -> None:
    with closing(connect(client)) as connection:
        rows = connection.execute("SELECT body FROM one")
        assert len(list(islice(rows, 4000))) == 4000
        before = client.count("read_ltx")
        find_file(connection, "main").replica._pages.ahead.clear()
        assert len(list(rows)) == LEAVES * 4 - 4000
        assert client.count("read_ltx") - before <= 22
