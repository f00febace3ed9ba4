"""The database all queries are about: 106 MB in pages of 4 KiB, built once and kept, and its replica.

- `event`, the main table: 300,000 rows of some 170 bytes on 12,500 leaves. Of each `device` there are ten rows,
  scattered over a twentieth of the table; `number` is a permutation of 1 to the row count.
- `customer`, which an event points to; `customer_region` is the index to aggregate over, of some 330 pages.
- `note`, full-text.

The replica is a snapshot, files of level 1 after it, and files of level 0 after those. The later commits change a few
rows each. All content is of a seeded generator.
"""

import random
import tempfile
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path

import apsw

from benchmarks.compare.cache import cached
from benchmarks.static_s3 import link_levels
from replication.client.file import FileReplicaClient
from replication.db import DB
from replication.replica import Replica

VERSION = 1
EVENTS = 300_000
GROUP = 15_000  # events that share devices
EVENTS_PER_DEVICE = 10
SPREAD = 7919  # a prime: what is multiplied by it, modulo a count, is scattered
LEVEL_1_FILES = 10
LEVEL_0_FILES = 10  # that are in none of level 1
COMMITS_PER_FILE = 3  # of level 1
CHANGES_PER_COMMIT = 3
ROWS_AT_ONCE = 20_000
WORDS = 4_000  # some of them often, as in any language
PLACE = "app"
FIRST_FILE = f"{1:016x}-{1:016x}.ltx"

_LETTERS = "abcdefghijklmnoprstuvwy"
_SCHEMA = """
CREATE TABLE event (id INTEGER PRIMARY KEY, device TEXT, number INTEGER, customer INTEGER, body TEXT);
CREATE TABLE customer (id INTEGER PRIMARY KEY, region TEXT, balance INTEGER, name TEXT, address TEXT);
CREATE VIRTUAL TABLE note USING fts5 (title, body);
"""
_INDEXES = """
CREATE INDEX event_device ON event (device);
CREATE INDEX event_number ON event (number);
CREATE INDEX customer_region ON customer (region, balance);
"""


def replica_of_events(
    events: int = EVENTS, *, level_1_files: int = LEVEL_1_FILES, level_0_files: int = LEVEL_0_FILES
) -> Path:
    """Return the directory of a bucket with the replica at `PLACE`, built if it is not in the cache."""

    def build(directory: Path) -> None:
        replica = directory / "replica"
        with tempfile.TemporaryDirectory(prefix="bench-compare-") as name:
            database = Path(name, "app.db")
            build_database(database, events)
            replicate(database, replica, level_1_files, level_0_files)
        (replica / "ltx" / "0" / FIRST_FILE).unlink()  # as retention does with what a snapshot holds
        link_levels(replica / "ltx", directory / PLACE)

    return cached(f"events-{VERSION}-{events}-{level_1_files}-{level_0_files}", build)


def build_database(path: Path, events: int) -> None:
    """Write the database, tables one after the other, so that each lies in one piece."""
    chance = random.Random(1)  # noqa: S311 - content, not a secret
    words = Words()
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; {_SCHEMA}").fetchall()
    customers = max(events * 3 // 20, 10)
    insert(connection, "event", 5, event_rows(events, customers, words, chance))
    insert(connection, "customer", 5, customer_rows(customers, words, chance))
    insert(connection, "note", 2, note_rows(max(events * 14 // 100, 100), words))
    connection.execute(_INDEXES)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()


class Words:
    """Makes texts of words, of which the first are the most frequent."""

    def __init__(self, seed: int = 1) -> None:
        chance = self._chance = random.Random(seed)  # noqa: S311 - content, not a secret
        self._words = ["".join(chance.choices(_LETTERS, k=chance.randint(3, 9))) for _ in range(WORDS)]
        self._shares = list(accumulate(1 / rank for rank in range(1, WORDS + 1)))

    def word(self, rank: int) -> str:
        """Return the word that is so frequent, from 0 on."""
        return self._words[rank]

    def text(self, count: int) -> str:
        """Return some words."""
        return " ".join(self._chance.choices(self._words, cum_weights=self._shares, k=count))


def insert(connection: apsw.Connection, table: str, columns: int, rows: Iterator[tuple[object, ...]]) -> None:
    """Insert rows, some thousands in a transaction."""
    statement = f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"
    while some := list(islice(rows, ROWS_AT_ONCE)):
        with connection:
            connection.executemany(statement, some)


def event_rows(count: int, customers: int, words: Words, chance: random.Random) -> Iterator[tuple[object, ...]]:
    group = min(GROUP, count)
    for row in range(count):
        device = row // group * group + row % group * SPREAD % group // EVENTS_PER_DEVICE
        number = row * SPREAD * SPREAD % count + 1
        body = f"{chance.getrandbits(64):016x} {words.text(24)}"
        yield row + 1, f"device-{device:06}", number, chance.randint(1, customers), body[:138]


def customer_rows(count: int, words: Words, chance: random.Random) -> Iterator[tuple[object, ...]]:
    for row in range(count):
        name = words.text(2)
        address = f"{chance.getrandbits(64):016x} {words.text(12)}"
        yield row + 1, f"region-{row * SPREAD % 97:05}-north", chance.randint(0, 10**6), name, address


def note_rows(count: int, words: Words) -> Iterator[tuple[object, ...]]:
    for _ in range(count):
        yield words.text(5), words.text(70)


def replicate(database: Path, replica: Path, level_1_files: int, level_0_files: int) -> None:
    """Replicate: a snapshot, then files of level 1, then files of level 0 that are in none of those."""
    db = DB(database)
    db.monitor_interval_s = 0.0  # nothing happens by itself
    db.replicas = [Replica(db, FileReplicaClient(replica), sync_interval_s=0.0, lease=False)]
    connection = apsw.Connection(str(database))
    connection.set_busy_timeout(5000)
    chance = random.Random(2)  # noqa: S311 - content, not a secret
    with db:
        db.sync_and_wait()
        db.snapshot()
        for _ in range(level_1_files):
            for _ in range(COMMITS_PER_FILE):
                commit(db, connection, chance)
            db.compact(1)
        for _ in range(level_0_files):
            commit(db, connection, chance)
    connection.close()


def commit(db: DB, connection: apsw.Connection, chance: random.Random) -> None:
    """Change some rows in one transaction, and upload that as a file of level 0."""
    (rows,) = connection.execute("SELECT max(id) FROM event").fetchone() or (0,)
    with connection:
        for _ in range(CHANGES_PER_COMMIT):
            key, value = chance.randint(1, rows), chance.randint(1, rows)
            connection.execute("UPDATE event SET customer = (customer + ?) % 10 + 1 WHERE id = ?", (value, key))
    db.sync_and_wait()
