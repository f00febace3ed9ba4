"""The page map: where in a WAL the newest committed version of each page is.

It keeps page numbers and offsets, never pages: 12 bytes for each distinct page, and while it is collected no more than
as much again, or `_FOLD_FRAMES` frames.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_FOLD_FRAMES = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class PageMap:
    """Page numbers, ascending, and where the newest committed frame of each begins; both arrays are read-only.

    `max_offset` is where the last committed transaction ends, in bytes from the start of the WAL: there the next
    reading goes on. `commit` is the database size after it, in pages. If no transaction was committed, `max_offset` is
    where the reading began and `commit` is 0.

    No page is above `commit`, but a database may have pages that no frame holds: those of the main file.
    """

    pgnos: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    max_offset: int
    commit: int
    _pgno_view: memoryview = field(init=False, repr=False)  # a numpy array answers single look-ups ten times slower
    _offset_view: memoryview = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.pgnos.setflags(write=False)
        self.offsets.setflags(write=False)
        object.__setattr__(self, "_pgno_view", self.pgnos.data)
        object.__setattr__(self, "_offset_view", self.offsets.data)

    def __len__(self) -> int:
        return len(self.pgnos)

    def __iter__(self) -> Iterator[int]:
        """Yield the page numbers, ascending."""
        return iter(self._pgno_view)

    def __contains__(self, pgno: int) -> bool:
        return self.find(pgno) is not None

    def find(self, pgno: int) -> int | None:
        """Return where the newest committed frame of a page begins, or None if no frame holds the page."""
        i = bisect_left(self._pgno_view, pgno)
        return self._offset_view[i] if i < len(self._pgno_view) and self._pgno_view[i] == pgno else None


class NewestFrames:
    """Collects the frames of a WAL, in their order, and keeps the newest of each page."""

    def __init__(self) -> None:
        self._pgnos = np.empty(0, dtype=np.uint32)
        self._offsets = np.empty(0, dtype=np.uint64)
        self._later: list[tuple[NDArray[np.uint32], NDArray[np.uint64]]] = []
        self._later_count = 0

    def add(self, pgnos: NDArray[np.uint32], offsets: NDArray[np.uint64]) -> None:
        """Take frames that come behind all those added before."""
        self._later.append((pgnos.copy(), offsets))  # a view would keep all it is a part of
        self._later_count += len(pgnos)
        if self._later_count >= max(_FOLD_FRAMES, len(self._pgnos)):
            self._fold()

    def newest(self) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """Return the page numbers, ascending, and where the newest frame of each begins."""
        self._fold()
        return self._pgnos, self._offsets

    def page_map(self, max_offset: int, commit: int) -> PageMap:
        """Return where the pages up to `commit` are."""
        pgnos, offsets = self.newest()
        count = int(np.searchsorted(pgnos, commit, side="right"))
        return PageMap(pgnos[:count].copy(), offsets[:count].copy(), max_offset, commit)

    def _fold(self) -> None:
        pgnos = np.concatenate([self._pgnos, *(pgnos for pgnos, _ in self._later)])
        offsets = np.concatenate([self._offsets, *(offsets for _, offsets in self._later)])
        # The first of its kind in reversed order is the newest.
        self._pgnos, newest = np.unique(pgnos[::-1], return_index=True)
        self._offsets = offsets[::-1][newest]
        self._later, self._later_count = [], 0
