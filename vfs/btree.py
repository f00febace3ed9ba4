"""What a page of an SQLite database says about other pages: pure, and with no trust in the bytes.

A b-tree page begins (after the 100 bytes of the database header, on page 1) with

    offset  size  field
    0       1     kind: 2 interior index, 5 interior table, 10 leaf index, 13 leaf table
    3       2     number of cells
    8       4     the right-most child, on interior pages; the array of cell offsets follows (at 8 on leaves)

and each cell holds, in this order: the left child (4 bytes, interior), the payload's size (varint; not on interior
tables), the rowid (varint; tables only), the payload and, if that is too long for the page, the number of the first
overflow page (4 bytes). An overflow page begins with the number of the next one, 0 on the last.

A page that is none of these, or lies, gives nothing: what is learned here only decides what to fetch ahead.

Source: https://www.sqlite.org/fileformat2.html#b_tree_pages and #record_format.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct, unpack_from
from struct import error as struct_error

import numpy as np

from vfs.record_numbers import INTEGER_SIZES, integer, serial_size, varint, varints

INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
INTERIOR_KINDS = frozenset({INTERIOR_INDEX, INTERIOR_TABLE})
KINDS = frozenset({INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE})

_HEADER_SIZE = 100  # of the database, on page 1
_FIRST_CELL = {INTERIOR_INDEX: 12, INTERIOR_TABLE: 12, LEAF_INDEX: 8, LEAF_TABLE: 8}
_RESERVED_AT = 20  # in the database header: bytes at the end of each page that SQLite does not use
_PAGE_NUMBER = Struct(">I")
_MIN_USABLE_SIZE = 480
_ROOT_COLUMN = 3  # of the schema table: the number of a root page


@dataclass(frozen=True, slots=True)
class Interior:
    """An interior page: its children in order, and on a table the largest rowid below each but the last."""

    kind: int
    children: Sequence[int]
    keys: Sequence[int]  # empty for an index

    def child_of(self, rowid: int) -> int:
        """Return the position of the child below which a row is, in a table."""
        return bisect_left(self.keys, rowid)


def first_byte(pgno: int) -> int:
    """Return where the b-tree page begins on a page."""
    return _HEADER_SIZE if pgno == 1 else 0


def page_kind(page: bytes, pgno: int) -> int:
    """Return the kind of b-tree page this looks like, or 0."""
    start = first_byte(pgno)
    kind = page[start] if len(page) > start else 0
    return kind if kind in KINDS else 0


def usable_size(page_one: bytes, page_size: int) -> int:
    """Return how many bytes of each page SQLite uses, which page 1 says."""
    return max(page_size - page_one[_RESERVED_AT], _MIN_USABLE_SIZE)


def parse_interior(page: bytes, pgno: int) -> Interior | None:
    """Return what an interior page says, or None if this is none."""
    kind = page_kind(page, pgno)
    if kind not in INTERIOR_KINDS:
        return None
    start = first_byte(pgno)
    try:
        offsets = np.array(cell_offsets(page, start, kind), np.intp)
        cells = np.frombuffer(page, np.uint8)[offsets[:, np.newaxis] + np.arange(4)]
        last = page[start + 8 : start + 12]
        keys = varints(page, offsets + 4) if kind == INTERIOR_TABLE else np.empty(0, np.int64)
    except (IndexError, struct_error):
        return None
    children = array("I", np.frombuffer(cells.tobytes() + last, ">u4").astype(np.uint32).tobytes())
    if 0 in children or np.any(keys[1:] < keys[:-1]):
        return None
    return Interior(kind, children, array("q", keys.tobytes()))  # 12 bytes a child


def overflow_chain(page: bytes, pgno: int, first: int, usable: int) -> int:
    """Return how long the overflow chain is that begins at page `first`, in pages, as a cell says; 0 if none does.

    Its pages mostly lie one behind the other, but only each itself says which one is next.
    """
    kind = page_kind(page, pgno)
    if kind in {0, INTERIOR_TABLE} or page.find(_PAGE_NUMBER.pack(first)) < 0:
        return 0
    try:
        for offset in cell_offsets(page, first_byte(pgno), kind):
            size, at = varint(page, offset + (4 if kind == INTERIOR_INDEX else 0))
            if kind == LEAF_TABLE:
                at = varint(page, at)[1]
            local = _local_size(kind, size, usable)
            if local < size and _PAGE_NUMBER.unpack_from(page, at + local)[0] == first:
                return -(-(size - local) // (usable - 4))
    except (IndexError, ValueError, OverflowError, struct_error):
        return 0
    return 0


def next_overflow(page: bytes) -> int:
    """Return which page follows an overflow page; 0 on the last."""
    return int(_PAGE_NUMBER.unpack_from(page)[0])


def schema_roots(page: bytes, pgno: int, usable: int) -> tuple[int, ...]:
    """Return the root pages that the rows of a leaf of the schema table name, those of tables and indexes."""
    if page_kind(page, pgno) != LEAF_TABLE:
        return ()
    roots: list[int] = []
    try:
        for offset in cell_offsets(page, first_byte(pgno), LEAF_TABLE):
            size, at = varint(page, offset)
            at = varint(page, at)[1]
            root = _integer_column(page, at, _ROOT_COLUMN, _local_size(LEAF_TABLE, size, usable))
            if root is not None and root > 1:
                roots.append(root)
    except (IndexError, ValueError, OverflowError, struct_error):
        return ()
    return tuple(roots)


def cell_offsets(page: bytes, start: int, kind: int) -> Sequence[int]:
    """Return where the cells of a b-tree page are that begins at `start`, in the order of their keys."""
    (count,) = unpack_from(">H", page, start + 3)
    return unpack_from(f">{count}H", page, start + _FIRST_CELL[kind])


def largest_local(kind: int, usable: int) -> int:
    """Return the largest payload, in bytes, that is stored without overflow pages: X in the file format's words."""
    return usable - 35 if kind == LEAF_TABLE else (usable - 12) * 64 // 255 - 23


def _local_size(kind: int, size: int, usable: int) -> int:
    """Return how many bytes of a payload are on the page itself."""
    largest = largest_local(kind, usable)
    if size <= largest:
        return size
    smallest = (usable - 12) * 32 // 255 - 23  # M in the file format's words
    local = smallest + (size - smallest) % (usable - 4)
    return local if local <= largest else smallest


def _integer_column(page: bytes, at: int, column: int, local: int) -> int | None:
    """Return a column of a record as an integer, or None if it is none or not on this page."""
    header_size, position = varint(page, at)
    value_at = at + header_size
    for _ in range(column):
        serial, position = varint(page, position)
        value_at += serial_size(serial)
    serial, _ = varint(page, position)
    end = value_at + INTEGER_SIZES.get(serial, 0)
    return integer(page, end, serial) if end <= at + local else None
