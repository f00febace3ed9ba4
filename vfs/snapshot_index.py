"""The page index of a large snapshot, of which only parts are known: windows, fetched where a page is looked for.

A snapshot has every page from 1 to its commit but the lock page, in order, so the page numbers need no index; only
where their frames begin does. The index has an entry of three varints for each. Where the entry of a page lies is
guessed from those that are known, and a window of the index around it is fetched and brought into step: of the three
ways to take its varints for entries only one has page numbers that count up and frames without gaps.

What is here grows, and never changes: several threads may look while one adds.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from replication.errors import LTXError
from replication.ltx.header import HEADER_SIZE, Header
from replication.ltx.index import FrameSpan, IndexPart, decode_entries
from replication.ltx.page import BLOCK_HEADER, BLOCK_HEADER_SIZE, END_OF_PAGES, MAX_FRAME_SIZE, SIZE_FLAG
from replication.position import lock_pgno

WINDOW_SIZE = 16 * 1024
"""Bytes of index that are fetched around a guess, at least."""

MAX_WINDOW_SIZE = 64 * 1024
GUESS_SHARE = 64
"""A window has at least one part in so many of the bytes in which the entry may lie, up to that size."""

MIN_ENTRIES = 8
"""So many entries in step prove that they are entries."""

MAX_WINDOWS = 256

_OVERLAP = 256  # bytes: more than MIN_ENTRIES entries and two halves

_COUNTS_UP = 0x80  # bytes from here on are followed by another of the same varint


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """Entries of pages that follow each other: the first one's place in the order, and where in the index they lie."""

    first: int
    offsets: NDArray[np.uint64]  # of the frames, and behind the last one
    start: int  # bytes from the start of the index
    end: int

    @property
    def last(self) -> int:
        return self.first + len(self.offsets) - 2


