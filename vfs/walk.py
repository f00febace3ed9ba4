"""A walk: rows that a connection looks up one after the other, in the order in which another b-tree names them.

The names are the rowids in the entries of an index, or what a column of a table or an index has. The rows of all
entries with the same key are fetched ahead at once, for a look-up by key wants them all. If the walk goes on, a window
of rows is; it doubles each time that half of it is used up. Where a leaf with names ends, the next one goes on.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from vfs.interiors import MAX_DEPTH, Node
from vfs.records import ENTRIES, RowRef, rows_of_columns, rows_of_entries
from vfs.tree import Spot, Tree
from vfs.view import View

FIRST_WINDOW = 4  # rows
SURE_WINDOW = 16  # a larger window is at most half as large as the walk has been long
MAX_WINDOW = 256
MAX_LEAVES = 16  # with names of rows, that are gone on to at once

_LEAST, _MOST = -(2**63) - 1, 2**63


class Below(NamedTuple):
    """Where a leaf of a table hangs, and which rowids it may have: those after `low`, up to `high` (inclusive)."""

    top: Node  # the uppermost page known
    height: int  # how many levels that lies above the leaf's parent
    low: int
    high: int

    def has(self, rowid: int) -> bool:
        """Say whether this is the leaf for a row."""
        return self.low < rowid <= self.high

    def is_beside(self, other: "Below") -> bool:
        """Say whether two leaves follow one another."""
        return self.low == other.high or self.high == other.low


def below(tree: Tree, view: View, spot: Spot) -> Below:
    """Return what is known of the table leaf at a spot."""
    low = high = None
    node, position, height = spot.node, spot.position, 0
    while True:
        keys = node.interior.keys
        if low is None and 0 < position <= len(keys):
            low = keys[position - 1]
        if high is None and position < len(keys):
            high = keys[position]
        parent = tree.interiors.parent(view, node.pgno)
        if parent is None or height == MAX_DEPTH:
            return Below(node, height, _LEAST if low is None else low, _MOST if high is None else high)
        node, position = parent
        height += 1


@dataclass(slots=True, eq=False, kw_only=True)
class Walk:
    """One walk, at a row that was looked up."""

    tree: Tree
    usable: int  # bytes of a page that SQLite uses
    source: int  # which of the lists of a leaf names the rows
    step: int  # 1 or -1
    spot: Spot | None  # of the last leaf whose names are in `rows`; None where there is no other leaf
    top: Node  # of the tree that has the rows
    height: int
    rows: list[RowRef]  # to come, in the order of the walk
    key: bytes | None  # of the row that was looked up last
    length: int  # how many were looked up
    passed: int = 0  # the number of the first row to come
    goes_on_in_key: bool = False  # the row before the last one had the same key
    window: int = 0
    wanted: int = 0  # how many of the rows to come were wanted
    pending: list[int] = field(default_factory=list)  # numbers of wanted rows whose leaves are not on their way yet

    def meets(self, view: View, leaf: Below) -> bool:
        """Go on to the first of the rows to come that a leaf may have, and say whether there is one.

        An index may name rows that a condition rules out. Of a column any value may fit by chance, so only rows are
        left out there that are none, or that were fetched ahead, or are here.
        """
        if leaf.top.pgno != self.top.pgno:
            return False
        self._extend(view, max(self.window, 1))
        for number, (_, rowid) in enumerate(self.rows):
            if rowid is None:
                continue
            if leaf.has(rowid):
                self._pass(number)
                return True
            if self.source != ENTRIES and number >= self.wanted and not self._is_here(view, rowid):
                return False
        return False

    def go_on(self, view: View, pgno: int) -> None:
        """Fetch ahead what is due, together with a page that is wanted now."""
        if self.wanted <= self.window // 2:
            end = self._end_of_key()
            if end == self.wanted and self.length > 1 and (self.window or not self.goes_on_in_key):
                self.window = min(max(FIRST_WINDOW, self.window * 2), max(SURE_WINDOW, self.length // 2), MAX_WINDOW)
                self._extend(view, self.window)
                end = min(self.window, len(self.rows))
            self._want(end)
        self._fetch(view, pgno)

    def retry(self, view: View) -> None:
        """Go on where pages were missing that may be here now."""
        if len(self.rows) < self.window:
            self._extend(view, self.window)
            self._want(min(self.window, len(self.rows)))
        if self.pending:
            self._fetch(view, 0)

    def _pass(self, number: int) -> None:
        """Note that a row is looked up, and that those before it are left out."""
        before, self.key = self.rows[number - 1].key if number else self.key, self.rows[number].key
        self.goes_on_in_key = self.key is not None and self.key == before
        del self.rows[: number + 1]
        self.passed += number + 1
        self.wanted = max(0, self.wanted - number - 1)
        self.length += 1

    def _end_of_key(self) -> int:
        """Return up to which row to come, from the wanted ones on, all have the key of the last one."""
        end = self.wanted
        while self.key is not None and end < len(self.rows) and self.rows[end].key == self.key:
            end += 1
        return end

    def _want(self, end: int) -> None:
        if end > self.wanted:
            self.pending.extend(range(self.passed + self.wanted, self.passed + end))
            self.wanted = end

    def _fetch(self, view: View, pgno: int) -> None:
        """Want the leaves of pending rows to which the way is here."""
        wanted: list[int] = [pgno] if pgno else []
        later: list[int] = []
        missing: set[int] = set()
        for number in self.pending:
            rowid = self.rows[number - self.passed].rowid if number >= self.passed else None
            if rowid is None:
                continue
            found = self.tree.leaf_of(view, self.top, self.height, rowid, missing)
            if found is None:
                later.append(number)
            elif not self.tree.has(view, found):
                wanted.append(found)
                later.append(number)  # until it is seen that there was room for it
        if len(wanted) > bool(pgno):
            self.tree.want(view, dict.fromkeys(wanted))
        self.pending = later

    def _is_here(self, view: View, rowid: int) -> bool:
        found = self.tree.leaf_of(view, self.top, self.height, rowid, set())
        return found is not None and self.tree.has(view, found)

    def _extend(self, view: View, count: int) -> None:
        """Go on to the next leaves, as far as they are here, until so many rows to come are known.

        Once there is a window, the leaves that are missing for it are fetched ahead.
        """
        rows_per_leaf = 1
        for _ in range(MAX_LEAVES):
            missing = count - len(self.rows)
            if missing <= 0 or self.spot is None:
                return
            leaves, spot = self.tree.leaves(view, self.spot, self.step, 1)
            page = self._page(view, leaves[0]) if leaves else None
            if page is None:
                if leaves and self.window:
                    self._fetch_leaves(view, self.spot, min(-(-missing // rows_per_leaf), MAX_LEAVES))
                return
            if self.source == ENTRIES:
                rows = rows_of_entries(page, leaves[0], self.usable)
            else:
                rows = rows_of_columns(page, leaves[0]).get(self.source, ())
            self.rows.extend(rows[:: self.step])
            self.spot, rows_per_leaf = spot, max(1, len(rows))

    def _fetch_leaves(self, view: View, spot: Spot, count: int) -> None:
        leaves, _ = self.tree.leaves(view, spot, self.step, count)
        if not self.tree.has(view, leaves[0]):
            self.tree.want(view, leaves)
        place = view.find(leaves[0])
        if place is not None:
            self.tree.ahead.when_landed(place, self.tree.landed)

    def _page(self, view: View, pgno: int) -> bytes | None:
        place = view.find(pgno)
        return None if place is None else self.tree.ahead.peek_page(place, view.page_size, pgno)
