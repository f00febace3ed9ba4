"""Pages that were fetched before anybody asked for them: bytes in flight, or landed and not used yet.

- A page is here under its place, until it is taken, or until room is needed for others: then it was wasted.
- A page that SQLite asks for while it is in flight is waited for, not fetched again.
- A range that failed is forgotten; whoever needs a page of it fetches that page, and is told what is wrong.
- Whoever asks with a `Budget` has so many bytes here at most, and the more of it was used, the more it may have.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from threading import Lock, get_ident

from replication.errors import LitestreamError, LTXError, LTXMissingError
from replication.ltx.page import decode_page
from vfs.budget import Budget
from vfs.cache import PageCache
from vfs.fetch import MAX_IN_FLIGHT, Fetcher
from vfs.fetch_plan import MAX_SPAN, Span, plan_spans
from vfs.ltx_file import OFFSET_BITS
from vfs.place import Place, Places
from vfs.shown import Shown
from vfs.stats import Stats
from vfs.view import View
from vfs.waiter import Waiter

MAX_SIZE = 32 * 2**20
"""Bytes that are here at most, for all connections of a replica."""

MAX_REQUESTS = MAX_IN_FLIGHT - 1
"""Requests in flight at most: one thread is left for a page that somebody waits for."""

LARGE_SPAN = 2**20
"""Bytes of one joined range at most, once so much of what was fetched ahead was used."""


@dataclass(slots=True, eq=False)
class _Landing:
    span: Span
    future: Future[bytes]
    budget: Budget
    left: dict[int, int]  # sizes of the wanted pages that nobody took yet, by key
    shown: Shown | None
    statement: int  # of the budget, when it was asked for


class FetchedAhead:
    """What was fetched ahead for one replica."""

    def __init__(self, fetcher: Fetcher, cache: PageCache, stats: Stats) -> None:
        """Start with nothing."""
        self._fetcher = fetcher
        self.cache = cache
        self._stats = stats
        self._lock = Lock()
        self._landings: OrderedDict[Span, _Landing] = OrderedDict()  # oldest first, guarded by _lock
        self._by_key: dict[int, _Landing] = {}  # guarded by _lock
        self._size = 0  # bytes of all landings, guarded by _lock
        self._in_flight = 0  # guarded by _lock

    def shown(self, view: View, passing: dict[int, bytes], budget: Budget) -> Shown:
        """Return who lets pages of a run be read without asking; `passing` has those that are not cached, by offset."""
        return Shown(view, self.cache, passing, self._stats, budget)

    def want(self, places: Places, budget: Budget, shown: Shown | None = None) -> int:
        """Fetch pages that are neither cached nor here, the first ones first, as far as room and budget go.

        Return how many come before the first that has to be left out: these are on their way or here.
        """
        self._make_room(budget, sum(places.sizes))
        missing: list[int] = []
        room, end, held = budget.room, len(places), self.cache.held(places.keys)
        by_key, files = self._by_key, places.files
        for number, (key, size) in enumerate(zip(places.keys, places.sizes, strict=True)):
            if key in by_key or key in held:
                continue
            file = files[key >> OFFSET_BITS]
            if file.data is not None:
                continue
            room -= size
            if room < 0 or file.gone:
                end = number
                break
            missing.append(number)
        largest = LARGE_SPAN if budget.used > LARGE_SPAN else MAX_SPAN
        spans = plan_spans(places.picked(missing), largest=largest)
        for number, span in enumerate(spans):
            if not self._start(span, budget, shown):
                left_out = {key for span in spans[number:] for key in span.keys}
                return next(n for n, key in enumerate(places.keys) if key in left_out)
        return end

    def has(self, place: Place) -> bool:
        """Say whether a page need not be fetched: it is here, cached, or in a file that is held whole."""
        held = place.file.data is not None or place.key in self._by_key
        return held or self.cache.holds(place.key)

    def take(self, place: Place, waiter: Waiter, reader: Budget | None = None) -> memoryview | None:
        """Return the frame of a page that was fetched ahead, which then is here no more; None if it was not.

        Other pages of its range are shown to whoever asked for them, but not because somebody else takes one.

        Raises:
            UnavailableError, InterruptedReadError: as the waiter says.

        """
        landing = self._by_key.get(place.key)
        if landing is None:
            return None
        try:
            data = waiter.result(landing.future)
        except (LitestreamError, CancelledError):
            if not landing.future.done():
                raise
            return None
        shown: Collection[int] = ()
        if landing.shown is not None and landing.budget is reader:
            shown = landing.shown.show(landing.span, data, landing.left, place.key)
        with self._lock:
            landing.budget.used += self._take(landing, [place.key])
            self._take(landing, shown)
            if not landing.left:
                self._drop(landing)
        self._stats.count("prefetch_used")
        self._stats.count("prefetch_bytes_used", place.size)
        return _frame(data, landing.span, place)

    def when_landed(self, place: Place, call: Callable[[], None]) -> None:
        """Call, on another thread, when a page that is in flight has landed; never, if it fails."""
        landing = self._by_key.get(place.key)
        if landing is None or landing.future.done():
            return
        caller = get_ident()  # is in the middle of what the call would go on with, if the page lands just now

        def landed(future: Future[bytes]) -> None:
            if not _failed(future) and get_ident() != caller:
                call()

        landing.future.add_done_callback(landed)

    def peek(self, place: Place) -> memoryview | None:
        """Return the frame of a page that has landed, and leave it here."""
        landing = self._by_key.get(place.key)
        if landing is None or not landing.future.done() or _failed(landing.future):
            return None
        return _frame(landing.future.result(), landing.span, place)

    def drop(self, place: Place) -> None:
        """Forget a page that landed, because it is kept elsewhere from now on."""
        with self._lock:
            landing = self._by_key.get(place.key)
            if landing is not None:
                self._take(landing, [place.key])
                if not landing.left:
                    self._drop(landing)

    def peek_page(self, place: Place, page_size: int, pgno: int) -> bytes | None:
        """Return a page that has landed or is cached, and leave it where it is."""
        frame = self.peek(place)
        if frame is None:
            return self.cache.peek(place.key)
        try:
            return decode_page(frame, page_size, pgno)
        except LTXError:
            return None  # whoever asks for that page is told

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            landings = list(self._landings.values())
            for landing in landings:
                self._drop(landing)
        for landing in landings:  # without the lock, which `_landed` takes on this very thread
            landing.future.cancel()

    def _make_room(self, budget: Budget, size: int) -> None:
        """Forget, the oldest first, what landed for ended statements and runs of a reader that has no room."""
        if budget.unused == 0 or budget.room >= size:
            return
        with self._lock:
            for landing in list(self._landings.values()):
                if budget.room >= size:
                    return
                is_over = landing.statement != budget.statement or (landing.shown is not None and landing.shown.is_over)
                if landing.budget is budget and is_over and landing.future.done():
                    self._drop(landing)

    def _start(self, span: Span, budget: Budget, shown: Shown | None) -> bool:
        """Ask for a range, and say whether there was room for it."""
        with self._lock:
            if self._in_flight >= MAX_REQUESTS:
                return False
            while self._size + span.size > MAX_SIZE and self._landings:
                oldest = next(iter(self._landings.values()))
                if not oldest.future.done():
                    return False
                self._drop(oldest)
            self._in_flight += 1
        try:
            future = self._fetcher.read(span.file.info, span.start, span.end)
        except LitestreamError:
            with self._lock:
                self._in_flight -= 1
            return False
        landing = _Landing(span, future, budget, dict(zip(span.keys, span.sizes, strict=True)), shown, budget.statement)
        with self._lock:
            self._landings[span] = landing
            self._size += span.size
            budget.unused += span.wanted_size
            self._by_key.update(dict.fromkeys(span.keys, landing))
        self._stats.count("prefetched", len(span.keys))
        self._stats.count("prefetch_bytes", span.size)
        future.add_done_callback(lambda landed: self._landed(landing, landed))
        return True

    def _landed(self, landing: _Landing, future: Future[bytes]) -> None:
        failed = _failed(future) or len(future.result()) != landing.span.size
        if failed and not future.cancelled() and isinstance(future.exception(), LTXMissingError):
            landing.span.file.gone = True  # so that it is not asked for again and again
        with self._lock:
            self._in_flight -= 1
            if failed:
                self._drop(landing)

    def _take(self, landing: _Landing, keys: Collection[int]) -> int:
        """Note that pages are wanted no more, and return the bytes of those that were; the caller holds the lock."""
        by_key, left = self._by_key, landing.left
        size = sum([left.pop(key, 0) for key in keys])
        for key in keys:
            if by_key.get(key) is landing:
                del by_key[key]
        landing.budget.unused -= size
        return size

    def _drop(self, landing: _Landing) -> None:
        """Forget a range; the caller holds the lock."""
        if self._landings.pop(landing.span, None) is None:
            return
        self._size -= landing.span.size
        self._stats.count("prefetch_wasted", len(landing.left))
        self._take(landing, list(landing.left))


def _failed(future: Future[bytes]) -> bool:
    return future.cancelled() or future.exception() is not None


def _frame(data: bytes, span: Span, place: Place) -> memoryview | None:
    """Return the bytes of one place in a range; None if the storage gave less than was asked for."""
    if len(data) != span.size:
        return None
    return memoryview(data)[place.start - span.start : place.end - span.start]
