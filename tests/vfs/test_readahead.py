"""Goal: cold queries cost few round trips, and guess little that nobody wants.

Method: a replica on a real HTTP S3 server that delays each request and logs it; what a query asks for is compared with
fetching ahead on and off. Bugs planted to see it fail: a window that never grows, a run that ends at the last child of
an interior page, entries of an index leaf followed past those with the same key, a failed range that is kept.
"""

import json
import random
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest

import litestream
from replication.client.url import replica_client
from tests.support.faulty_client import FaultyClient
from tests.support.s3_server import S3Request, S3Server, count_by_kind, sequential_depth
from tests.support.waiting import wait_until
from vfs.functions import find_file

DELAY_MS = 10
LONG_DELAY_MS = 60  # longer than the server takes for many at once, so that it shows what waited for what
LONG_S = 3600.0  # no poll happens by itself
ROWS = 6000
BLOB_SIZE = 400_000
PAGE_SIZE = 1024

POINT = "SELECT body FROM item WHERE id = 7001"
RANGE = "SELECT sum(length(body)) FROM item WHERE id BETWEEN 3000 AND 4200"
DESCENDING = "SELECT sum(length(body)) FROM (SELECT body FROM item WHERE id <= 5000 ORDER BY id DESC LIMIT 1200)"
SCAN = "SELECT sum(length(body)) FROM item"
TEN = "SELECT sum(length(body)) FROM item WHERE kind = 'kind 0222'"
SCATTERED = "SELECT sum(length(body)) FROM item WHERE number BETWEEN 5000 AND 5150"
AGGREGATE = "SELECT count(*), max(number) FROM item INDEXED BY item_number WHERE number >= 0"
BLOB = "SELECT length(data), sum(unicode(substr(data, 399999, 1))) FROM large WHERE id = 2"
QUERIES = (POINT, RANGE, DESCENDING, SCAN, TEN, SCATTERED, AGGREGATE, BLOB)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readahead") / "app.db"
    chance = random.Random(1)  # noqa: S311 - rows, not secrets
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}; PRAGMA journal_mode = WAL").fetchall()
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, kind TEXT, number INTEGER, body TEXT)")
        with connection:
            for number in range(ROWS):
                values = (
                    f"kind {number * 7919 % (ROWS // 10):04}",
                    number * 104_729 % ROWS,
                    chance.randbytes(60).hex(),
                )
                connection.execute("INSERT INTO item (kind, number, body) VALUES (?, ?, ?)", values)
        connection.execute("CREATE INDEX item_kind ON item (kind); CREATE INDEX item_number ON item (number)")
        connection.execute("CREATE TABLE large (id INTEGER PRIMARY KEY, data BLOB)")
        connection.execute("INSERT INTO large VALUES (1, 'small'), (2, ?)", (chance.randbytes(BLOB_SIZE),))
    return path


@pytest.fixture(scope="module")
def url(server: S3Server, database: Path) -> str:
    """A snapshot of the database, and a few small files after it."""
    url = server.url("readahead")
    with closing(apsw.Connection(str(database))) as connection, litestream.replicate(connection, url) as store:
        store.sync()
        store.dbs()[0].snapshot()
        for number in range(5):
            connection.execute("UPDATE item SET body = body || 'x' WHERE id = ?", (number * 1000 + 1,))
            store.sync()
    client = replica_client(url)
    client.delete_ltx_files(list(client.ltx_files(0))[:1])  # the first one is the snapshot too
    return url


