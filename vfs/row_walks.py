"""Walks of one connection along rows that other b-trees name: found, and gone on with.

- Of each b-tree the leaf is known that was read last. A table leaf that is read is held against what they name.
- The first row looked up that an index leaf names begins a walk along its entries.
- A column of a table begins one once two rows on its leaf, one after the other, had their values looked up one after
  the other. So does an index that is read backwards. Leaves that are neighbours say nothing: any scan reads them so.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vfs.interiors import Node
from vfs.records import ENTRIES, RowRef, rows_of_columns, rows_of_entries
from vfs.tree import Spot, Tree
from vfs.view import View
from vfs.walk import Below, Walk, below

MAX_TREES = 8  # whose leaves are known
MAX_WALKS = 8
MAX_MET = 8  # leaves of one tree

_WalkKey = tuple[int, int, int]  # the top of the tree that names rows, the list, the top of the tree that has them


@dataclass(slots=True, eq=False)
class _Leaf:
    """A leaf that was read, and its tree: the uppermost page known."""

    page: bytes
    pgno: int
    spot: Spot | None  # None for a tree of one page
    usable: int  # bytes of a page that SQLite uses
    is_walked: bool = False  # a walk along its entries was begun: they name rows of one table
    _entries: Sequence[RowRef] | None = None  # None before somebody needed them
    _columns: Mapping[int, Sequence[RowRef]] | None = None

    def rows(self) -> Iterator[tuple[int, Sequence[RowRef]]]:
        """Give the rows that it may name, those of the entries of an index first."""
        if self._entries is None:
            self._entries = rows_of_entries(self.page, self.pgno, self.usable)
        yield ENTRIES, self._entries
        if self._columns is None:
            self._columns = rows_of_columns(self.page, self.pgno)
        yield from self._columns.items()


@dataclass(slots=True)
class RowWalks:
    """The walks of one connection."""

    tree: Tree
    _leaves: OrderedDict[int, _Leaf] = field(default_factory=OrderedDict)  # by the top of the tree, latest last
    _met: OrderedDict[int, deque[Below]] = field(default_factory=OrderedDict)  # table leaves read last, in the same way
    _walks: OrderedDict[_WalkKey, Walk] = field(default_factory=OrderedDict)  # latest last
    _last_top: tuple[Node, int] | None = None  # the parent of the leaf that was read last, and the top of its tree

    def clear(self) -> None:
        """Forget all walks."""
        self._leaves.clear()
        self._met.clear()
        self._walks.clear()
        self._last_top = None

    def add(self, view: View, page: bytes, pgno: int, spot: Spot | None, usable: int) -> None:
        """Know a leaf that was read."""
        top = pgno
        if spot is not None:
            if self._last_top is None or self._last_top[0] is not spot.node:
                self._last_top = spot.node, self.tree.top(view, spot.node)[0].pgno
            top = self._last_top[1]
        self._leaves[top] = _Leaf(page, pgno, spot, usable)
        self._leaves.move_to_end(top)
        if len(self._leaves) > MAX_TREES:
            self._leaves.popitem(last=False)

    def read(self, view: View, pgno: int, spot: Spot) -> None:
        """Note that a table leaf is about to be read, and fetch ahead those that follow if it is part of a walk."""
        leaf = below(self.tree, view, spot)
        if self._leaves.keys() <= {leaf.top.pgno}:
            return  # nothing else was read that could name rows
        found = next((found for found in reversed(self._walks.items()) if found[1].meets(view, leaf)), None)
        found = found or self._begin(leaf)
        if found is None:
            return
        key, walk = found
        self._walks[key] = walk
        self._walks.move_to_end(key)
        if len(self._walks) > MAX_WALKS:
            self._walks.popitem(last=False)
        walk.go_on(view, pgno)

    def retry(self, view: View) -> None:
        """Fetch ahead the leaves whose interior pages have come meanwhile."""
        for walk in list(self._walks.values()):
            walk.retry(view)

    def _begin(self, row_leaf: Below) -> tuple[_WalkKey, Walk] | None:
        """Begin a walk at a table leaf, if what was read before says that there is one."""
        top = row_leaf.top.pgno
        before = self._meet(row_leaf)
        for naming_top, leaf in reversed(self._leaves.items()):
            if naming_top == top:
                continue
            for source, refs in leaf.rows():
                is_first = source == ENTRIES and not leaf.is_walked
                number, step = (_first(refs, row_leaf), 1) if is_first else _order(refs, row_leaf, before)
                if number is None:
                    continue
                leaf.is_walked = leaf.is_walked or is_first
                in_order = refs[::step]
                walk = Walk(
                    tree=self.tree,
                    usable=leaf.usable,
                    source=source,
                    step=step,
                    spot=leaf.spot,
                    top=row_leaf.top,
                    height=row_leaf.height,
                    rows=list(in_order[number + 1 :]),
                    key=in_order[number].key,
                    length=1 if is_first else 2,
                )
                return (naming_top, source, top), walk
        return None

    def _meet(self, leaf: Below) -> list[Below]:
        """Note that a table leaf is read; return those of its tree read before that are no neighbours of it."""
        met = self._met.setdefault(leaf.top.pgno, deque(maxlen=MAX_MET))
        self._met.move_to_end(leaf.top.pgno)
        if len(self._met) > MAX_TREES:
            self._met.popitem(last=False)
        before = [other for other in met if other != leaf and not other.is_beside(leaf)]
        met.append(leaf)
        return before


def _first(refs: Sequence[RowRef], leaf: Below) -> int | None:
    """Return which of the named rows is the first that a leaf may have."""
    return next((number for number, ref in enumerate(refs) if ref.rowid is not None and leaf.has(ref.rowid)), None)


def _order(refs: Sequence[RowRef], leaf: Below, before: Sequence[Below]) -> tuple[int | None, int]:
    """Return which of the named rows a leaf may have that follows a row of one of the leaves read before.

    It is counted in the order of the walk, and with it comes that order: 1 or -1. There may be others between them of
    the leaf itself, and none at all.
    """
    if not before or _first(refs, leaf) is None:
        return None, 0
    for step in (1, -1):
        last: int | None = None
        for number, ref in enumerate(refs[::step]):
            if ref.rowid is None:
                continue
            if not leaf.has(ref.rowid):
                last = ref.rowid
            elif last is not None and any(other.has(last) for other in before):
                return number, step
    return None, 0
