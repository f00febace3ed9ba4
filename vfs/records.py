"""Which rows the records on a leaf name, in the leaf's order: pure, and with no trust in the bytes.

An entry of an index ends with the rowid of its row. Any other integer, in a row or an entry, may be the rowid of a row
of another table, and so may a row's own rowid be; nothing on the page says which, so each column is a list of its own.

A record begins with the size of its header (varint) and the serial type of each column (varints); the values follow.

Source: https://www.sqlite.org/fileformat2.html#record_format.
"""

from collections.abc import Mapping, Sequence
from struct import error as struct_error
from typing import NamedTuple

from vfs.btree import LEAF_INDEX, LEAF_TABLE, cell_offsets, first_byte, largest_local, page_kind
from vfs.record_numbers import INTEGER_SIZES, integer, serial_size, signed, varint

ENTRIES = -2
"""Stands for the entries of an index, where others are numbers of columns."""

ROWID = -1
"""Stands for the rowid of a row."""

MAX_COLUMNS = 64
"""So many are looked at."""


class RowRef(NamedTuple):
    """A row that is named, or None where a column is no integer; `key` is the columns before it in an index."""

    key: bytes | None
    rowid: int | None


_NONE = RowRef(None, None)


def rows_of_entries(page: bytes, pgno: int, usable: int) -> Sequence[RowRef]:
    """Return the entries of an index leaf in their order; those that end with no integer, or overflow, are left out.

    The rowid is the last column; the leaf of a table WITHOUT ROWID may look the same.
    """
    if page_kind(page, pgno) != LEAF_INDEX:
        return ()
    entries: list[RowRef] = []
    left = len(page)  # of all records: those of a page that is whole share no bytes
    try:
        for offset in cell_offsets(page, first_byte(pgno), LEAF_INDEX):
            size, at = varint(page, offset)
            if size <= largest_local(LEAF_INDEX, usable):
                left -= size
                if left < 0:
                    return ()
                entry = _entry(page, at, size)
                if entry is not None:
                    entries.append(entry)
    except (IndexError, ValueError, OverflowError, struct_error):
        return ()
    return entries


def rows_of_columns(page: bytes, pgno: int) -> Mapping[int, Sequence[RowRef]]:
    """Return the columns of a leaf with an integer on it, by their numbers from 0, and the rowids of a table's leaf.

    What lies on overflow pages is no integer here: it would end behind the page.
    """
    kind = page_kind(page, pgno)
    if kind not in {LEAF_TABLE, LEAF_INDEX}:
        return {}
    try:
        return _columns(page, kind, cell_offsets(page, first_byte(pgno), kind))
    except (IndexError, ValueError, OverflowError, struct_error):
        return {}


def _entry(page: bytes, at: int, size: int) -> RowRef | None:
    """Return the entry that a record is, or None if its last column is no integer."""
    header_size, position = varint(page, at)
    if header_size > size:
        return None
    end, serial, last = at + header_size, 0, position
    while position < end:
        last = position
        serial, position = varint(page, position)
    rowid = integer(page, at + size, serial)
    if rowid is None:
        return None
    return RowRef(page[at + 1 : last] + page[end : at + size - INTEGER_SIZES[serial]], rowid)


def _columns(page: bytes, kind: int, offsets: Sequence[int]) -> Mapping[int, Sequence[RowRef]]:
    lists: dict[int, list[RowRef]] = {}
    left = len(page)  # of the columns of all records: those of a page that is whole share no bytes
    for number, offset in enumerate(offsets):
        _, at = varint(page, offset)
        if kind == LEAF_TABLE:
            rowid, at = varint(page, at)
            lists.setdefault(ROWID, []).append(RowRef(None, signed(rowid)))
        header_size, position = varint(page, at)
        end = value_end = at + header_size
        for column in range(MAX_COLUMNS):
            if position >= end:
                break
            left -= 1
            if left < 0:
                return {}
            serial, position = varint(page, position)
            value_end += serial_size(serial)
            if serial in INTEGER_SIZES:
                refs = lists.setdefault(column, [])
                refs.extend([_NONE] * (number - len(refs)))
                refs.append(RowRef(None, integer(page, value_end, serial)))
    for refs in lists.values():
        refs.extend([_NONE] * (len(offsets) - len(refs)))
    return lists
