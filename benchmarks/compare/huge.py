"""A replica of a database of 10 GB, which never was a file: its snapshot is written page by page.

It is one table with a row on each leaf, most of which is one letter, so that a page takes some hundred bytes in the
snapshot; how many differs from page to page, and from one part of the database to the next. The B-tree follows from
numbers alone: leaves lie in the order of their rows, and after each 400 comes the interior page above them, as it would
in a table that grew. Source: https://sqlite.org/fileformat2.html
"""

import json
import math
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from struct import pack

import apsw

from benchmarks.compare.cache import cached
from benchmarks.compare.database import FIRST_FILE, PLACE
from replication.ltx.encoder import Encoder
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.position import TXID, lock_pgno

VERSION = 1
PAGES = 2_600_000
PAGE_SIZE = 4096
FANOUT = 400  # children of an interior page
BODY_SIZE = 4000  # of each row
NOISE = 120  # characters of a row that do not compress, at most
ROOT_PGNO = 2
TIMESTAMP_MS = 1_780_000_000_000
SQL = "SELECT id, length(body) FROM item WHERE id IN (SELECT value FROM json_each(?))"
SCATTERED_ROWS = 64  # more than those after which it pays to load the whole page index
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"


def rows_of(pages: int) -> int:
    """Return how many rows a database of about so many pages has: whole groups of leaves."""
    return (pages - 20) // (FANOUT + 1) * FANOUT


def keys(pages: int, count: int) -> tuple[str]:
    """Return the bindings of `SQL` for so many rows, far from each other."""
    rows = rows_of(pages)
    return (json.dumps([rows * (2 * i + 1) // (2 * count) + 1 for i in range(count)]),)


def replica_of_pages(pages: int = PAGES) -> Path:
    """Return the directory of a bucket with the replica at `PLACE`, built if it is not in the cache."""

    def build(directory: Path) -> None:
        path = directory / PLACE / f"{9:04x}" / FIRST_FILE
        path.parent.mkdir(parents=True)
        write_snapshot(path, rows_of(pages))

    return cached(f"pages-{VERSION}-{pages}", build)


def write_snapshot(path: Path, rows: int) -> None:
    """Write the snapshot of a table of so many rows."""
    groups = rows // FANOUT
    tops = -(-groups // FANOUT)  # interior pages between the root and those above the leaves; none if one would do
    if tops == 1:
        tops = 0
    assert groups > 1, f"expected {2 * FANOUT} rows or more, got {rows}"
    assert groups % FANOUT != 1 or not tops, f"an interior page would have one child only, of {groups}"
    pgnos = page_numbers()
    blocks = [[next(pgnos) for _ in range(FANOUT + 1)] for _ in range(groups)]  # leaves, and the page above them
    parents = [(block[-1], (number + 1) * FANOUT) for number, block in enumerate(blocks)]
    above = [parents[start : start + FANOUT] for start in range(0, groups, FANOUT)] if tops else []
    top_pages = [(next(pgnos), some[-1][1]) for some in above]
    commit = top_pages[-1][0] if tops else blocks[-1][-1]
    header = Header(
        flags=NO_CHECKSUM_FLAG,
        page_size=PAGE_SIZE,
        commit=commit,
        min_txid=TXID(1),
        max_txid=TXID(1),
        timestamp_ms=TIMESTAMP_MS,
    )
    make_noise = noises()
    with path.open("wb") as file:
        encoder = Encoder(file, header)
        encoder.encode_pages([1, ROOT_PGNO], page_one(commit) + interior_page(top_pages or parents))
        for number, block in enumerate(blocks):
            first = number * FANOUT + 1
            leaves = [leaf_page(first + i, next(make_noise)) for i in range(FANOUT)]
            children = [(pgno, first + i) for i, pgno in enumerate(block[:-1])]
            encoder.encode_pages(block, b"".join([*leaves, interior_page(children)]))
        for (pgno, _), some in zip(top_pages, above, strict=True):
            encoder.encode_page(pgno, interior_page(some))
        encoder.close()


def page_numbers() -> Iterator[int]:
    """Yield the pages after the root, in order; the lock page is none of them."""
    pgno = ROOT_PGNO
    while True:
        pgno += 1
        if pgno != lock_pgno(PAGE_SIZE):
            yield pgno


def page_one(commit: int) -> bytes:
    """Return the first page, from a database that SQLite made, with another size."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "app.db")
        connection = apsw.Connection(str(path))
        connection.execute(
            "PRAGMA journal_mode = WAL; CREATE TABLE item (id INTEGER PRIMARY KEY, body TEXT)"
        ).fetchall()
        connection.close()
        page = bytearray(path.read_bytes()[:PAGE_SIZE])
    page[28:32] = pack(">I", commit)  # size of the database, in pages
    return bytes(page)


def leaf_page(row: int, noise: bytes) -> bytes:
    """Return the leaf with one row: its cell at the end, and a pointer to it at the start."""
    types = b"\0" + varint(2 * BODY_SIZE + 13)  # the id is the key; a text
    record = bytes([len(types) + 1]) + types + noise.ljust(BODY_SIZE, b"x")
    cell = varint(len(record)) + varint(row) + record
    start = PAGE_SIZE - len(cell)
    return pack(">BHHHBH", 13, 0, 1, start, 0, start).ljust(start, b"\0") + cell


def interior_page(children: list[tuple[int, int]]) -> bytes:
    """Return the interior page above children, given by page number and largest key."""
    cells = [pack(">I", pgno) + varint(key) for pgno, key in children[:-1]]
    pointers, start = [], PAGE_SIZE
    for cell in cells:
        start -= len(cell)
        pointers.append(start)
    head = pack(">BHHHBI", 5, 0, len(cells), start, 0, children[-1][0])
    head += b"".join(pack(">H", pointer) for pointer in pointers)
    assert len(head) <= start, "expected the children to fit a page"
    return head.ljust(start, b"\0") + b"".join(reversed(cells))


def varint(value: int) -> bytes:
    """Return a number as SQLite writes it, the highest bits first; 56 bits at most."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))


def noises() -> Iterator[bytes]:
    """Yield texts that do not compress, of lengths that differ, and the more so far apart."""
    chance = random.Random(3)  # noqa: S311 - content, not a secret
    pool = "".join(chance.choices(_ALPHABET, k=2**20)).encode()
    number = 0
    while True:
        most = NOISE * (1 + math.sin(number / 100_000)) / 2
        start = number * 7919 % (len(pool) - NOISE)
        yield pool[start : start + int(most * chance.random())]
        number += 1