def ask(
    server: S3Server, url: str, sql: str, *, prefetch: bool | int, delay_ms: float = DELAY_MS
) -> tuple[object, list[S3Request], dict[str, int]]:
    """Return the rows of a query on a cold replica, its requests, and the counters of fetching ahead."""
    server.reset()
    with closing(litestream.connect(url, poll_interval_s=LONG_S, prefetch=prefetch)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        before = json.loads(str(connection.pragma("litestream_stats")))
        server.reset()
        server.set_delay_ms(delay_ms)
        rows = connection.execute(sql).fetchall()
        after = json.loads(str(connection.pragma("litestream_stats")))
        pages = [sum(stats["cache"][name] for name in ("hits", "misses")) for stats in (before, after)]
        stats = {**after["prefetch"], "pages": pages[1] - pages[0]}
        requests = server.requests()
        server.set_delay_ms(0)
    return rows, requests, stats


@pytest.mark.parametrize("sql", QUERIES)
def test_the_answer_is_that_of_the_source(server: S3Server, url: str, database: Path, sql: str) -> None:
    with closing(apsw.Connection(str(database))) as connection:
        expected = connection.execute(sql).fetchall()
    rows, requests, _ = ask(server, url, sql, prefetch=True)
    assert rows == expected
    assert set(count_by_kind(requests)) == {"GET"}


def test_a_point_takes_a_request_for_each_level_and_guesses_nothing(server: S3Server, url: str) -> None:
    _, requests, stats = ask(server, url, POINT, prefetch=True)
    assert len(requests) <= 4
    assert stats["prefetched"] == 0


@pytest.mark.parametrize(("sql", "factor"), [(RANGE, 10), (DESCENDING, 10), (SCAN, 30), (AGGREGATE, 6), (BLOB, 30)])
def test_pages_in_a_row_take_few_round_trips(server: S3Server, url: str, sql: str, factor: int) -> None:
    _, requests, stats = ask(server, url, sql, prefetch=True)
    pages = stats["pages"]
    assert sequential_depth(requests) * factor <= pages
    assert len(requests) * 4 <= pages
    assert stats["used"] * 2 >= stats["prefetched"]


def test_without_it_each_page_is_a_request_and_a_round_trip(server: S3Server, url: str) -> None:
    _, requests, stats = ask(server, url, RANGE, prefetch=False)
    assert sequential_depth(requests) == len(requests) > 100
    assert stats.pop("pages") - len(requests) in range(4)  # pages of the small files came with those
    assert set(stats.values()) == {0}


def test_ten_rows_of_one_key_come_at_once_and_nothing_else(server: S3Server, url: str) -> None:
    _, plain, _ = ask(server, url, TEN, prefetch=False)
    _, ahead, stats = ask(server, url, TEN, prefetch=True, delay_ms=LONG_DELAY_MS)
    assert len(plain) >= 15
    assert sequential_depth(ahead) <= 7
    assert len(ahead) <= len(plain)
    assert stats["used"] == stats["prefetched"] > 0


def test_rows_scattered_over_the_table_are_fetched_side_by_side(server: S3Server, url: str) -> None:
    _, ahead, stats = ask(server, url, SCATTERED, prefetch=True)
    assert stats["pages"] >= 120
    assert sequential_depth(ahead) * 5 <= stats["pages"]
    assert stats["used"] >= 0.6 * stats["prefetched"]


def test_a_size_bounds_what_is_fetched_and_not_used(server: S3Server, url: str) -> None:
    size = 64 * 2**10
    _, requests, stats = ask(server, url, SCAN, prefetch=size)
    assert stats["used"] > 0
    assert stats["bytes"] - stats["bytes_used"] <= size
    assert max(request.bytes for request in requests) <= size


@pytest.mark.parametrize("cache_size", [-1, 64 * 2**10])
def test_what_one_transaction_was_shown_is_nothing_to_the_next(
    server: S3Server, tmp_path: Path, cache_size: int
) -> None:
    url = server.url(f"next-{cache_size}")
    with closing(apsw.Connection(str(tmp_path / "app.db"))) as source:
        source.execute(
            f"PRAGMA page_size = {PAGE_SIZE}; PRAGMA journal_mode = WAL; CREATE TABLE item (body)"
        ).fetchall()
        with source:
            source.executemany("INSERT INTO item VALUES (?)", [(f"{number} {'x' * 400}",) for number in range(2000)])
        with litestream.replicate(source, url) as store:
            store.sync()
            with closing(litestream.connect(url, poll_interval_s=LONG_S, cache_size=cache_size)) as connection:
                for number in range(4):
                    rows = connection.execute("SELECT rowid, body FROM item")
                    begun = [row for row, _ in zip(rows, range(500 + 200 * number), strict=False)]
                    assert begun == source.execute("SELECT rowid, body FROM item LIMIT ?", (len(begun),)).fetchall()
                    rows.close()
                    source.execute("UPDATE item SET body = ? || body", (str(number),))
                    store.sync()
                    connection.pragma("litestream_poll")
                assert (
                    connection.execute("SELECT * FROM item").fetchall()
                    == source.execute("SELECT * FROM item").fetchall()
                )


def test_a_scan_takes_few_round_trips_and_its_beginning_few_bytes(server: S3Server, url: str) -> None:
    _, requests, _ = ask(server, url, SCAN, prefetch=True, delay_ms=LONG_DELAY_MS)
    assert sequential_depth(requests) <= 8
    _, first, stats = ask(server, url, "SELECT sum(length(body)) FROM (SELECT body FROM item LIMIT 20)", prefetch=True)
    assert stats["prefetched"] <= 20
    assert sum(request.bytes for request in first) <= 25 * PAGE_SIZE


def test_a_scan_has_the_way_to_its_leaves_before_it_needs_it(server: S3Server, tmp_path: Path) -> None:
    url = server.url("many-interiors")
    chance = random.Random(1)  # noqa: S311 - rows, not secrets
    with closing(apsw.Connection(str(tmp_path / "app.db"))) as source:
        source.execute("PRAGMA page_size = 2048; PRAGMA journal_mode = WAL; CREATE TABLE item (body)").fetchall()
        with source:
            source.executemany("INSERT INTO item VALUES (?)", [(chance.randbytes(900),) for _ in range(4000)])
        with litestream.replicate(source, url) as store:
            store.sync()
            store.dbs()[0].snapshot()
    client = replica_client(url)
    client.delete_ltx_files(list(client.ltx_files(0)))
    _, requests, stats = ask(server, url, "SELECT sum(length(body)) FROM item", prefetch=True, delay_ms=LONG_DELAY_MS)
    assert stats["pages"] > 2000
    assert sequential_depth(requests) <= 7


def test_it_is_switched_by_a_pragma(server: S3Server, url: str) -> None:
    with closing(litestream.connect(url, poll_interval_s=LONG_S)) as connection:
        assert connection.pragma("litestream_prefetch") == "on"
        assert connection.pragma("litestream_prefetch", "off") == "off"
        connection.execute(RANGE).fetchall()
        assert json.loads(str(connection.pragma("litestream_stats")))["prefetch"]["prefetched"] == 0
        assert connection.pragma("litestream_prefetch", "1MiB") == str(2**20)
        connection.execute(SCAN).fetchall()
        assert json.loads(str(connection.pragma("litestream_stats")))["prefetch"]["prefetched"] > 0
    assert server.requests()


def test_requests_that_fail_are_made_again_one_by_one(server: S3Server, url: str, database: Path) -> None:
    with closing(apsw.Connection(str(database))) as connection:
        expected = connection.execute(SCAN).fetchall()
    with closing(litestream.connect(url, poll_interval_s=LONG_S)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        server.fail_at_random(0.1, seed=3)
        try:
            assert connection.execute(SCAN).fetchall() == expected
        finally:
            server.reset()


def test_ranges_that_failed_are_forgotten(url: str) -> None:
    client = FaultyClient(replica_client(url))
    with closing(litestream.connect(client, poll_interval_s=LONG_S)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        client.fail("read_ltx", litestream.UnavailableError("down"), after=6, times=6)
        with suppress(apsw.IOError):  # a page that is waited for may be among them
            connection.execute(SCAN).fetchall()
        ahead = find_file(connection, "main").replica._pages.ahead
        wait_until(lambda: ahead._in_flight == 0, "the requests under way", timeout_s=20)
        assert client.count("read_ltx") > 6
        assert not [landing for landing in ahead._landings.values() if landing.future.exception()]
