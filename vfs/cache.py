"""The page cache of one replica: pages by place, bounded in bytes, shared by all its views.

Places never change, so nothing is ever invalidated. Reading through the cache costs a lock and an index look-up, so
each view has a front: a plain dict from offset to page, read without a lock. A front holds only pages the cache holds;
that is what keeps the bound. Being in a front is also the sign of use: a page about to be evicted that stands in a
front leaves the front, and stays for another round.
"""

from collections.abc import Callable, Iterable
from threading import Lock
from typing import NamedTuple
from weakref import WeakSet

from cachetools import LRUCache

from vfs.index import Place
from vfs.view import View

HELD_SHARE = 4
"""Interior pages take at most one part in so many."""

_Key = tuple[object, int]


class _Cached(NamedTuple):
    page: bytes
    offset: int  # of the page in the database, in bytes


class PageCache:
    """Pages of at most `max_size` bytes in all; nothing at all if that is below 1."""

    def __init__(self, max_size: int) -> None:
        """Start empty."""
        self.max_size = max_size
        self._lock = Lock()
        self._views: WeakSet[View] = WeakSet()  # guarded by _lock
        self._pages = _SecondChance(max(max_size, 0), self._leave_fronts)  # guarded by _lock
        self._held = _SecondChance(max(max_size, 0) // HELD_SHARE, self._leave_fronts)  # guarded by _lock

    def __repr__(self) -> str:
        return f"<PageCache {self.size / 2**20:.1f}/{self.max_size / 2**20:.1f} MiB>"

    @property
    def size(self) -> int:
        """How many bytes of pages are held."""
        return int(self._pages.currsize + self._held.currsize)

    def add_view(self, view: View, before: View | None = None, changed: Iterable[int] = ()) -> None:
        """Let a view have a front, filled from the view before it without the pages that changed since."""
        with self._lock:
            if before is not None:
                pages = before.pages.copy()
                for pgno in changed:
                    pages.pop((pgno - 1) * view.page_size, None)
                view.pages = pages
            self._views.add(view)

    def get(self, view: View, pgno: int, place: Place) -> bytes | None:
        """Return the page at a place, if it is held, and put it into the view's front."""
        with self._lock:
            cached = self._find((place.file, place.start))
            if cached is None:
                return None
            self._show(view, pgno, cached)
            return cached.page

    def peek(self, place: Place) -> bytes | None:
        """Return the page at a place, if it is held; no view shows it for that."""
        key = (place.file, place.start)
        with self._lock:
            cached = self._find(key)
            return None if cached is None else cached.page

    def holds(self, place: Place) -> bool:
        """Say whether the page at a place is held."""
        key = (place.file, place.start)
        return key in self._pages or key in self._held

    def put(self, view: View, pgno: int, place: Place, page: bytes, *, is_interior: bool = False) -> None:
        """Hold a page, and put it into the view's front.

        Interior pages of b-trees give way only to each other, as long as they take no more than their share.
        """
        if len(page) > self.max_size:
            return
        key = (place.file, place.start)
        with self._lock:
            cached = self._find(key)  # another thread may have loaded it too, and fronts may show that one
            if cached is None:
                cached = _Cached(page, (pgno - 1) * len(page))
                pages = self._held if is_interior and len(page) <= self._held.maxsize else self._pages
                pages[key] = cached
                while self.size > max(self.max_size, 0):
                    self._pages.popitem()
            self._show(view, pgno, cached)

    def put_many(self, view: View, pages: Iterable[tuple[int, Place, bytes]]) -> None:
        """Hold pages that are no interior ones, and put them into the view's front."""
        with self._lock:
            for pgno, place, page in pages:
                if len(page) <= self.max_size:
                    key = (place.file, place.start)
                    cached = self._find(key)
                    if cached is None:
                        cached = self._pages[key] = _Cached(page, (pgno - 1) * len(page))
                    self._show(view, pgno, cached)
            while self.size > max(self.max_size, 0):
                self._pages.popitem()

    def clear(self) -> None:
        """Hold nothing."""
        with self._lock:
            self._pages.clear()
            self._held.clear()
            for view in self._views:
                view.pages.clear()

    def _find(self, key: _Key) -> _Cached | None:
        return self._pages.get(key) or self._held.get(key)

    def _show(self, view: View, pgno: int, cached: _Cached) -> None:
        if pgno > 1:  # page 1 is patched for each connection
            view.pages[cached.offset] = cached.page

    def _leave_fronts(self, cached: _Cached) -> bool:
        """Take a page out of all fronts, and say whether it stood in one."""
        stood = False
        for view in self._views:
            if view.pages.get(cached.offset) is cached.page:
                del view.pages[cached.offset]
                stood = True
        return stood


class _SecondChance(LRUCache[_Key, _Cached]):
    """An LRU cache that spares a page once if somebody used it since it was last looked at."""

    def __init__(self, maxsize: int, used: Callable[[_Cached], bool]) -> None:
        super().__init__(maxsize, getsizeof=lambda cached: len(cached.page))
        self._used = used

    def popitem(self) -> tuple[_Key, _Cached]:
        key, cached = super().popitem()
        while self._used(cached):  # ends: each page has left its fronts when it comes round again
            self[key] = cached
            key, cached = super().popitem()
        return key, cached
