"""The interior pages of all b-trees, sought when a replica is read a second time.

From the roots, which the schema names, down, a level at a time: of the children of an interior page the first is read,
and if it is a leaf all are, for a b-tree is equally deep everywhere. A step is made when a connection begins a
transaction; it looks at what has come, asks for more, and waits for nothing. The search stays within a share of the
database and within what the page cache keeps for interior pages; what it finds is kept there.
"""

from collections import deque
from threading import Lock

from replication.clock import Clock
from vfs import btree
from vfs.ahead import FetchedAhead
from vfs.budget import Budget
from vfs.cache import HELD_SHARE
from vfs.interiors import Interiors
from vfs.place import Place, Places
from vfs.view import View

LEAST_SIZE = 2**20
"""Bytes of pages that may be sought in a database of any size, as far as the page cache has room."""

DATABASE_SHARE = 100
"""Of a larger database, one part in so many."""

MAX_AT_ONCE = 64  # pages on their way

PATIENCE_S = 30.0
"""So long without a page that came ends the search: the storage does not answer."""


class InteriorSearch:
    """The search of one replica, begun anew by whoever makes the first step."""

    def __init__(self, interiors: Interiors, ahead: FetchedAhead, clock: Clock) -> None:
        """Seek nothing yet."""
        self._clock = clock
        self._last_came = 0.0  # when a page came last, or the search began
        self.is_done = False
        self._interiors = interiors
        self._ahead = ahead
        self._lock = Lock()  # held while a step is made
        self._room: int | None = None  # pages that may still be sought; None before the first step
        self._waiting: deque[int] = deque()  # pages to ask for
        self._siblings: dict[int, tuple[int, ...]] = {}  # of a page that stands for them
        self._on_the_way: list[int] = []

    def step(self, view: View) -> None:
        """Look at what has come, and ask for what is next; nothing if another thread is at it."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._room is None:
                self._last_came = self._last_came or self._clock.monotonic()
                self._begin(view)
            came = [pgno for pgno in self._on_the_way if self._look(view, pgno)]
            lost = [pgno for pgno in self._on_the_way if pgno not in came and not self._is_coming(view, pgno)]
            self._on_the_way = [pgno for pgno in self._on_the_way if pgno not in came and pgno not in lost]
            self._waiting.extendleft(lost)
            self._room = None if self._room is None else self._room + len(lost)
            now = self._clock.monotonic()
            if came:
                self._last_came = now
            self._ask(view)
            is_found = self._room is not None and not (self._on_the_way or self._waiting)
            self.is_done = is_found or now - self._last_came > PATIENCE_S
        finally:
            self._lock.release()

    def _begin(self, view: View) -> None:
        cached = max(self._ahead.cache.max_size, 0) // HELD_SHARE
        self._room = min(cached, max(LEAST_SIZE, view.size // DATABASE_SHARE)) // view.page_size
        place = view.find(1)
        page = None if place is None else self._ahead.peek_page(place, view.page_size, 1)
        if page is None:
            self._room = None  # at the next step then
            return
        usable = btree.usable_size(page, view.page_size)
        roots = set(btree.schema_roots(page, 1, usable))
        node = self._interiors.get(view, 1)
        for pgno in node.interior.children if node is not None else ():
            found = view.find(pgno)
            leaf = None if found is None else self._ahead.peek_page(found, view.page_size, pgno)
            roots.update(() if leaf is None else btree.schema_roots(leaf, pgno, usable))
        self._waiting.extend(sorted(roots))

    def _look(self, view: View, pgno: int) -> bool:
        """Take a page that has come, and note what it says; say whether it has."""
        place = view.find(pgno)
        page = None if place is None else self._ahead.peek_page(place, view.page_size, pgno)
        if place is None or page is None:
            return place is None
        self._learn(view, pgno, place, page)
        return True

    def _is_coming(self, view: View, pgno: int) -> bool:
        place = view.find(pgno)
        return place is not None and self._ahead.has(place)

    def _learn(self, view: View, pgno: int, place: Place, page: bytes) -> None:
        siblings = self._siblings.pop(pgno, ())
        node = self._interiors.get(view, pgno) or self._interiors.learn(pgno, place, page)
        if node is None:
            return  # a leaf, and so are its siblings
        self._ahead.drop(place)
        self._ahead.cache.put(view, pgno, place.key, page, is_interior=True)
        self._waiting.extend(siblings)
        first, *others = node.interior.children
        if node.above_leaves is None:
            self._siblings[first] = tuple(others)
            self._waiting.append(first)
        elif not node.above_leaves:
            self._waiting.extend(node.interior.children)

    def _ask(self, view: View) -> None:
        """Ask for pages that wait, as far as there is room."""
        places: dict[int, Place] = {}
        while self._waiting and len(self._on_the_way) < MAX_AT_ONCE and self._room:
            pgno = self._waiting.popleft()
            place = view.find(pgno)
            if place is None:
                continue
            self._room -= 1
            self._on_the_way.append(pgno)
            places[pgno] = place
        if not self._room:
            self._waiting.clear()
        if places:
            size = len(places) * view.page_size * 2  # more than their frames can have
            self._ahead.want(Places.of(places), Budget(size))
