"""Goal: rows that a join looks up by rowid come side by side, and a query that looks none up fetches none ahead.

Method: cold queries on a replica on a real HTTP S3 server that delays each request and logs it. Which rows are walked
along is seen at the walks themselves. Bugs planted to see it fail: a walk that ends with its leaf, that begins at any
two values, that knows one direction only, that follows only the first of two columns.
"""

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

import litestream
from replication.client.url import replica_client
from tests.support.s3_server import S3Request, S3Server, count_by_kind, sequential_depth
from vfs.records import ENTRIES
from vfs.walk import Walk

DELAY_MS = 60  # longer than the server takes for many at once, so that it shows what waited for what
LONG_S = 3600.0  # no poll happens by itself
PAGE_SIZE = 1024
EVENTS, CUSTOMERS, ROWS = 3000, 3000, 50

JOIN = f"""SELECT event.id, name FROM event CROSS JOIN customer ON customer.id = customer
    WHERE event.id BETWEEN 2001 AND {2000 + ROWS}"""
DESCENDING = f"{JOIN} ORDER BY event.id DESC"
TWO_COLUMNS = """SELECT event.id, one.name, two.name FROM event CROSS JOIN customer one ON one.id = customer
    CROSS JOIN customer two ON two.id = payer WHERE event.id BETWEEN 1001 AND 1030"""
LINKED = """SELECT first, name FROM link CROSS JOIN customer ON customer.id = middle
    WHERE first BETWEEN 100 AND 104"""
SMALL = "SELECT small.id, name FROM small CROSS JOIN customer ON customer.id = customer"
JOINS = {"join": JOIN, "descending": DESCENDING, "two columns": TWO_COLUMNS, "linked": LINKED, "small": SMALL}

TWO_SCANS = "SELECT sum(length(body)) FROM event UNION ALL SELECT sum(length(name)) FROM customer"
INTERLEAVED = "SELECT count(*) FROM (SELECT id FROM event UNION SELECT id + 10000 FROM customer ORDER BY id)"
POINTS = """SELECT body FROM event WHERE id = 77 UNION ALL SELECT name FROM customer WHERE id = 2222
    UNION ALL SELECT body FROM event WHERE id = 2900 UNION ALL SELECT name FROM customer WHERE id = 18"""
PARENTS = """SELECT child.id, parent.id FROM node child CROSS JOIN node parent ON parent.id = child.parent
    WHERE child.id BETWEEN 1500 AND 1540"""
UNNAMED = "SELECT count(*), sum(flag + size), (SELECT sum(length(name)) FROM customer) FROM event"
OTHERS = {"scans": TWO_SCANS, "interleaved": INTERLEAVED, "points": POINTS, "parents": PARENTS, "unnamed": UNNAMED}


