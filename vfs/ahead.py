"""Pages that were fetched before anybody asked for them: bytes in flight, or landed and not used yet.

- A page is here under its place, until it is taken, or until room is needed for others: then it was wasted.
- A page that SQLite asks for while it is in flight is waited for, not fetched again.
- A range that failed is forgotten; whoever needs a page of it fetches that page, and is told what is wrong.
- Whoever asks with a `Budget` has so many bytes here at most, and the more of it was used, the more it may have.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from threading import Lock

from replication.errors import LitestreamError, LTXError
from replication.ltx.page import decode_page
from vfs.cache import PageCache
from vfs.fetch import MAX_IN_FLIGHT, Fetcher
from vfs.fetch_plan import Span, plan_spans
from vfs.index import Place
from vfs.ltx_file import LTXFile
from vfs.stats import Stats
from vfs.waiter import Waiter

MAX_SIZE = 32 * 2**20
"""Bytes that are here at most, for all connections of a replica."""

MAX_REQUESTS = MAX_IN_FLIGHT - 1
"""Requests in flight at most: one thread is left for a page that somebody waits for."""

FIRST_SIZE = 256 * 2**10
"""Bytes a budget may have unused before anything of it was used."""

USE_FACTOR = 2
"""So many times what was used may be unused."""

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

    def want(self, places: Sequence[Place], budget: Budget) -> int:
        """Fetch pages that are neither cached nor here, as far as room and budget go; return of how many it is sure.

        The first are fetched first. Of those after the first that has to be left out none is.
        """
        missing: list[Place] = []
        known = 0
        room = budget.room
        for place in places:
            if self.has(place):
                known += 1
                continue
            room -= place.end - place.start
            if room < 0:
                break
            missing.append(place)
        for span in plan_spans(missing):
            if not self._start(span, budget):
                break
            known += len(span.places)
        return known

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
        with self._lock:
            if self._by_place.pop((place.file, place.start), None) is not None:
                size = place.end - place.start
                landing.left -= size
                landing.budget.unused -= size
                landing.budget.used += size
                if landing.left <= 0:
                    self._drop(landing)
        self._stats.count("prefetch_used")
        self._stats.count("prefetch_bytes_used", place.end - place.start)
        return _frame(data, landing.span, place)

    def when_landed(self, place: Place, call: Callable[[], None]) -> None:
        """Call, on another thread, when a page that is in flight has landed."""
        landing = self._by_place.get((place.file, place.start))
        if landing is not None and not landing.future.done():
            landing.future.add_done_callback(lambda _: call())

    def peek(self, place: Place) -> memoryview | None:
        """Return the frame of a page that has landed, and leave it here."""
        landing = self._by_place.get((place.file, place.start))
        if landing is None or not landing.future.done() or landing.future.cancelled() or landing.future.exception():
            return None
        return _frame(landing.future.result(), landing.span, place)

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

    def _start(self, span: Span, budget: Budget) -> bool:
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
        landing = _Landing(span, future, budget, span.wanted_size)
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
        failed = future.cancelled() or future.exception() is not None or len(future.result()) != landing.span.size
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


def _frame(data: bytes, span: Span, place: Place) -> memoryview | None:
    """Return the bytes of one place in a range; None if the storage gave less than was asked for."""
    if len(data) != span.size:
        return None
    return memoryview(data)[place.start - span.start : place.end - span.start]