def head_frames(head: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield page number, start and end of the frames that lie whole in the first bytes of a file."""
    start = HEADER_SIZE
    while start + BLOCK_HEADER_SIZE <= len(head):
        pgno, flags, size = BLOCK_HEADER.unpack_from(head, start)
        end = start + BLOCK_HEADER_SIZE + size
        if flags != SIZE_FLAG or pgno == 0 or end > len(head):
            return
        yield pgno, start, end
        start = end


class SnapshotIndex:
    """Where the frames of a snapshot's pages are, as far as that is known."""

    def __init__(self, header: Header, start: int, size: int) -> None:
        """Take the header, and where in the file the index lies: its first byte, and its size with the 0 at its end."""
        self.commit = header.commit
        self.start = start
        self.size = size - 1
        self._lock_pgno = lock_pgno(header.page_size)
        self._count = self.commit - (1 if self._lock_pgno <= self.commit else 0)
        self._lock = Lock()
        self._windows: list[
            _Window
        ] = []  # by their first entry, without overlaps; replaced as a whole, guarded by _lock
        self._all: NDArray[np.uint64] | None = None  # of all frames, once the whole index is known

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        known = "whole" if self._all is not None else f"windows={len(self._windows)}"
        return f"<SnapshotIndex pages={self._count} {known}>"

    def __contains__(self, pgno: int) -> bool:
        return 1 <= pgno <= self.commit and pgno != self._lock_pgno

    @property
    def nbytes(self) -> int:
        """How many bytes the arrays take."""
        return self._all.nbytes if self._all is not None else sum(window.offsets.nbytes for window in self._windows)

    @property
    def offsets(self) -> NDArray[np.uint64] | None:
        """Where the frames of all pages begin, and behind the last one; None while that is not known."""
        return self._all

    @property
    def window_count(self) -> int:
        """How many windows were needed so far."""
        return len(self._windows)

    def is_complete(self, commit: int, page_size: int) -> bool:
        """Say whether these are exactly the pages of a whole database."""
        return commit == self.commit and lock_pgno(page_size) == self._lock_pgno

    def __iter__(self) -> Iterator[int]:
        """Yield the page numbers, ascending."""
        return (pgno for pgno in range(1, self.commit + 1) if pgno != self._lock_pgno)

    def pgnos(self) -> NDArray[np.uint32]:
        """Return the numbers of all pages."""
        pgnos = np.arange(1, self._count + 1, dtype=np.uint32)
        pgnos[pgnos >= self._lock_pgno] += 1
        return pgnos

    def find(self, pgno: int) -> FrameSpan | None:
        """Return where the frame of a page is, or None if that is not known, or there is no such page."""
        if pgno not in self:
            return None
        number = self._number(pgno)
        if self._all is not None:
            return FrameSpan(int(self._all[number]), int(self._all[number + 1]))
        windows = self._windows
        at = bisect_right(windows, number, key=lambda window: window.first) - 1
        if at < 0 or number > windows[at].last:
            return None
        offsets, place = windows[at].offsets, number - windows[at].first
        return FrameSpan(int(offsets[place]), int(offsets[place + 1]))

    def window(self, pgno: int) -> tuple[int, int]:
        """Return which bytes of the file to fetch, to know where a page is; the guess gets better with each window."""
        number = self._number(pgno)
        windows = self._windows
        at = bisect_right(windows, number, key=lambda window: window.first) - 1
        low = (windows[at].last + 1, windows[at].end) if at >= 0 else (0, 0)
        high = (windows[at + 1].first, windows[at + 1].start) if at + 1 < len(windows) else (self._count, self.size)
        span = self._weight(high[0]) - self._weight(low[0])
        share = (self._weight(number) - self._weight(low[0])) / span if span else 0.0
        guess = low[1] + int(share * (high[1] - low[1]))
        # The less is known around, the further the guess may be off.
        size = min(max(WINDOW_SIZE, (high[1] - low[1]) // GUESS_SHARE), MAX_WINDOW_SIZE)
        start = max(low[1], min(guess - size // 2, high[1] - size))
        end = min(start + size, high[1])
        # Into what is known, so that the entries at the borders of a window are whole in one of two.
        return self.start + max(0, start - _OVERLAP), self.start + min(end + _OVERLAP, self.size)

    def add(self, start: int, data: bytes) -> None:
        """Know the entries in bytes of the file from `start` on.

        Raises:
            LTXError: they are no entries of this index.

        """
        begin = start - self.start
        raw = np.frombuffer(data, dtype=np.uint8)
        skipped = 0
        if begin > 0:
            ends = np.flatnonzero(raw < _COUNTS_UP)
            skipped = int(ends[0]) + 1 if len(ends) else len(raw)  # a varint may have begun before
        for phase in range(3):
            part = decode_entries(raw[skipped:], phase)
            if self._is_in_step(part, exact=begin == 0 and phase == 0):
                self._keep(part, begin + skipped, raw[skipped:], phase)
                return
            if begin == 0:
                break
        msg = f"expected entries of the page index in {len(data)} bytes"
        raise LTXError(msg, offset=start)

    def add_head(self, head: bytes) -> None:
        """Know the pages whose frames lie whole in the first bytes of the file."""
        offsets = [HEADER_SIZE]
        for number, (pgno, _, end) in enumerate(head_frames(head)):
            if pgno not in self or self._number(pgno) != number:
                break
            offsets.append(end)
        if len(offsets) > 1:
            # How long their entries are is not known, and no matter: what follows is guessed from the index's start.
            self._insert(_Window(0, np.array(offsets, dtype=np.uint64), 0, 0))

    def add_all(self, offsets: NDArray[np.uint64]) -> None:
        """Know where all frames are.

        Raises:
            LTXError: these are not so many as there are pages.

        """
        if len(offsets) != self._count + 1 or int(offsets[-1]) + len(END_OF_PAGES) != self.start:
            msg = f"expected frames of {self._count} pages up to byte {self.start}, got {len(offsets) - 1}"
            raise LTXError(msg, offset=self.start)
        with self._lock:
            self._all = offsets
            self._windows = []

    def _number(self, pgno: int) -> int:
        """Return the place of a page in the order of pages."""
        return pgno - (2 if pgno > self._lock_pgno else 1)

    def _weight(self, number: int) -> float:
        """Return about how many bytes the entries before one take, up to a factor."""
        frame = (self.start - HEADER_SIZE) / max(self._count, 1)
        weight = 4.0 * number  # one byte each for page number and offset, two for the size
        for bits in range(7, 36, 7):
            weight += max(0.0, number - 2.0**bits) + max(0.0, number - 2.0**bits / frame)
        return weight

    def _is_in_step(self, part: IndexPart, *, exact: bool) -> bool:
        pgnos, offsets, sizes = part.pgnos, part.offsets, part.sizes
        if len(pgnos) < (1 if exact else MIN_ENTRIES) or int(pgnos[0]) < 1 or int(pgnos[-1]) > self.commit:
            return False
        if exact and (int(pgnos[0]) != 1 or int(offsets[0]) != HEADER_SIZE):
            return False
        steps = np.diff(pgnos)
        gaps = np.flatnonzero(steps != 1)
        if len(gaps) > 1 or any(int(pgnos[gap]) + 1 != self._lock_pgno or int(steps[gap]) != 2 for gap in gaps):  # noqa: PLR2004
            return False
        in_file = int(offsets[0]) >= HEADER_SIZE and int(offsets[-1]) + int(sizes[-1]) <= self.start
        sized = 0 < int(sizes.min()) <= int(sizes.max()) <= MAX_FRAME_SIZE
        return in_file and sized and bool((offsets[1:] == offsets[:-1] + sizes[:-1]).all())

    def _keep(self, part: IndexPart, begin: int, raw: NDArray[np.uint8], phase: int) -> None:
        lead = int((np.flatnonzero(raw < _COUNTS_UP)[:phase] + 1)[-1]) if phase else 0
        ends = np.append(part.offsets, part.offsets[-1] + part.sizes[-1])
        self._insert(_Window(self._number(int(part.pgnos[0])), ends, begin + lead, begin + part.size))

    def _insert(self, new: _Window) -> None:
        with self._lock:
            if self._all is not None:
                return
            others = [window for window in self._windows if not new.first <= window.first <= window.last <= new.last]
            if any(window.first <= new.first and new.last <= window.last for window in others):
                return
            self._windows = sorted([*others, new], key=lambda window: window.first)[:MAX_WINDOWS]
