"""The steps of a scripted history: SQL texts, each of which becomes one TXID.

They touch what a page-level reader can get wrong: growth and shrinking, freed and reused pages, overflow pages, schema
changes, tables without rowid, FTS5 shadow tables, VACUUM, and both kinds of auto-vacuum.
"""

import hashlib
import random

import apsw

SEED = 20_260_101

# Before the first table, outside the steps.
SETUP = "PRAGMA auto_vacuum = FULL; PRAGMA encoding = 'UTF-8'; PRAGMA journal_mode = WAL"

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"

STEPS: tuple[str, ...] = (
    "CREATE TABLE note (id INTEGER PRIMARY KEY, title TEXT NOT NULL, body BLOB)",
    _NUMBERS.format(first=1, last=60) + " INSERT INTO note SELECT i, printf('title %d', i), noise(i, 40) FROM n",
    "CREATE INDEX note_title ON note (title)",
    "INSERT INTO note VALUES (1000, 'a page and more', noise(1000, 3000))",
    "UPDATE note SET body = noise(id + 1, 1200) WHERE id % 7 = 0",
    "CREATE TABLE word (lang TEXT, word TEXT, seen INTEGER, PRIMARY KEY (lang, word)) WITHOUT ROWID",
    _NUMBERS.format(first=1, last=80) + " INSERT INTO word SELECT printf('l%d', i % 3), printf('w%04d', i), i FROM n",
    "CREATE VIRTUAL TABLE text USING fts5(title, body)",
    "INSERT INTO text SELECT title, 'some words about ' || title || ' and others' FROM note WHERE id <= 40",
    "DELETE FROM note WHERE id BETWEEN 20 AND 45",
    "CREATE VIEW short AS SELECT id, title, length(body) AS size FROM note WHERE size < 100",
    """CREATE TABLE audit (at INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
       CREATE TRIGGER note_deleted AFTER DELETE ON note
       BEGIN INSERT INTO audit (what) VALUES (old.title); END""",
    "DELETE FROM note WHERE id % 10 = 1",
    "ALTER TABLE note ADD COLUMN stars INTEGER NOT NULL DEFAULT 3",
    "UPDATE note SET stars = id % 6",
    "CREATE INDEX note_stars ON note (stars) WHERE stars > 3",
    "DELETE FROM text WHERE rowid % 4 = 0",
    "UPDATE text SET body = 'changed ' || rowid WHERE rowid % 5 = 1",
    "ALTER TABLE note RENAME COLUMN stars TO rating",
    _NUMBERS.format(first=200, last=420) + " INSERT INTO note SELECT i, 'bulk', noise(i, 90), 1 FROM n",
    "DELETE FROM note WHERE title = 'bulk' AND id > 230",
    "PRAGMA user_version = 7",
    "VACUUM",
    "INSERT INTO note VALUES (2000, 'after the vacuum', noise(2000, 9000), 5)",
    "DROP INDEX note_title",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT",
    """CREATE TABLE child (parent INTEGER REFERENCES parent (id), n INTEGER, double INTEGER AS (n * 2) STORED);
       CREATE INDEX child_double ON child (double, parent)""",
    "INSERT INTO parent SELECT id, 'p' || id FROM note; INSERT INTO child SELECT id, id * 3 FROM parent LIMIT 5",
    _NUMBERS.format(first=1, last=90) + " INSERT INTO child (parent, n) SELECT i % 9, i FROM n",
    "UPDATE word SET seen = seen + 100 WHERE lang = 'l1'",
    "DELETE FROM word WHERE lang = 'l2'",
    "DROP VIEW short",
    "ALTER TABLE note DROP COLUMN body",
    "ALTER TABLE parent RENAME TO ancestor",
    "ANALYZE",
    "INSERT INTO text (text) VALUES ('optimize')",
    "CREATE TABLE heap AS SELECT id, title, noise(id, 700) AS data FROM note WHERE id < 60",
    "UPDATE heap SET data = NULL WHERE id % 2",
    "UPDATE heap SET data = noise(id, 5000) WHERE id = (SELECT max(id) FROM heap)",
    "DELETE FROM heap",
    "DROP TABLE heap",
    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = 4711",
    "CREATE TABLE big (id INTEGER PRIMARY KEY, data BLOB)",
    _NUMBERS.format(first=1, last=50) + " INSERT INTO big SELECT i, noise(i, 1500) FROM n",
    "DELETE FROM big WHERE id > 10",
    "PRAGMA incremental_vacuum(20)",
    "INSERT INTO big VALUES (500, noise(500, 20000))",
    "PRAGMA incremental_vacuum",
    "DELETE FROM big WHERE id = 500",
    "DROP TRIGGER note_deleted",
    "REINDEX child_double",
    "DROP TABLE text",
    "CREATE VIRTUAL TABLE text USING fts5(title, tokenize = trigram)",
    "INSERT INTO text SELECT title FROM note",
    "PRAGMA auto_vacuum = NONE; VACUUM",
    "DELETE FROM big",
    _NUMBERS.format(first=1, last=30) + " INSERT INTO big SELECT i, zeroblob(300) FROM n",
    "VACUUM",
)


def random_steps(count: int, *, seed: int = SEED) -> list[str]:
    """Return more steps that any state from the end of `STEPS` on allows; the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311  # a workload, not a secret
    steps = []
    for number in range(count):
        low, high = sorted((chance.randrange(10_000, 10_060), chance.randrange(10_000, 10_060)))
        extra = f"extra_{seed}_{number}"
        steps.append(
            chance.choice(
                (
                    f"INSERT OR REPLACE INTO big VALUES ({low}, noise({number}, {chance.randrange(3000)}))",
                    f"DELETE FROM big WHERE id BETWEEN {low} AND {high}; UPDATE word SET seen = seen + 1",
                    f"UPDATE big SET data = noise({number}, 200) WHERE id >= {low}; UPDATE word SET seen = {number}",
                    f"INSERT INTO text VALUES ('text number {number}'); UPDATE note SET rating = {number % 9}",
                    f"CREATE TABLE {extra} (a, b UNIQUE); INSERT INTO {extra} VALUES (1, noise({low}, 600))",
                    "DELETE FROM text WHERE rowid % 3 = 0; INSERT INTO big SELECT NULL, data FROM big LIMIT 5",
                )
            )
        )
    return steps


def register_noise(connection: apsw.Connection) -> None:
    """Give a connection the SQL function `noise(seed, size)`: bytes that do not compress and are always the same."""

    def noise(*arguments: "apsw.SQLiteValue") -> bytes:
        seed, size = arguments
        assert isinstance(size, int)
        return hashlib.shake_128(str(seed).encode()).digest(size)

    connection.create_scalar_function("noise", noise, 2, deterministic=True)