class Answer(NamedTuple):
    """The rows of a cold query, its requests, and the counters of fetching ahead."""

    rows: list[Any]
    requests: list[S3Request]
    stats: dict[str, int]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("walks") / "app.db"
    chance = random.Random(1)  # noqa: S311 - rows, not secrets

    def customer() -> int:
        return chance.randint(1, CUSTOMERS)

    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}; PRAGMA journal_mode = WAL").fetchall()
        connection.execute("""
            CREATE TABLE event (id INTEGER PRIMARY KEY, flag INTEGER, size INTEGER, number INTEGER,
                customer INTEGER, payer INTEGER, body TEXT);
            CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE link (first INTEGER, middle INTEGER, kind TEXT, PRIMARY KEY (first, middle, kind))
                WITHOUT ROWID;
            CREATE TABLE node (id INTEGER PRIMARY KEY, parent INTEGER, data TEXT);
        """)
        with connection:
            for number in range(EVENTS):
                named = None if number % 13 == 0 else customer()
                row = number % 2, chance.randint(0, 300), number * 7919 % EVENTS, named, customer()
                connection.execute(
                    "INSERT INTO event (flag, size, number, customer, payer, body) VALUES (?, ?, ?, ?, ?, ?)",
                    (*row, chance.randbytes(40).hex()),
                )
            for _ in range(CUSTOMERS):
                connection.execute("INSERT INTO customer (name) VALUES (?)", (chance.randbytes(60).hex(),))
            for number in range(2000):
                connection.execute("INSERT INTO link VALUES (?, ?, ?)", (number // 8, customer(), f"kind {number}"))
            for number in range(2000):
                values = chance.randint(1, number + 1), chance.randbytes(60).hex()
                connection.execute("INSERT INTO node (parent, data) VALUES (?, ?)", values)
        connection.execute("CREATE INDEX event_number ON event (number)")
        # Its one page is the last: the first ones come with the head of the file, and are not asked for.
        connection.execute("CREATE TABLE small (id INTEGER PRIMARY KEY, customer INTEGER)")
        for number in range(25):  # customers on leaves far apart, below one interior page
            connection.execute("INSERT INTO small (customer) VALUES (?)", (number * 7 % 25 * 16 + 1,))
    return path


@pytest.fixture(scope="module")
def url(server: S3Server, database: Path) -> str:
    url = server.url("walks")
    with closing(apsw.Connection(str(database))) as connection, litestream.replicate(connection, url) as store:
        store.sync()
        store.dbs()[0].snapshot()
    client = replica_client(url)
    client.delete_ltx_files(list(client.ltx_files(0))[:1])  # it is the snapshot too
    return url


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[Walk]:
    """The walks that were gone on with, as often as they were."""
    walked: list[Walk] = []
    go_on = Walk.go_on

    def noted(walk: Walk, view: Any, pgno: int) -> None:  # noqa: ANN401 - passed on
        walked.append(walk)
        go_on(walk, view, pgno)

    monkeypatch.setattr(Walk, "go_on", noted)
    return walked


def ask(server: S3Server, url: str, sql: str, *, prefetch: bool = True) -> Answer:
    with closing(litestream.connect(url, poll_interval_s=LONG_S, prefetch=prefetch)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        server.reset()
        server.set_delay_ms(DELAY_MS)
        try:
            rows = connection.execute(sql).fetchall()
        finally:
            server.set_delay_ms(0)
        stats = json.loads(str(connection.pragma("litestream_stats")))["prefetch"]
        return Answer(rows, server.requests(), stats)


def source(database: Path, sql: str) -> list[Any]:
    with closing(apsw.Connection(str(database))) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("name", JOINS)
def test_a_join_takes_few_round_trips(server: S3Server, url: str, database: Path, name: str) -> None:
    plain = ask(server, url, JOINS[name], prefetch=False)
    ahead = ask(server, url, JOINS[name])
    assert ahead.rows == plain.rows == source(database, JOINS[name])
    assert set(count_by_kind(ahead.requests)) == {"GET"}
    assert sequential_depth(plain.requests) == len(plain.requests)
    assert sequential_depth(ahead.requests) * 2 <= len(plain.requests)
    assert len(ahead.requests) <= 1.25 * len(plain.requests)
    assert ahead.stats["used"] >= 0.5 * ahead.stats["prefetched"]


@pytest.mark.parametrize(
    ("rows", "prefetched", "round_trips"),
    [
        (1, 0, 3),
        (2, 1 + 4, 5),  # the leaf that is wanted, and those of four rows to come
        (6, 1 + 4 + 6, 6),  # when half of those four are used, up to eight rows to come
    ],
)
def test_guesses_begin_at_the_second_row_with_four(
    server: S3Server, url: str, rows: int, prefetched: int, round_trips: int
) -> None:
    answer = ask(server, url, f"{SMALL} WHERE small.id <= {rows}")
    assert len(answer.rows) == rows
    assert answer.stats["prefetched"] == prefetched
    assert sequential_depth(answer.requests) <= round_trips


def test_a_walk_goes_on_from_leaf_to_leaf(server: S3Server, url: str, walked: list[Walk]) -> None:
    ask(server, url, JOIN)
    assert len(set(walked)) == 1
    assert walked[-1].length >= 0.8 * ROWS  # some customers are on leaves that were read before, or are none


def test_each_of_two_columns_is_walked_along(server: S3Server, url: str, walked: list[Walk]) -> None:
    ask(server, url, TWO_COLUMNS)
    assert {walk.source for walk in walked} == {4, 5}


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_the_rows_of_an_index_are_walked_along_in_both_directions(
    server: S3Server, url: str, database: Path, walked: list[Walk], order: str
) -> None:
    sql = f"SELECT id, body FROM event WHERE number BETWEEN 800 AND 2000 ORDER BY number {order} LIMIT 60"
    answer = ask(server, url, sql)
    assert answer.rows == source(database, sql)
    assert {walk.source for walk in walked} == {ENTRIES}
    assert walked[-1].step == (1 if order == "ASC" else -1)
    assert sequential_depth(answer.requests) * 3 <= 60


@pytest.mark.parametrize("name", OTHERS)
def test_what_looks_no_rows_up_along_others_begins_no_walk(
    server: S3Server, url: str, database: Path, walked: list[Walk], name: str
) -> None:
    assert ask(server, url, OTHERS[name]).rows == source(database, OTHERS[name])
    assert walked == []


@pytest.mark.parametrize(
    ("ids", "prefetched", "round_trips"),
    [
        ((10, 60, 110), 0, 4),  # an interior page and three leaves below it
        ((10, 1000), 0, 4),  # two interior pages that are neighbours, as in a scan, and two leaves
        ((10, 2000, 2990), 3, 5),  # two interior pages, the second of them with all others, and three leaves
    ],
)
def test_interior_pages_come_together_once_two_apart_were_needed(
    server: S3Server, url: str, ids: tuple[int, ...], prefetched: int, round_trips: int
) -> None:
    answer = ask(server, url, f"SELECT name FROM customer WHERE id IN {ids}")
    assert len(answer.rows) == len(ids)
    assert answer.stats["prefetched"] == prefetched
    assert sequential_depth(answer.requests) <= round_trips
