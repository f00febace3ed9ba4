"""Pages that were fetched before anybody asked for them: bytes in flight, or landed and not used yet.

- A page is here under its place, until it is taken, or until room is needed for others: then it was wasted.
- A page that SQLite asks for while it is in flight is waited for, not fetched again.
- A range that failed is forgotten; whoever needs a page of it fetches that page, and is told what is wrong.
- Whoever asks with a `Budget` has so many bytes here at most, and the more of it was used, the more it may have.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from threading import Lock

from replication.errors import LitestreamError, LTXError, LTXMissingError
from replication.ltx.page import decode_page
from vfs.cache import PageCache
from vfs.fetch import MAX_IN_FLIGHT, Fetcher
from vfs.fetch_plan import MAX_SPAN, Span, plan_spans
from vfs.index import Place
from vfs.ltx_file import LTXFile
from vfs.stats import Stats
from vfs.view import View
from vfs.waiter import Waiter

MAX_SIZE = 32 * 2**20
"""Bytes that are here at most, for all connections of a replica."""

MAX_REQUESTS = MAX_IN_FLIGHT - 1
"""Requests in flight at most: one thread is left for a page that somebody waits for."""

LARGE_SPAN = 2**20
"""Bytes of one joined range at most, once so much of what was fetched ahead was used."""

FIRST_SIZE = 256 * 2**10
"""Bytes a budget may have unused before anything of it was used."""

USE_FACTOR = 2
"""So many times what was used may be unused."""

CACHE_SHARE = 4
"""Pages put into the cache at once are at most one part in so many of it."""

_Key = tuple[LTXFile, int]


@dataclass(slots=True, eq=False)
class Budget:
    """What one reader may have fetched ahead: `size` bytes unused at most, less while little of it was used."""

    size: int
    unused: int = 0  # bytes that were asked for and not taken
    used: int = 0

    @property
    def room(self) -> int:
        """How many bytes may be asked for now."""
        return min(self.size, FIRST_SIZE + USE_FACTOR * self.used) - self.unused

    def renew(self) -> None:
        """Begin anew, for another statement; what is still unused goes on to count."""
        self.used = 0


@dataclass(slots=True, eq=False)
class _Landing:
    span: Span
    future: Future[bytes]
    budget: Budget
    left: int  # wanted bytes that nobody took yet
    shown: "Shown | None"


class Shown:
    """Pages of one run of leaves, put into a view's front all together when the first of their range is taken.

    The others are used without anybody being asked; the run says which it has passed.
    """

    def __init__(self, cache: PageCache, stats: Stats, budget: Budget) -> None:
        """Expect nothing yet."""
        self._cache = cache
        self._stats = stats
        self._budget = budget
        self._expected: dict[_Key, tuple[View, int]] = {}
        self._unused: dict[int, int] = {}  # sizes of the frames of those shown, by page number

    def expect(self, view: View, pgno: int, place: Place) -> None:
        """Show this page with the others of its range."""
        self._expected[place.file, place.start] = view, pgno

    def show(self, span: Span, data: bytes, taken: Place) -> list[Place]:
        """Show those of the pages of a range that are expected, but for the one just taken; return their places."""
        shown: list[Place] = []
        if len(span.places) > self._most(span.places):
            return shown  # they would push each other out of the cache before they are read
        pages: list[tuple[int, Place, bytes]] = []
        view: View | None = None
        for place in span.places:
            expected = self._expected.pop((place.file, place.start), None)
            if expected is None or place.start == taken.start or len(data) != span.size:
                continue
            view, pgno = expected
            try:
                page = decode_page(
                    memoryview(data)[place.start - span.start : place.end - span.start], view.page_size, pgno
                )
            except LTXError:
                continue  # whoever asks for that page is told
            pages.append((pgno, place, page))
            self._unused[pgno] = place.end - place.start
            shown.append(place)
        if view is not None:
            self._cache.put_many(view, pages)
        return shown

    def _most(self, places: Sequence[Place]) -> int:
        """Return how many pages may be shown at once."""
        return self._cache.max_size // CACHE_SHARE // places[0].file.header.page_size

    def used(self, pgnos: Iterable[int]) -> None:
        """Note that these pages were passed; those that were shown are used by that."""
        sizes = [size for pgno in pgnos if (size := self._unused.pop(pgno, None)) is not None]
        self._budget.unused -= sum(sizes)
        self._budget.used += sum(sizes)
        self._stats.count("prefetch_used", len(sizes))
        self._stats.count("prefetch_bytes_used", sum(sizes))

    def drop(self) -> None:
        """Note that the run has ended: what it did not pass was wasted."""
        self._expected.clear()
        unused, self._unused = self._unused, {}
        self._budget.unused -= sum(unused.values())
        self._stats.count("prefetch_wasted", len(unused))


class FetchedAhead:
    """What was fetched ahead for one replica."""

    def __init__(self, fetcher: Fetcher, cache: PageCache, stats: Stats) -> None:
        """Start with nothing."""
        self._fetcher = fetcher
        self.cache = cache
        self._stats = stats
        self._lock = Lock()
        self._landings: OrderedDict[Span, _Landing] = OrderedDict()  # oldest first, guarded by _lock
        self._by_place: dict[_Key, _Landing] = {}  # guarded by _lock
        self._size = 0  # bytes of all landings, guarded by _lock
        self._in_flight = 0  # guarded by _lock

    def shown(self, budget: Budget) -> Shown:
        """Return who puts pages of a run into the front of a view."""
        return Shown(self.cache, self._stats, budget)

    def want(self, places: Sequence[Place], budget: Budget, shown: Shown | None = None) -> int:
        """Fetch pages that are neither cached nor here, as far as room and budget go; return of how many it is sure.

        The first are fetched first. Of those after the first that has to be left out none is.
        """
        missing: list[Place] = []
        room, end = budget.room, len(places)
        for number, place in enumerate(places):
            if not self.has(place):
                if place.file.gone:
                    end = number
                    break
                room -= place.end - place.start
                if room < 0:
                    end = number
                    break
                missing.append(place)
        largest = LARGE_SPAN if budget.used > LARGE_SPAN else MAX_SPAN
        spans = plan_spans(missing, largest=largest)
        for number, span in enumerate(spans):
            if not self._start(span, budget, shown):
                left_out = {(place.file, place.start) for span in spans[number:] for place in span.places}
                return next(n for n, place in enumerate(places) if (place.file, place.start) in left_out)
        return end

    def has(self, place: Place) -> bool:
        """Say whether a page need not be fetched: it is here, cached, or in a file that is held whole."""
        held = place.file.data is not None or (place.file, place.start) in self._by_place
        return held or self.cache.holds(place)

    def take(self, place: Place, waiter: Waiter) -> memoryview | None:
        """Return the frame of a page that was fetched ahead, which then is here no more; None if it was not.

        Raises:
            UnavailableError, InterruptedReadError: as the waiter says.

        """
        landing = self._by_place.get((place.file, place.start))
        if landing is None:
            return None
        try:
            data = waiter.result(landing.future)
        except (LitestreamError, CancelledError):
            if not landing.future.done():
                raise
            return None
        shown = [] if landing.shown is None else landing.shown.show(landing.span, data, place)
        with self._lock:
            if self._by_place.pop((place.file, place.start), None) is not None:
                size = place.end - place.start
                landing.left -= size
                landing.budget.unused -= size
                landing.budget.used += size
            for other in shown:
                if self._by_place.pop((other.file, other.start), None) is not None:
                    landing.left -= other.end - other.start  # of the budget it stays a part until it is passed
            if landing.left <= 0:
                self._drop(landing)
        self._stats.count("prefetch_used")
        self._stats.count("prefetch_bytes_used", place.end - place.start)
        return _frame(data, landing.span, place)

    def when_landed(self, place: Place, call: Callable[[], None]) -> None:
        """Call, on another thread, when a page that is in flight has landed; never, if it fails."""
        landing = self._by_place.get((place.file, place.start))
        if landing is not None and not landing.future.done():
            landing.future.add_done_callback(lambda future: None if _failed(future) else call())

    def peek(self, place: Place) -> memoryview | None:
        """Return the frame of a page that has landed, and leave it here."""
        landing = self._by_place.get((place.file, place.start))
        if landing is None or not landing.future.done() or _failed(landing.future):
            return None
        return _frame(landing.future.result(), landing.span, place)

    def drop(self, place: Place) -> None:
        """Forget a page that landed, because it is kept elsewhere from now on."""
        with self._lock:
            landing = self._by_place.pop((place.file, place.start), None)
            if landing is not None:
                size = place.end - place.start
                landing.left -= size
                landing.budget.unused -= size
                if landing.left <= 0:
                    self._drop(landing)

    def peek_page(self, place: Place, page_size: int, pgno: int) -> bytes | None:
        """Return a page that has landed or is cached, and leave it where it is."""
        frame = self.peek(place)
        if frame is None:
            return self.cache.peek(place)
        try:
            return decode_page(frame, page_size, pgno)
        except LTXError:
            return None  # whoever asks for that page is told

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            for landing in list(self._landings.values()):
                landing.future.cancel()
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
            self._in_flight -= 1
            return False
        landing = _Landing(span, future, budget, span.wanted_size, shown)
        with self._lock:
            self._landings[span] = landing
            self._size += span.size
            budget.unused += landing.left
            for place in span.places:
                self._by_place[place.file, place.start] = landing
        self._stats.count("prefetched", len(span.places))
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

    def _drop(self, landing: _Landing) -> None:
        """Forget a range; the caller holds the lock."""
        if self._landings.pop(landing.span, None) is None:
            return
        self._size -= landing.span.size
        landing.budget.unused -= landing.left
        dropped = [self._by_place.pop((place.file, place.start), None) for place in landing.span.places]
        self._stats.count("prefetch_wasted", len(dropped) - dropped.count(None))


def _failed(future: Future[bytes]) -> bool:
    return future.cancelled() or future.exception() is not None


def _frame(data: bytes, span: Span, place: Place) -> memoryview | None:
    """Return the bytes of one place in a range; None if the storage gave less than was asked for."""
    if len(data) != span.size:
        return None
    return memoryview(data)[place.start - span.start : place.end - span.start]
