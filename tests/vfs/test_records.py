"""The rows that leaves name, held to what SQLite says of them; broken pages name nothing and raise nothing."""

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vfs import btree
from vfs.records import MAX_COLUMNS, ROWID, rows_of_columns, rows_of_entries

PAGE_SIZE = 1024
LONG = "x" * 3000
VALUES = (None, 0, 1, -1, 127, -129, 40_000, -(2**23), 2**31, -(2**47) + 1, 2**63 - 1, -(2**63), 1.5, "text", b"blob")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "app.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, value, other)")
        connection.execute("CREATE INDEX item_name ON item (name)")
        connection.execute(
            "CREATE TABLE pair (first INTEGER, second INTEGER, PRIMARY KEY (first, second)) WITHOUT ROWID"
        )
        with connection:
            for number in range(-50, 1000):
                name = LONG if number == 500 else f"name {number * 7919 % 1050:05}"
                values = (number * 3, name, VALUES[number % len(VALUES)], number if number % 7 else None)
                connection.execute("INSERT INTO item VALUES (?, ?, ?, ?)", values)
                connection.execute("INSERT INTO pair VALUES (?, ?)", (number // 10, number * 104_729 % 1000))
        connection.execute("ALTER TABLE item ADD COLUMN later INTEGER")
        connection.execute("UPDATE item SET later = id + 1 WHERE id % 2")
    return path


def pages(database: Path) -> dict[int, bytes]:
    data = database.read_bytes()
    return {at // PAGE_SIZE + 1: data[at : at + PAGE_SIZE] for at in range(0, len(data), PAGE_SIZE)}


def leaves(database: Path, name: str) -> list[tuple[int, bytes]]:
    """Return the leaves of a b-tree in its order, as SQLite's own dbstat module sees them."""
    found = pages(database)
    with closing(apsw.Connection(str(database))) as connection:
        sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
        return [(pgno, found[pgno]) for (pgno,) in connection.execute(sql, (name,))]


def ask(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(database))) as connection:
        return connection.execute(sql).fetchall()


def test_an_index_leaf_names_the_rows_in_its_order(database: Path) -> None:
    found = [
        ref.rowid for pgno, page in leaves(database, "item_name") for ref in rows_of_entries(page, pgno, PAGE_SIZE)
    ]
    expected = [row for (row,) in ask(database, "SELECT id FROM item ORDER BY name")]
    on_leaves = set(found)
    assert found == [rowid for rowid in expected if rowid in on_leaves]
    assert len(found) > 0.9 * len(expected)  # the others stand on interior pages


def test_a_table_leaf_names_the_integers_of_each_column(database: Path) -> None:
    rows = iter(ask(database, "SELECT id, value, other, later FROM item ORDER BY id"))
    seen = 0
    for pgno, page in leaves(database, "item"):
        lists = rows_of_columns(page, pgno)
        assert 1 not in lists  # no name is an integer
        assert len({len(refs) for refs in lists.values()}) == 1
        for number, ref in enumerate(lists[ROWID]):
            rowid, *expected = next(rows)
            assert ref.rowid == rowid
            named = [lists[column][number].rowid if column in lists else None for column in (2, 3, 4)]
            if rowid == 1500:
                assert named == [None, None, None]  # they lie behind the long name, on overflow pages
            else:
                assert named == [value if isinstance(value, int) else None for value in expected]
            seen += 1
    assert seen == 1050


def test_a_leaf_without_rowids_names_the_integers_of_each_column(database: Path) -> None:
    rows = ask(database, "SELECT first, second FROM pair ORDER BY first, second")
    found: list[tuple[int | None, int | None]] = []
    for pgno, page in leaves(database, "pair"):
        lists = rows_of_columns(page, pgno)
        assert set(lists) == {0, 1}
        found += [(first.rowid, second.rowid) for first, second in zip(lists[0], lists[1], strict=True)]
    on_leaves = set(found)
    assert found == [row for row in rows if row in on_leaves]
    assert len(found) > 0.9 * len(rows)


def varint(value: int) -> bytes:
    """Return a varint of two bytes."""
    return bytes([0x80 | value >> 7, value & 0x7F])


def test_records_that_share_their_bytes_name_nothing() -> None:
    """A page of 64 KiB may say that it has thousands of cells, all of them the same long record."""
    count, columns = 10_000, 1000
    record_at = 8 + 2 * count
    header = varint(columns + 2) + b"\x01" * columns
    cell = varint(len(header) + columns) + b"\x01" + header + b"\x05" * columns
    page = bytes([btree.LEAF_TABLE]) + bytes(2) + count.to_bytes(2, "big") + bytes(3)
    page += record_at.to_bytes(2, "big") * count + cell
    assert rows_of_columns(page.ljust(65_536, b"\0"), 2) == {}
    one = page[:3] + (1).to_bytes(2, "big") + page[5:]
    assert len(rows_of_columns(one.ljust(65_536, b"\0"), 2)) <= MAX_COLUMNS + 1


@pytest.mark.parametrize("columns", [1000, 2])
def test_entries_that_share_their_bytes_name_nothing(columns: int) -> None:
    """A long header to read, or a long key to keep, thousands of times."""
    count, size = 10_000, 15_000
    record_at = 8 + 2 * count
    header = varint(columns + 2) + b"\x08" * (columns - 1) + b"\x01"
    cell = bytes([0x80 | size >> 14, 0x80 | size >> 7 & 0x7F, size & 0x7F])
    page = bytes([btree.LEAF_INDEX]) + bytes(2) + count.to_bytes(2, "big") + bytes(3)
    page += record_at.to_bytes(2, "big") * count + cell + header
    assert rows_of_entries(page.ljust(65_536, b"\1"), 2, 65_536) == ()
    one = page[:3] + (1).to_bytes(2, "big") + page[5:]
    assert len(rows_of_entries(one.ljust(65_536, b"\1"), 2, 65_536)) == 1


@given(st.binary(max_size=600), st.sampled_from([btree.LEAF_INDEX, btree.LEAF_TABLE]), st.integers(1, 3))
@example(b"", btree.LEAF_TABLE, 2)
def test_any_bytes_name_something_or_nothing(data: bytes, kind: int, pgno: int) -> None:
    start = 100 if pgno == 1 else 0
    for broken in (data, data[:start] + bytes([kind]) + data[start:]):
        rows_of_entries(broken, pgno, 1024)
        rows_of_columns(broken, pgno)


@given(st.data())
def test_leaves_with_broken_bytes_name_as_many_rows_in_each_column_or_nothing(
    database: Path, data: st.DataObject
) -> None:
    pgno, page = data.draw(st.sampled_from(leaves(database, "item")[:4]))
    broken = bytearray(page)
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(3, PAGE_SIZE - 1))] = data.draw(st.integers(0, 255))
    lists = rows_of_columns(bytes(broken), pgno)
    assert len({len(refs) for refs in lists.values()}) <= 1
