"""The page index: where in an LTX file the frame of each page is.

It is a run of unsigned varints (7 bits a byte, the lowest first, the highest bit set in all but the last byte):
three for each page, ascending by page number, and a zero at the end:

    pgno, offset of the frame in the file, size of the frame

Page frames lie one behind the other from byte 100 on, so n pages need n + 1 offsets and no sizes: 12 bytes a page.
An index comes from a file nobody has verified yet, so it is refused unless the frames are in order and without gaps.

Source: superfly/ltx, encoder.go and decoder.go.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from replication.errors import LTXError
from replication.ltx.header import HEADER_SIZE
from replication.ltx.page import MAX_FRAME_SIZE, PAGE_HEADER_SIZE
from replication.position import lock_pgno

MAX_VARINT_SIZE = 9  # 63 bits: more than any offset

_CHUNK_SIZE = 1 << 18  # bytes of index decoded at once: what fits a processor's cache is fast
_CHUNK_PAGES = 1 << 15
_MAX_PGNO = 2**32 - 1


@dataclass(frozen=True, slots=True)
class FrameSpan:
    """Where a page frame lies in its file: bytes `start` to `end` (exclusive)."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes the frame has."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, eq=False)
class PageIndex:
    """The page numbers of a file, ascending, and where their frames begin and end; both arrays are read-only.

    The frame of `pgnos[i]` is bytes `offsets[i]` to `offsets[i + 1]`.

    >>> index = PageIndex.of([2, 7], [100, 130, 175])
    >>> index.find(7), index.find(3), len(index)
    (FrameSpan(start=130, end=175), None, 2)
    >>> decode_page_index(encode_page_index(index)) == index
    True
    """

    pgnos: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    _pgno_view: memoryview = field(init=False, repr=False)  # a numpy array answers single look-ups ten times slower
    _offset_view: memoryview = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.pgnos.setflags(write=False)
        self.offsets.setflags(write=False)
        object.__setattr__(self, "_pgno_view", self.pgnos.data)
        object.__setattr__(self, "_offset_view", self.offsets.data)

    @classmethod
    def of(cls, pgnos: ArrayLike, offsets: ArrayLike) -> Self:
        """Return the index of these page numbers and offsets: lists, or arrays of any kind, which are copied.

        Raises:
            LTXError: they cannot be those of a file.

        """
        index = cls(np.array(pgnos, dtype=np.uint32), np.array(offsets, dtype=np.uint64))
        if len(index.offsets) != len(index.pgnos) + 1:
            msg = f"expected {len(index.pgnos) + 1} offsets for {len(index.pgnos)} pages, got {len(index.offsets)}"
            raise LTXError(msg)
        _check(index.pgnos.astype(np.uint64), index.offsets[:-1], np.diff(index.offsets), 0, HEADER_SIZE)
        return index

    def __len__(self) -> int:
        return len(self.pgnos)

    def __iter__(self) -> Iterator[int]:
        """Yield the page numbers, ascending."""
        return iter(self._pgno_view)

    def __contains__(self, pgno: int) -> bool:
        return self._position(pgno) is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PageIndex):
            return NotImplemented
        return np.array_equal(self.pgnos, other.pgnos) and np.array_equal(self.offsets, other.offsets)

    __hash__ = None  # type: ignore[assignment]  # arrays are compared, never keys

    @property
    def end(self) -> int:
        """Where the last page frame ends, in bytes from the start of the file."""
        return self._offset_view[-1]

    def find(self, pgno: int) -> FrameSpan | None:
        """Return where the frame of a page is, or None if the file does not hold the page."""
        i = self._position(pgno)
        return None if i is None else FrameSpan(self._offset_view[i], self._offset_view[i + 1])

    def is_complete(self, commit: int, page_size: int) -> bool:
        """Say whether these are exactly the pages of a whole database: 1 to `commit` without the lock page."""
        if commit < lock_pgno(page_size):
            expected = commit
        else:
            expected = commit - 1
            if lock_pgno(page_size) in self:
                return False
        return len(self) == expected and (expected == 0 or self._pgno_view[-1] <= commit)

    def _position(self, pgno: int) -> int | None:
        # Page numbers ascend from 1 at least, so page p is never behind position p - 1; in a snapshot it is there.
        pgnos = self._pgno_view
        last = min(pgno, len(pgnos)) - 1
        if last < 0:
            return None
        if pgnos[last] == pgno:
            return last
        i = bisect_left(pgnos, pgno, 0, last)
        return i if pgnos[i] == pgno else None


def encode_page_index(index: PageIndex) -> bytes:
    """Return the stored form of a page index, with the zero at its end."""
    parts = []
    for i in range(0, len(index), _CHUNK_PAGES):
        offsets = index.offsets[i : i + _CHUNK_PAGES + 1]
        values = np.empty((len(offsets) - 1, 3), dtype=np.uint64)
        values[:, 0] = index.pgnos[i : i + _CHUNK_PAGES]
        values[:, 1] = offsets[:-1]
        values[:, 2] = np.diff(offsets)
        parts.append(_encode_varints(values.reshape(-1)))
    return b"".join([*parts, b"\0"])


