"""Rows that a connection looks up one after the other, as the entries of an index leaf say.

A table leaf that holds the row of an entry of an index leaf read before begins a walk along the entries. The leaves of
all entries with the same key are fetched ahead at once, for a look-up by key wants them all. If the walk goes on with
other keys, a window of entries is fetched ahead; it doubles each time that half of it is used up.
"""

from collections import deque
from dataclasses import dataclass, field

from vfs import btree
from vfs.interiors import Node
from vfs.tree import Spot, Tree
from vfs.view import View

RECENT_INDEX_LEAVES = 4
FIRST_WINDOW = 4  # entries
MAX_WINDOW = 256


@dataclass(slots=True, eq=False)
class _IndexLeaf:
    """An index leaf that was read, and how far the walk along its entries is."""

    page: bytes
    pgno: int
    entries: tuple[btree.IndexEntry, ...] | None = None  # None before somebody needed them
    cursor: int = 0  # the entry after the last one that was looked up
    window: int = 0
    wanted: int = 0  # the entry after the last one whose leaf was wanted
    pending: list[int] = field(default_factory=list)  # wanted entries whose leaves are not on their way yet
    top: Node | None = None
    height: int = 0


@dataclass(slots=True)
class IndexWalks:
    """The walks of one connection."""

    tree: Tree
    _leaves: deque[_IndexLeaf] = field(default_factory=lambda: deque(maxlen=RECENT_INDEX_LEAVES))

    def clear(self) -> None:
        """Forget all walks."""
        self._leaves.clear()

    def add(self, page: bytes, pgno: int) -> None:
        """Know an index leaf that was read."""
        self._leaves.append(_IndexLeaf(page, pgno))

    def read(self, view: View, pgno: int, spot: Spot, usable: int) -> None:
        """Note that a table leaf is about to be read, and fetch ahead those that follow if it is part of a walk."""
        keys = spot.node.interior.keys
        low = keys[spot.position - 1] if spot.position else None
        high = keys[spot.position] if spot.position < len(keys) else None
        for leaf in reversed(self._leaves):
            if leaf.entries is None:
                leaf.entries = btree.index_entries(leaf.page, leaf.pgno, usable)
            for number in range(leaf.cursor, len(leaf.entries)):
                rowid = leaf.entries[number].rowid
                if (low is None or rowid > low) and (high is None or rowid <= high):
                    top, leaf.height = self.tree.top(view, spot.node)
                    if leaf.top is not None and leaf.top.pgno != top.pgno:
                        break  # the row of another table that happens to have such a number
                    leaf.top = top
                    self._go_on(leaf, leaf.entries, number)
                    self._fetch(view, leaf, pgno)
                    return

    def retry(self, view: View) -> None:
        """Fetch ahead the leaves whose interior pages have come meanwhile."""
        for leaf in list(self._leaves):
            if leaf.pending:
                self._fetch(view, leaf, 0)

    @staticmethod
    def _go_on(leaf: _IndexLeaf, entries: tuple[btree.IndexEntry, ...], number: int) -> None:
        """Note that an entry is looked up, and decide which of the following are wanted."""
        is_first, leaf.cursor = leaf.cursor == 0, number + 1
        if number + 1 < leaf.wanted - leaf.window // 2:
            return
        leaf.wanted = max(leaf.wanted, number + 1)
        end = leaf.wanted
        while end < len(entries) and entries[end].key == entries[number].key:
            end += 1
        if not is_first and end == leaf.wanted:
            same = number and entries[number].key == entries[number - 1].key
            if same and not leaf.window:
                return  # the last of those with the same key
            leaf.window = min(max(FIRST_WINDOW, leaf.window * 2), MAX_WINDOW)
            end = min(number + 1 + leaf.window, len(entries))
        leaf.pending.extend(range(leaf.wanted, end))
        leaf.wanted = end

    def _fetch(self, view: View, leaf: _IndexLeaf, pgno: int) -> None:
        """Want the leaves of pending entries to which the way is here, together with a page that is wanted now."""
        if leaf.top is None or leaf.entries is None:
            return
        wanted: list[int] = [pgno] if pgno else []
        later: list[int] = []
        for number in leaf.pending:
            if number < leaf.cursor:
                continue
            found = self.tree.leaf_of(view, leaf.top, leaf.height, leaf.entries[number].rowid)
            if found is None:
                later.append(number)
            elif not self.tree.has(view, found):
                wanted.append(found)
                later.append(number)  # until it is seen that there was room for it
        if len(wanted) > bool(pgno):
            self.tree.want(view, dict.fromkeys(wanted))
        leaf.pending = later
