"""The interior pages of b-trees that were read: whose child a page is, and which leaf comes next.

A page is known by its place, so that what is known of it holds in every view that has it there. The last used are
kept, up to a number of children. Nothing here makes a request.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from vfs.btree import Interior, parse_interior
from vfs.place import Place
from vfs.view import View

MAX_CHILDREN = 131_072
"""Of all interior pages kept: some 25 MB at most, and leaves of half a gigabyte."""

MAX_DEPTH = 20
"""Levels of a b-tree at most, in SQLite."""


@dataclass(slots=True, eq=False)
class Node:
    """An interior page of a view; `above_leaves` once a child was seen to be a leaf, or to be none."""

    pgno: int
    key: int  # of its place
    interior: Interior
    above_leaves: bool | None = None


class Interiors:
    """The interior pages that one replica has read."""

    def __init__(self) -> None:
        """Know nothing."""
        self._lock = Lock()
        self._nodes: OrderedDict[int, Node] = OrderedDict()  # by page number, guarded by _lock
        self._parents: dict[int, int] = {}  # page number of a child to that of its parent, guarded by _lock
        self._children = 0  # guarded by _lock

    def learn(self, pgno: int, place: Place, page: bytes) -> Node | None:
        """Know an interior page from now on; None if the page is none."""
        known = self._nodes.get(pgno)
        if known is not None and known.key == place.key:
            return known
        interior = parse_interior(page, pgno)
        if interior is None:
            return None
        node = Node(pgno, place.key, interior)
        with self._lock:
            self._forget(pgno)
            self._nodes[pgno] = node
            self._children += len(interior.children)
            for child in interior.children:
                self._parents[child] = pgno
            while self._children > MAX_CHILDREN and len(self._nodes) > 1:
                self._forget(next(iter(self._nodes)))
        return node

    def get(self, view: View, pgno: int) -> Node | None:
        """Return an interior page, if it is known as it is in a view."""
        node = self._nodes.get(pgno)
        if node is None:
            return None
        place = view.find(pgno)
        if place is None or place.key != node.key:
            return None
        return node

    def parent(self, view: View, pgno: int) -> tuple[Node, int] | None:
        """Return the page whose child a page is in a view, and the child's position; None if that is not known."""
        parent = self._parents.get(pgno)
        node = None if parent is None else self.get(view, parent)
        if node is None:
            return None
        try:
            position = node.interior.children.index(pgno)
        except ValueError:
            return None
        with self._lock:
            if node.pgno in self._nodes:
                self._nodes.move_to_end(node.pgno)
        return node, position

    def _forget(self, pgno: int) -> None:
        node = self._nodes.pop(pgno, None)
        if node is not None:
            self._children -= len(node.interior.children)
            for child in node.interior.children:
                if self._parents.get(child) == pgno:
                    del self._parents[child]