def decode_page_index(data: bytes | memoryview, *, offset: int = 0) -> PageIndex:
    """Return the page index that these bytes hold, with the zero at their end; `offset` is where they begin.

    Raises:
        LTXError: they are no page index, or one that no file can have.

    """
    if len(data) == 0 or data[-1] != 0:
        msg = f"expected a page index of {len(data)} bytes to end with a zero"
        raise LTXError(msg, offset=offset + max(len(data) - 1, 0))
    raw = np.frombuffer(data, dtype=np.uint8, count=len(data) - 1)
    pgnos: list[NDArray[np.uint32]] = [np.empty(0, dtype=np.uint32)]
    offsets: list[NDArray[np.uint64]] = [np.array([HEADER_SIZE], dtype=np.uint64)]
    last_pgno, end, position = 0, HEADER_SIZE, 0
    while position < len(raw):
        try:
            part = decode_entries(raw[position : position + _CHUNK_SIZE])
            check_entries(part, last_pgno, end)
        except LTXError as error:
            error.offset = offset + position
            raise
        pgnos.append(part.pgnos.astype(np.uint32))
        offsets.append(part.offsets + part.sizes)
        last_pgno, end = int(pgnos[-1][-1]), int(offsets[-1][-1])
        position += part.size
    return PageIndex(np.concatenate(pgnos), np.concatenate(offsets))


@dataclass(frozen=True, slots=True, eq=False)
class IndexPart:
    """Entries of a page index as columns, and how many bytes of it they are; nobody has checked them."""

    pgnos: NDArray[np.uint64]
    offsets: NDArray[np.uint64]
    sizes: NDArray[np.uint64]
    size: int


def decode_entries(raw: NDArray[np.uint8], skipped: int = 0) -> IndexPart:
    """Return the whole entries in a part of a page index that begins with a varint, after so many varints.

    Raises:
        LTXError: a varint is too long.

    """
    ends = np.flatnonzero(raw < 0x80) + 1  # noqa: PLR2004 - the highest bit says that more bytes follow
    ends = ends[: skipped + (len(ends) - skipped) // 3 * 3] if len(ends) > skipped else ends[:0]
    if len(ends) == 0:
        nothing = np.empty(0, dtype=np.uint64)
        return IndexPart(nothing, nothing, nothing, 0)
    values = _decode_varints(raw, ends)[skipped:].reshape(-1, 3)
    return IndexPart(values[:, 0], values[:, 1], values[:, 2], int(ends[-1]))


def check_entries(part: IndexPart, last_pgno: int, end: int) -> None:
    """Check the entries that follow page `last_pgno` and byte `end`, of which there must be some.

    Raises:
        LTXError: there are none, or no file can have such entries.

    """
    if part.size == 0:
        msg = "expected three varints for each page of the page index, got a part of them"
        raise LTXError(msg)
    _check(part.pgnos, part.offsets, part.sizes, last_pgno, end)


def _check(
    pgnos: NDArray[np.uint64], offsets: NDArray[np.uint64], sizes: NDArray[np.uint64], last_pgno: int, end: int
) -> None:
    """Check the entries that follow page `last_pgno` and byte `end`."""
    if len(pgnos) == 0:
        return
    if not (last_pgno < int(pgnos[0]) and bool((pgnos[1:] > pgnos[:-1]).all()) and int(pgnos[-1]) <= _MAX_PGNO):
        msg = f"expected the page numbers of the page index to ascend from {last_pgno} to {_MAX_PGNO} at most"
        raise LTXError(msg)
    if not (int(sizes.min()) > PAGE_HEADER_SIZE and int(sizes.max()) <= MAX_FRAME_SIZE):
        seen = f"{sizes.min()} to {sizes.max()}"
        msg = f"expected page frames of {PAGE_HEADER_SIZE + 1} to {MAX_FRAME_SIZE} bytes, got {seen}"
        raise LTXError(msg)
    if not (int(offsets[0]) == end and bool((offsets[1:] == offsets[:-1] + sizes[:-1]).all())):
        msg = f"expected page frames without gaps from byte {end} on"
        raise LTXError(msg)


def _decode_varints(chunk: NDArray[np.uint8], ends: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Return the values of the varints that end (exclusive) at these places, the first beginning at 0."""
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1]
    sizes = ends - starts
    longest = int(sizes.max())
    if longest > MAX_VARINT_SIZE:
        msg = f"expected varints of {MAX_VARINT_SIZE} bytes at most in the page index, got one of {longest}"
        raise LTXError(msg)
    body = chunk[: ends[-1]]
    places = np.arange(len(body)) - np.repeat(starts, sizes)
    groups = (body & 0x7F).astype(np.uint64) << (places * 7).astype(np.uint64)
    values: NDArray[np.uint64] = np.add.reduceat(groups, starts)
    return values


def _encode_varints(values: NDArray[np.uint64]) -> bytes:
    columns = max(1, -(-int(values.max()).bit_length() // 7))
    groups = np.empty((len(values), columns), dtype=np.uint8)
    used = np.empty((len(values), columns), dtype=np.bool_)
    rest = values
    for i in range(columns):
        used[:, i] = (rest > 0) | (i == 0)
        more = rest > 0x7F  # noqa: PLR2004 - seven bits a byte
        groups[:, i] = (rest & np.uint64(0x7F)).astype(np.uint8) | (more.astype(np.uint8) << 7)
        rest = rest >> np.uint64(7)
    return groups[used].tobytes()
