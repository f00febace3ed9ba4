"""Which pages go into a level-0 file: pure but for reading them.

Those that differ from the state after the newest level-0 file: of the pages of the frames since a position that is
proven, or, where nothing is proven, of all pages. A page that was changed and changed back is not written.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from replication.errors import PrevFrameMismatchError
from replication.ltx.checksum import page_checksum
from replication.position import lock_pgno
from replication.sync.image import READ_SIZE, DatabaseFiles, DatabaseImage, has_salts, read_frames
from replication.sync.page_sums import Checksums
from replication.wal.header import Salts
from replication.wal.page_map import PageMap

Known = Callable[[NDArray[np.uint32]], Checksums]
"""Gives the checksums that pages, ascending, had in the old state."""


@dataclass(frozen=True, slots=True, eq=False)
class ChangedPages:
    """Pages of a level-0 file, ascending, and their checksums."""

    pgnos: NDArray[np.uint32]
    data: bytes | bytearray = field(repr=False)  # the pages, one behind the other
    checksums: Checksums

    def __len__(self) -> int:
        return len(self.pgnos)

    def take(self, positions: NDArray[np.intp]) -> "ChangedPages":
        """Return some of these pages."""
        if len(positions) == len(self):
            return self
        pages = np.frombuffer(self.data, dtype=np.uint8).reshape(len(self), -1)
        return ChangedPages(self.pgnos[positions], pages[positions].tobytes(), self.checksums[positions])


def pages_of_frames(
    files: DatabaseFiles, page_map: PageMap, *, salts: Salts, page_size: int, old_commit: int, known: Known | None
) -> Iterator[ChangedPages]:
    """Yield the pages of new frames that differ from the old state, ascending; all, where nothing is known of it.

    So do those by which the database grew without a frame: SQLite leaves out a page that was added and freed in one
    transaction. If any page differs, that of the last frame is there too.

    Raises:
        PrevFrameMismatchError: the WAL was started over meanwhile, so that frames may have been overwritten.

    """
    grown = np.arange(old_commit + 1, page_map.commit + 1, dtype=np.uint32)
    pgnos = np.union1d(page_map.pgnos, grown)
    pgnos = pgnos[pgnos != lock_pgno(page_size)]
    step = max(1, READ_SIZE // page_size)
    batches = (
        _checked(some, _read(files, page_map, some, page_size))
        for some in (pgnos[first : first + step] for first in range(0, len(pgnos), step))
    )
    last_pgno = int(page_map.pgnos[np.argmax(page_map.offsets)])
    yield from _changed(batches, known, known_commit=old_commit if known else 0, last_pgno=last_pgno)
    if not has_salts(files, salts):
        msg = "the WAL was started over while its frames were read"
        raise PrevFrameMismatchError(msg, offset=page_map.max_offset)


def pages_that_differ(image: DatabaseImage, old: Checksums | None, last_pgno: int | None) -> Iterator[ChangedPages]:
    """Yield the pages whose checksum is another than that of the old state, ascending; without one, all.

    So are pages beyond the old size. If any page differs, that of the WAL's last frame is there too.
    """
    batches = (
        _checked(np.arange(first, first + len(data) // image.page_size, dtype=np.uint32), data)
        for first, data in image.pieces()
    )
    checksums: Checksums = np.zeros(0, dtype=np.uint64) if old is None else old
    yield from _changed(
        batches, lambda pgnos: checksums[pgnos - 1], known_commit=len(checksums), last_pgno=last_pgno or 0
    )


def _changed(
    batches: Iterable[ChangedPages], known: Known | None, *, known_commit: int, last_pgno: int
) -> Iterator[ChangedPages]:
    """Yield the pages that differ from what is known of pages 1 to `known_commit`, and those beyond.

    If any does, `last_pgno`, the page of the WAL's last frame, is there too: the Go program looks for it in the newest
    level-0 file, and writes out the whole database if it is not there.
    """
    held: ChangedPages | None = None  # the page of the last frame, while nothing before it differs
    found = False
    for pages in batches:
        differs = np.ones(len(pages), dtype=np.bool_)
        if known is not None:
            count = int(np.searchsorted(pages.pgnos, known_commit, side="right"))
            differs[:count] = pages.checksums[:count] != known(pages.pgnos[:count])
        is_last = pages.pgnos == last_pgno
        if differs.any():
            found = True
            if held is not None:
                yield held
                held = None
        if found:
            differs |= is_last
        elif is_last.any():
            held = pages.take(np.flatnonzero(is_last))
        if differs.any():
            yield pages.take(np.flatnonzero(differs))


def _read(files: DatabaseFiles, page_map: PageMap, pgnos: NDArray[np.uint32], page_size: int) -> bytearray:
    """Return pages one behind the other: from the WAL those that have a frame, from the database file the others."""
    places = np.minimum(np.searchsorted(page_map.pgnos, pgnos), len(page_map) - 1)
    has_frame = page_map.pgnos[places] == pgnos
    pages = bytearray(len(pgnos) * page_size)
    read_frames(files, page_map.offsets[places[has_frame]], page_size, into=pages, at=np.flatnonzero(has_frame))
    for i in np.flatnonzero(~has_frame).tolist():
        data = files.read_main((int(pgnos[i]) - 1) * page_size, page_size)
        pages[i * page_size : i * page_size + len(data)] = data
    return pages


def _checked(pgnos: NDArray[np.uint32], data: bytes | bytearray) -> ChangedPages:
    """Add the checksums."""
    view, page_size = memoryview(data), len(data) // len(pgnos)
    checksums = [
        page_checksum(pgno, view[i * page_size : (i + 1) * page_size]) for i, pgno in enumerate(pgnos.tolist())
    ]
    return ChangedPages(pgnos, data, np.array(checksums, dtype=np.uint64))
