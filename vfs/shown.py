"""Pages of one run of leaves that can be read without asking: those that came in one range with a page that is taken.

Of a page read like that nobody is told; the run says which it has passed. What fits in the page cache is put there. A
longer run would only push its own pages out: those after that stand where just this connection finds them, until they
are passed.
"""

from bisect import bisect_left
from collections.abc import Collection, Container, Iterable

from replication.errors import LTXError
from replication.ltx.page import decode_page
from vfs.budget import Budget
from vfs.cache import PageCache
from vfs.fetch_plan import Span
from vfs.stats import Stats
from vfs.view import View

CACHE_SHARE = 4
"""Pages put into the cache at once are at most one part in so many of it: more would push each other out."""

MAX_SIZE = 4 * 2**20
"""Bytes of pages shown at once, at most."""


class Shown:
    """The pages of one run, in one direction: `step` is 1 if its page numbers mostly ascend, or -1."""

    def __init__(self, view: View, cache: PageCache, passing: dict[int, bytes], stats: Stats, budget: Budget) -> None:
        """Show nothing yet; `passing` has the pages that only one connection is shown, by offset in the database."""
        self.step = 1
        self.is_over = False  # the run has ended: nobody passes its pages any more
        self._view = view
        self._cache = cache
        self._stats = stats
        self._budget = budget
        self._passing = passing
        self._cached = 0  # bytes
        self._unused: dict[int, int] = {}  # sizes of the frames of those shown, by page number

    def __len__(self) -> int:
        """Return how many pages are shown and were not passed."""
        return len(self._unused)

    def show(self, span: Span, data: bytes, left: Container[int], taken: int) -> Collection[int]:
        """Show the pages that are left of a range, from the one just taken on; return the keys of their places."""
        if self.is_over or len(data) != span.size:
            return ()  # whoever asks for one of its pages is told
        at = bisect_left(span.keys, taken)
        frames, first, page_size = memoryview(data), span.file.base + span.start, self._view.page_size
        room = min(self._cache.max_size // CACHE_SHARE, self._cache.max_size - self._cached, MAX_SIZE)
        is_cached = room >= len(span.keys) * page_size
        most = MAX_SIZE // page_size
        following = slice(at + 1, at + most) if self.step > 0 else slice(max(0, at - most), at)
        pages: list[tuple[int, int, bytes]] = []
        total = 0
        for pgno, key, size in zip(span.pgnos[following], span.keys[following], span.sizes[following], strict=True):
            if key not in left:
                continue
            try:
                page = decode_page(frames[key - first : key - first + size], page_size, pgno)
            except LTXError:
                continue  # whoever asks for that page is told
            pages.append((key, pgno, page))
            self._unused[pgno] = size
            total += size
        if is_cached:
            self._cache.put_many(self._view, pages)
            self._cached += len(pages) * page_size
        else:
            self._passing.update(((pgno - 1) * page_size, page) for _, pgno, page in pages if pgno > 1)  # it is patched
        self._budget.shown += total
        self._budget.used += total
        return [key for key, _, _ in pages]

    def passed(self, pgnos: Iterable[int]) -> None:
        """Note that the run has passed these pages; those that were shown are used by that."""
        passed = list(pgnos)
        sizes = [size for pgno in passed if (size := self._unused.pop(pgno, None)) is not None]
        self._hide(passed)
        self._budget.shown -= sum(sizes)
        self._stats.count("prefetch_used", len(sizes))
        self._stats.count("prefetch_bytes_used", sum(sizes))

    def drop(self) -> None:
        """Note that the run has ended: what it did not pass was wasted."""
        self.is_over = True
        unused, self._unused = self._unused, {}
        self._hide(unused)
        self._budget.shown -= sum(unused.values())
        self._stats.count("prefetch_wasted", len(unused))

    def _hide(self, pgnos: Iterable[int]) -> None:
        if self._passing:
            for pgno in pgnos:
                self._passing.pop((pgno - 1) * self._view.page_size, None)
