"""Which file supplies which page, and in which pieces the files are read: pure, from page indexes to a plan.

The newest file that holds a page supplies it, so each page is written once. Pages beyond the final size are left out.
Every file is read whole all the same, because its checksum covers all its pages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from replication.client.fetch import naming_file
from replication.errors import LTXError
from replication.ltx.file_info import FileInfo
from replication.ltx.header import Header
from replication.ltx.index import PageIndex
from replication.position import lock_pgno

CHUNK_SIZE = 4 * 2**20
"""How many bytes of pages, uncompressed, are read and decoded as one piece."""


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file of the plan, as far as assembling needs to know it."""

    info: FileInfo
    header: Header
    index: PageIndex


File = TypeVar("File", bound=IndexedFile)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive page frames of one file: positions `first` to `last` (exclusive) of its page index."""

    first: int
    last: int


def drop_other_page_sizes(files: Sequence[File]) -> Sequence[File]:
    """Return the files from the last change of the page size on; what lies before has no page of the result.

    Raises:
        LTXError: the page size changes, and not all pages with it.

    """
    page_size = files[-1].header.page_size
    start = max((i + 1 for i, file in enumerate(files) if file.header.page_size != page_size), default=0)
    first = files[start]
    if start > 0 and not first.index.is_complete(first.header.commit, page_size):
        with naming_file(first.info):
            msg = f"expected the page size {files[start - 1].header.page_size} of the file before it, got {page_size}"
            raise LTXError(msg, offset=8)
    return files[start:]


def supplying_files(files: Sequence[IndexedFile]) -> NDArray[np.uint32]:
    """Return for each page, from page 1 on, the number of the file it comes from, counted from 1; 0 for the lock page.

    Raises:
        LTXError: no file holds some page.

    """
    header = files[-1].header
    commit = header.commit
    suppliers = np.zeros(commit, dtype=np.uint32)
    for number, file in enumerate(files, 1):
        pgnos = file.index.pgnos
        suppliers[pgnos[: np.searchsorted(pgnos, commit, side="right")] - 1] = number
    missing = np.flatnonzero(suppliers == 0) + 1
    missing = missing[missing != lock_pgno(header.page_size)]
    if len(missing):
        with naming_file(files[-1].info):
            msg = f"expected a database of {commit} pages, but no file of the plan holds page {missing[0]}"
            raise LTXError(msg)
    return suppliers


def supplied_positions(file: IndexedFile, suppliers: NDArray[np.uint32], number: int, piece: Piece) -> NDArray[np.intp]:
    """Return the positions within a piece of the pages that come from this file, number `number`."""
    pgnos = file.index.pgnos[piece.first : piece.last]
    pgnos = pgnos[: np.searchsorted(pgnos, len(suppliers), side="right")]
    return np.flatnonzero(suppliers[pgnos - 1] == number)


def split(index: PageIndex, page_size: int, size: int = CHUNK_SIZE) -> Iterator[Piece]:
    """Yield the pieces of a file: all its page frames in order, at least one piece."""
    step = max(1, size // page_size)
    for first in range(0, max(1, len(index)), step):
        yield Piece(first, min(first + step, len(index)))


def count_pieces(index: PageIndex, page_size: int, size: int = CHUNK_SIZE) -> int:
    """Return how many pieces `split` makes."""
    return max(1, -(-len(index) // max(1, size // page_size)))


def runs(positions: NDArray[np.intp], pgnos: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Yield the parts (start, end exclusive) of `positions` that lie side by side in the file and in the database."""
    if len(positions) == 0:
        return
    first, last = int(positions[0]), int(positions[-1])
    if last - first == len(positions) - 1 == int(pgnos[last]) - int(pgnos[first]):  # all of them, as in a snapshot
        yield 0, len(positions)
        return
    beside = (np.diff(positions) == 1) & (np.diff(pgnos[positions].astype(np.int64)) == 1)
    cuts = (np.flatnonzero(~beside) + 1).tolist()
    yield from zip([0, *cuts], [*cuts, len(positions)], strict=True)
