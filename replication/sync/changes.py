"""Which pages go into a level-0 file: pure but for reading them.

Either the pages of the frames since a position that is proven, or, where nothing is proven, those that differ from
the state after the newest level-0 file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from replication.errors import PrevFrameMismatchError
from replication.ltx.checksum import page_checksum
from replication.position import lock_pgno
from replication.sync.image import DatabaseFiles, DatabaseImage, has_salts
from replication.sync.page_sums import Checksums
from replication.wal.frame import WAL_FRAME_HEADER_SIZE
from replication.wal.header import Salts
from replication.wal.page_map import PageMap


@dataclass(frozen=True, slots=True)
class ChangedPage:
    """A page of a level-0 file, and its checksum."""

    pgno: int
    data: bytes = field(repr=False)
    checksum: int


def pages_of_frames(
    files: DatabaseFiles, page_map: PageMap, *, salts: Salts, page_size: int, old_commit: int
) -> Iterator[ChangedPage]:
    """Yield the pages of new frames, ascending, and those by which the database grew without a frame.

    SQLite leaves out a page that was added and freed in one transaction.

    Raises:
        PrevFrameMismatchError: the WAL was started over meanwhile, so that frames may have been overwritten.

    """
    lock = lock_pgno(page_size)
    grown = set(range(old_commit + 1, page_map.commit + 1)).difference(page_map.pgnos.tolist())
    for pgno in sorted(grown.union(page_map.pgnos.tolist())) if grown else page_map:
        if pgno == lock:
            continue
        offset = page_map.find(pgno)
        if offset is None:
            data = files.read_main((pgno - 1) * page_size, page_size)
        else:
            data = files.read_wal(offset + WAL_FRAME_HEADER_SIZE, page_size)
        data = data.ljust(page_size, b"\0")
        yield ChangedPage(pgno, data, page_checksum(pgno, data))
    if not has_salts(files, salts):
        msg = "the WAL was started over while its frames were read"
        raise PrevFrameMismatchError(msg, offset=page_map.max_offset)


def pages_that_differ(image: DatabaseImage, old: Checksums | None, last_pgno: int | None) -> Iterator[ChangedPage]:
    """Yield the pages whose checksum is another than that of the old state, ascending; without one, all.

    So are pages beyond the old size. If any differs, `last_pgno`, the page of the WAL's last frame, is there too: the
    Go program looks for it in the newest level-0 file, and writes out the whole database if it is not there.
    """
    lock = lock_pgno(image.page_size)
    # A memoryview: a list would take four times the memory, and an array answers ten times slower.
    checksums = (np.zeros(0, dtype=np.uint64) if old is None else old.astype(np.uint64)).data
    held: ChangedPage | None = None  # the page of the last frame, while nothing before it differs
    found = False
    for pgno, data in image:
        if pgno == lock:
            continue
        page = ChangedPage(pgno, data, page_checksum(pgno, data))
        if pgno > len(checksums) or checksums[pgno - 1] != page.checksum:
            if held is not None:
                yield held
            held, found = None, True
            yield page
        elif pgno == last_pgno:
            if found:
                yield page
            else:
                held = page
