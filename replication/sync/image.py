"""The database as it was at one place of the WAL: pages from the WAL where it has them, else from the database file.

What makes it hold still. A read transaction T began before the WAL was scanned up to the place, and lives.

- A page without a frame up to the place: T keeps checkpoints from copying newer frames to the database file.
- A page with a frame: as long as the WAL is not started over, frames stay as they are.
- The WAL may be started over once, if all its frames were in the database file when T began (see `primary`). Then the
  database file has every page of the image, and T keeps it so. A start-over writes the header before any frame, so a
  header that is unchanged after pages were read proves that they were whole; if it has changed, they are read again,
  from the database file.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from replication.errors import WALError
from replication.position import Pgno, lock_pgno
from replication.sync.wal_position import WALPosition
from replication.wal.checksum import NO_SUMS
from replication.wal.frame import WAL_FRAME_HEADER_SIZE, WALFrameHeader
from replication.wal.header import WAL_HEADER_SIZE, Salts, WALHeader
from replication.wal.page_map import PageMap
from replication.wal.reader import WALReader

READ_SIZE = 1 << 20
"""How many bytes of pages are read at once, about."""

MAX_GAP = 4
"""Frames that are so far apart are read at once, with those between them: that costs less than another read."""

MAX_SCANS = 4
"""How often a WAL is read that is started over meanwhile; more than once in a read transaction takes luck."""

NO_WAL = WALPosition(WAL_HEADER_SIZE, Salts(0, 0), NO_SUMS)
"""The position in a WAL that has no valid header: to SQLite, one without frames."""


class DatabaseFiles(Protocol):
    """What a read transaction lets one read."""

    def read_main(self, offset: int, size: int) -> bytes:
        """Return bytes of the database file, as many as there are."""

    def read_wal(self, offset: int, size: int) -> bytes:
        """Return bytes of the WAL, as many as there are."""


@dataclass(frozen=True, slots=True)
class WALScan:
    """All that is committed in a WAL: where it ends, where each page is, and the page of the last frame."""

    position: WALPosition
    page_map: PageMap | None  # None if there are no frames
    last_pgno: Pgno | None


def scan_wal(files: DatabaseFiles, committed_end: Callable[[], int]) -> WALScan:
    """Read the WAL from its first frame to where its newest commit ends.

    A WAL whose frames are all in the database file may be truncated or started over while it is read. What was read of
    it then is a state in between, which the database file has left behind: so read again what there is now.

    Raises:
        WALError: that happened again and again, or a frame before the newest commit is broken.

    """
    for _ in range(MAX_SCANS):
        end = committed_end()
        scan = _scan_once(files, end)
        if scan.position.offset == end or scan.position == NO_WAL:
            return scan
    if scan.page_map is None:
        return scan  # started over by a writer that was killed before its first commit could be seen
    msg = f"expected a commit that ends at byte {end} of the WAL, got one at {scan.position.offset}"
    raise WALError(msg, offset=scan.position.offset)


def _scan_once(files: DatabaseFiles, end: int) -> WALScan:
    try:
        reader = WALReader(files.read_wal)
    except WALError:
        return WALScan(NO_WAL, None, None)
    if end == WAL_HEADER_SIZE:
        return WALScan(WALPosition(end, reader.salts, reader.sums), None, None)
    page_map = reader.page_map(end - WAL_HEADER_SIZE)
    position = WALPosition(reader.next_offset, reader.salts, reader.sums)
    if page_map.commit == 0:
        return WALScan(position, None, None)
    frame_header = files.read_wal(reader.offset, WAL_FRAME_HEADER_SIZE)
    whole = len(frame_header) == WAL_FRAME_HEADER_SIZE  # else it was truncated just now
    return WALScan(position, page_map, WALFrameHeader.unpack(frame_header).pgno if whole else None)


def frames_up_to(files: DatabaseFiles, position: WALPosition) -> PageMap | None:
    """Return where the newest page of each is in the WAL up to a position, or None if the database file has them all.

    The position was found in the WAL while the read transaction lived.

    Raises:
        WALError: the WAL is still in the use of the position, but has no commit there.

    """
    try:
        reader = WALReader(files.read_wal)
    except WALError:
        return None  # truncated
    if reader.salts != position.salts or position.offset == WAL_HEADER_SIZE:
        return None
    page_map = reader.page_map(position.offset - WAL_HEADER_SIZE)
    if page_map.max_offset == position.offset:
        return page_map
    if has_salts(files, position.salts):
        msg = f"expected a commit that ends at byte {position.offset} of the WAL, got one at {page_map.max_offset}"
        raise WALError(msg, offset=position.offset)
    return None


class DatabaseImage:
    """Pages 1 to `commit` as of a place of the WAL."""

    def __init__(
        self, files: DatabaseFiles, page_map: PageMap | None, salts: Salts, *, commit: int, page_size: int
    ) -> None:
        """Name where pages are in the WAL that has these salts; those that are nowhere are in the database file."""
        self.page_size = page_size  # bytes
        self.commit = commit  # pages
        self._files = files
        self._page_map = page_map
        self._salts = salts

    def read_pages(self, first: int, count: int) -> bytes | bytearray:
        """Return pages `first` to `first + count - 1`, one behind the other."""
        page_map = self._page_map
        if page_map is None:
            return self._read_main(first, count)
        start, end = np.searchsorted(page_map.pgnos, (first, first + count))
        if start == end:
            return self._read_main(first, count)
        pages = bytearray(self._read_main(first, count))
        at = page_map.pgnos[start:end].astype(np.intp) - first
        read_frames(self._files, page_map.offsets[start:end], self.page_size, into=pages, at=at)
        if not has_salts(self._files, self._salts):
            self._page_map = None
            return self._read_main(first, count)
        return pages

    def pieces(self) -> Iterator[tuple[int, bytes | bytearray]]:
        """Yield all pages but the lock page, side by side in pieces: the number of the first page, and the bytes."""
        lock = lock_pgno(self.page_size)
        for first, last in ((1, min(lock - 1, self.commit)), (lock + 1, self.commit)):
            yield from self._pieces(first, last)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the bytes of every page, that of the lock page too, ascending."""
        for first, pages in self._pieces(1, self.commit):
            for i in range(len(pages) // self.page_size):
                yield first + i, bytes(pages[i * self.page_size : (i + 1) * self.page_size])

    def _pieces(self, first: int, last: int) -> Iterator[tuple[int, bytes | bytearray]]:
        step = max(1, READ_SIZE // self.page_size)
        for start in range(first, last + 1, step):
            yield start, self.read_pages(start, min(step, last + 1 - start))

    def _read_main(self, first: int, count: int) -> bytes:
        size = count * self.page_size
        # A page that was never written may lie behind the end of the file: it is free, and holds nothing.
        return self._files.read_main((first - 1) * self.page_size, size).ljust(size, b"\0")


def read_frames(
    files: DatabaseFiles, offsets: NDArray[np.uint64], page_size: int, *, into: bytearray, at: NDArray[np.intp]
) -> None:
    """Read the pages of the frames that begin at these offsets, and put them into a row of pages, at these places.

    Frames that lie close together are read at once. What the WAL does not have any more becomes zeros.
    """
    if len(offsets) == 0:
        return
    frame_size = WAL_FRAME_HEADER_SIZE + page_size
    pages = np.frombuffer(into, dtype=np.uint8).reshape(-1, page_size)
    order = np.argsort(offsets)
    frames = (offsets[order].astype(np.int64) - WAL_HEADER_SIZE) // frame_size
    cuts = (np.flatnonzero(np.diff(frames) > MAX_GAP) + 1).tolist()
    for start, end in zip([0, *cuts], [*cuts, len(frames)], strict=True):
        first = int(frames[start])
        size = (int(frames[end - 1]) - first + 1) * frame_size
        data = files.read_wal(WAL_HEADER_SIZE + first * frame_size, size).ljust(size, b"\0")
        rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, frame_size)
        pages[at[order[start:end]]] = rows[frames[start:end] - first, WAL_FRAME_HEADER_SIZE:]


def has_salts(files: DatabaseFiles, salts: Salts) -> bool:
    """Say whether the WAL is still in the use that has these salts."""
    try:
        return WALHeader.unpack(files.read_wal(0, WAL_HEADER_SIZE)).salts == salts
    except WALError:
        return False
