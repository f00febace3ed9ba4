"""What pages say about others, held to databases that SQLite wrote; broken pages say nothing and raise nothing."""

from itertools import accumulate
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs import btree

PAGE_SIZE = 1024
BIG_ID, BIG_SIZE = 701, 9000


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("btree") / "app.db"
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, body BLOB)")
    connection.execute("CREATE INDEX item_name ON item (name)")
    connection.execute("CREATE TABLE pair (name TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID")
    with connection:
        for number in range(-50, 3000):
            size = BIG_SIZE if number == BIG_ID else 60
            values = (number * 3 - 2, f"name {number * 7919 % 3050:05}", bytes(size))
            connection.execute("INSERT INTO item VALUES (?, ?, ?)", values)
            connection.execute("INSERT INTO pair VALUES (?, ?)", (f"pair {number}", number))
    connection.close()
    return path


def page(database: Path, pgno: int) -> bytes:
    with database.open("rb") as file:
        file.seek((pgno - 1) * PAGE_SIZE)
        return file.read(PAGE_SIZE)


def roots(database: Path) -> dict[str, int]:
    connection = apsw.Connection(str(database))
    try:
        return {str(name): int(root) for name, root in connection.execute("SELECT name, rootpage FROM sqlite_schema")}
    finally:
        connection.close()


def leaves(database: Path, pgno: int) -> list[int]:
    interior = btree.parse_interior(page(database, pgno), pgno)
    if interior is None:
        return [pgno]
    return [leaf for child in interior.children for leaf in leaves(database, child)]


def pages_by_type(database: Path, name: str) -> dict[str, list[int]]:
    """Return the pages of a b-tree as SQLite's own dbstat module sees them, in the tree's order."""
    connection = apsw.Connection(str(database))
    try:
        found: dict[str, list[int]] = {"internal": [], "leaf": [], "overflow": []}
        sql = "SELECT pagetype, pageno FROM dbstat WHERE name = ? ORDER BY path"
        for kind, pgno in connection.execute(sql, (name,)):
            found[kind].append(pgno)
        return found
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["item", "item_name", "pair"])
def test_children_lead_to_every_leaf_in_order(database: Path, name: str) -> None:
    # An index keeps entries on interior pages too, so its leaves are compared as dbstat walks them.
    expected = pages_by_type(database, name)
    assert leaves(database, roots(database)[name]) == expected["leaf"]
    assert len(expected["internal"]) > 1
    for pgno in expected["leaf"]:
        assert btree.page_kind(page(database, pgno), pgno) in {btree.LEAF_TABLE, btree.LEAF_INDEX}
        assert btree.parse_interior(page(database, pgno), pgno) is None


def test_a_tables_keys_lead_to_the_leaf_that_has_the_row(database: Path) -> None:
    root = roots(database)["item"]
    for number in [-50, -1, 0, 1, 700, 2999]:
        pgno = root
        while (interior := btree.parse_interior(page(database, pgno), pgno)) is not None:
            pgno = interior.children[interior.child_of(number * 3 - 2)]
        assert f"name {number * 7919 % 3050:05}".encode() in page(database, pgno)


def test_a_table_leaf_tells_how_long_an_overflow_chain_is(database: Path) -> None:
    chain = pages_by_type(database, "item")["overflow"]
    assert len(chain) == 8
    lengths = [
        btree.overflow_chain(page(database, pgno), pgno, chain[0], PAGE_SIZE)
        for pgno in leaves(database, roots(database)["item"])
    ]
    assert [length for length in lengths if length] == [len(chain)]
    assert [btree.next_overflow(page(database, pgno)) for pgno in chain] == [*chain[1:], 0]


def test_the_schema_names_the_roots(database: Path) -> None:
    assert sorted(btree.schema_roots(page(database, 1), 1, PAGE_SIZE)) == sorted(roots(database).values())
    assert btree.usable_size(page(database, 1), PAGE_SIZE) == PAGE_SIZE


def encode_varint(value: int) -> bytes:
    value %= 2**64
    if value >= 2**56:
        return bytes(value >> 8 + 7 * shift & 0x7F | 0x80 for shift in range(7, -1, -1)) + bytes([value & 0xFF])
    groups = max(1, -(-value.bit_length() // 7))
    return bytes(value >> 7 * at & 0x7F | (0x80 if at else 0) for at in range(groups - 1, -1, -1))


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300), max_size=20))
def test_an_interior_page_says_rowids_of_any_size(rowids: list[int]) -> None:
    cells = [bytes([0, 0, 0, 9]) + encode_varint(rowid) for rowid in sorted(rowids)]
    offsets = list(accumulate((len(cell) for cell in cells), initial=200))
    head = bytes([btree.INTERIOR_TABLE, 0, 0, 0, len(cells), 0, 0, 0, 0, 0, 0, 8])
    page = head + b"".join(offset.to_bytes(2, "big") for offset in offsets[:-1])
    interior = btree.parse_interior(page.ljust(200, b"\0") + b"".join(cells), 2)
    assert interior is not None
    assert list(interior.keys) == sorted(rowids)
    assert list(interior.children) == [9] * len(cells) + [8]


@given(st.binary(max_size=600), st.sampled_from(sorted(btree.KINDS)), st.integers(1, 3))
def test_any_bytes_say_something_or_nothing(data: bytes, kind: int, pgno: int) -> None:
    start = 100 if pgno == 1 else 0
    for broken in (data, data[:start] + bytes([kind]) + data[start:]):
        btree.parse_interior(broken, pgno)
        btree.overflow_chain(broken, pgno, int.from_bytes(broken[5:9], "big") or 1, 1024)
        btree.schema_roots(broken, pgno, 1024)
