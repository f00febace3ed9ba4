"""The page cache of one replica: pages by the key of their place, bounded in bytes, shared by all its views.

Places never change, so nothing is ever invalidated. Reading through the cache costs a lock and an index look-up, so
each view has a front: a plain dict from offset to page, read without a lock. A front holds only pages the cache holds;
that is what keeps the bound. As nobody notes what is read from a front, a page leaves the fronts some time before it
leaves the cache: if it is asked for in between, it is in use, and stays for another round.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from threading import Lock
from weakref import WeakSet

from vfs.view import View

HELD_SHARE = 4
"""Interior pages take at most one part in so many."""

HIDDEN_SHARE = 4
"""Pages that left the fronts take one part in so many, once the cache is full."""

_Front = dict[int, bytes]

_Cached = tuple[bytes, int]
"""A page, and its offset in the database in bytes: a plain tuple, which the garbage collector need not look into."""


class PageCache:
    """Pages of at most `max_size` bytes in all; nothing at all if that is below 1."""

    def __init__(self, max_size: int) -> None:
        """Start empty."""
        self.max_size = max_size
        self._room = max(max_size, 0)
        self._lock = Lock()
        self._views: WeakSet[View] = WeakSet()  # guarded by _lock
        self._pages = _Rounds()  # guarded by _lock
        self._held = _Rounds()  # guarded by _lock

    def __repr__(self) -> str:
        return f"<PageCache {self.size / 2**20:.1f}/{self.max_size / 2**20:.1f} MiB>"

    @property
    def size(self) -> int:
        """How many bytes of pages are held."""
        with self._lock:
            return self._pages.size + self._held.size

    def add_view(self, view: View, before: View | None = None, changed: Iterable[int] = ()) -> None:
        """Let a view have a front, filled from the view before it without the pages that changed since."""
        with self._lock:
            if before is not None:
                pages = before.pages.copy()
                for pgno in changed:
                    pages.pop((pgno - 1) * view.page_size, None)
                view.pages = pages
            self._views.add(view)

    def get(self, view: View, pgno: int, key: int) -> bytes | None:
        """Return the page at a place, if it is held, and put it into the view's front."""
        with self._lock:
            cached = self._use(key)
            if cached is None or cached[1] != (pgno - 1) * len(cached[0]):  # a page index may name one place twice
                return None
            if pgno > 1:  # page 1 is patched for each connection
                view.pages[cached[1]] = cached[0]
            return cached[0]

    def peek(self, key: int) -> bytes | None:
        """Return the page at a place, if it is held; no view shows it for that."""
        with self._lock:
            cached = self._pages.find(key) or self._held.find(key)
            return None if cached is None else cached[0]

    def holds(self, key: int) -> bool:
        """Say whether the page at a place is held."""
        return key in self._pages or key in self._held

    def held(self, keys: Collection[int]) -> set[int]:
        """Return which of some places have a page that is held; they are about to be used, so they stay for a round."""
        with self._lock:
            known = self._known(keys)
            for key in known:
                self._use(key)
            return known

    def put(self, view: View, pgno: int, key: int, page: bytes, *, is_interior: bool = False) -> None:
        """Hold a page, and put it into the view's front.

        Interior pages of b-trees give way only to each other, as long as they take no more than their share.
        """
        if is_interior and len(page) <= self._room // HELD_SHARE:
            with self._lock:
                self._put(self._held, view, [(key, pgno, page)])
                self._held.shrink(self._room // HELD_SHARE, self._fronts())
                self._pages.shrink(self._room - self._held.size, self._fronts())
        else:
            self.put_many(view, [(key, pgno, page)])

    def put_many(self, view: View, pages: Iterable[tuple[int, int, bytes]]) -> None:
        """Hold pages that are no interior ones, and put them into the view's front.

        Of each comes the key of its place, its number, and its bytes.
        """
        with self._lock:
            self._put(self._pages, view, pages)
            self._pages.shrink(self._room - self._held.size, self._fronts())

    def clear(self) -> None:
        """Hold nothing."""
        with self._lock:
            self._pages = _Rounds()
            self._held = _Rounds()
            for view in self._views:
                view.pages.clear()

    def _put(self, rounds: "_Rounds", view: View, pages: Iterable[tuple[int, int, bytes]]) -> None:
        fresh = {key: (page, (pgno - 1) * len(page)) for key, pgno, page in pages if len(page) <= self._room}
        # What another thread has loaded too stays, for fronts may show that one.
        known = {key: cached for key in self._known(fresh) if (cached := self._use(key))}
        for key in known:
            del fresh[key]
        rounds.add(fresh)
        for found in (known, fresh):
            view.pages.update((offset, page) for page, offset in found.values() if offset)  # page 1 is patched

    def _known(self, keys: Collection[int]) -> set[int]:
        return self._pages.known(keys) | self._held.known(keys)

    def _use(self, key: int) -> _Cached | None:
        return self._pages.use(key) or self._held.use(key)

    def _fronts(self) -> list[_Front]:
        return [view.pages for view in self._views]


class _Rounds:
    """Pages in the order in which they came or were used: those that fronts may show, and those that have left them."""

    def __init__(self) -> None:
        self.size = 0  # bytes
        self._shown: OrderedDict[int, _Cached] = OrderedDict()
        self._hidden: OrderedDict[int, _Cached] = OrderedDict()
        self._hidden_size = 0

    def __contains__(self, key: int) -> bool:
        return key in self._shown or key in self._hidden

    def find(self, key: int) -> _Cached | None:
        return self._shown.get(key) or self._hidden.get(key)

    def use(self, key: int) -> _Cached | None:
        """Return a page that fronts may show from now on."""
        cached = self._shown.get(key)
        if cached is not None:
            self._shown.move_to_end(key)
            return cached
        cached = self._hidden.pop(key, None)
        if cached is not None:
            self._hidden_size -= len(cached[0])
            self._shown[key] = cached
        return cached

    def known(self, keys: Iterable[int]) -> set[int]:
        if self._shown.keys().isdisjoint(keys) and self._hidden.keys().isdisjoint(keys):
            return set()  # which is known sooner
        return {key for key in keys if key in self._shown or key in self._hidden}

    def add(self, pages: Mapping[int, _Cached]) -> None:
        self._shown.update(pages)
        self.size += sum(len(page) for page, _ in pages.values())

    def shrink(self, size: int, fronts: list[_Front]) -> None:
        """Let the oldest pages leave the fronts, and the oldest of those leave, until so many bytes are left."""
        shown, hidden, to_hide = self._shown, self._hidden, size // HIDDEN_SHARE
        while self.size > size:
            if shown and (not hidden or self._hidden_size < to_hide):
                key, cached = shown.popitem(last=False)
                page, offset = cached
                for front in fronts:
                    if front.get(offset) is page:
                        del front[offset]
                hidden[key] = cached
                self._hidden_size += len(page)
            else:
                _, (page, _) = hidden.popitem(last=False)
                self.size -= len(page)
                self._hidden_size -= len(page)
