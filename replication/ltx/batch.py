"""Many page frames at once: the pages, and the checksum over them, at a fraction of the cost of one by one.

An LZ4 frame is a row of blocks, each behind its size, and so are page frames. What the file checksum covers of a page
frame is its header and the page; and a block of an LZ4 frame may be stored as it is. So page frames become an LZ4 frame
in which each header is such a block, and what comes out of it, in one call without Python's lock, is what is checked:

    page frames   header block | header block | ...          a header is: pgno  flags  size
    LZ4 frame     10* header size block | 10* header size block | ...          * with the highest bit set: stored
    decompressed  header page | header page | ...

The blocks of such a frame may be of any length. A block that is not of one page shifts all that comes after it, so that
the headers are not where they must be.
"""

from dataclasses import dataclass, field

import lz4.frame  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from replication.errors import LTXError
from replication.ltx.checksum import crc64_iso
from replication.ltx.page import BLOCK_HEADER, BLOCK_HEADER_SIZE, PAGE_HEADER_SIZE, SIZE_FLAG, decode_page

_END_OF_BLOCKS = bytes(4)
_LARGE_PAGE_SIZE = 32 * 1024  # a block that did not shrink may be larger than its page
_STORED_HEADER = (1 << 31 | BLOCK_HEADER_SIZE).to_bytes(4, "little")  # the size of a block that is not compressed
_BETWEEN = 4 + BLOCK_HEADER_SIZE + 4  # bytes of an LZ4 frame from one page's block to the next
_HEADER_PLACES = np.arange(BLOCK_HEADER_SIZE)
_HEADER = np.dtype([("pgno", ">u4"), ("flags", ">u2"), ("size", ">u4")])  # as BLOCK_HEADER


@dataclass(frozen=True, slots=True)
class PageBatch:
    """Pages, and the CRC over what the file checksum covers of their page frames."""

    rows: NDArray[np.uint8] = field(repr=False)  # one page each
    crc: int
    checked_size: int  # how many bytes the CRC is over


def decode_batch(
    frames: bytes | memoryview, pgnos: NDArray[np.uint32], offsets: NDArray[np.uint64], page_size: int
) -> PageBatch:
    """Return the pages of consecutive page frames, which a page index says are at these places.

    Args:
        frames: the page frames, and nothing else.
        pgnos: whose page frames they are.
        offsets: where in the file each begins and, one more, where the last one ends.
        page_size: in bytes.

    Raises:
        LTXError: a page frame is broken, or of another page; it says at which offset of the file.

    """
    places = (offsets - offsets[0]).astype(np.int64)
    if int(places[-1]) != len(frames):
        msg = f"expected {places[-1]} bytes of page frames, got {len(frames)}"
        raise LTXError(msg, offset=int(offsets[0]) + len(frames))
    sizes = np.diff(places)
    if int(sizes.min()) >= BLOCK_HEADER_SIZE:
        headers = np.frombuffer(frames, dtype=np.uint8)[places[:-1, None] + _HEADER_PLACES]
        fields = headers.reshape(-1).view(_HEADER)
        block_sizes = sizes - BLOCK_HEADER_SIZE
        if (
            np.array_equal(fields["pgno"], pgnos)
            and bool((fields["flags"] == SIZE_FLAG).all())
            and np.array_equal(fields["size"], block_sizes)
        ):
            checked = _decompress(frames, headers, places, page_size)
            if checked is not None:
                rows = np.frombuffer(checked, dtype=np.uint8).reshape(len(pgnos), -1)
                if np.array_equal(rows[:, :BLOCK_HEADER_SIZE], headers):
                    return PageBatch(rows[:, BLOCK_HEADER_SIZE:], crc64_iso(checked), len(checked))
    return _decode_one_by_one(frames, pgnos, offsets, page_size)


def _decompress(
    frames: bytes | memoryview, headers: NDArray[np.uint8], places: NDArray[np.int64], page_size: int
) -> bytes | None:
    """Return each header with its page behind it, or None if not every block can be decompressed."""
    between = np.empty((len(headers), _BETWEEN), dtype=np.uint8)
    between[:, :4] = np.frombuffer(_STORED_HEADER, dtype=np.uint8)
    between[:, 4 : 4 + BLOCK_HEADER_SIZE] = headers
    between[:, 4 + BLOCK_HEADER_SIZE :] = headers[:, : PAGE_HEADER_SIZE - 1 : -1]  # the size, little-endian
    heads = between.tobytes()
    expected = len(headers) * (BLOCK_HEADER_SIZE + page_size)
    parts: list[bytes | memoryview] = [_END_OF_BLOCKS] * (2 * len(headers) + 2)
    parts[0] = _frame_start(expected, page_size)
    parts[1:-1:2] = [heads[i : i + _BETWEEN] for i in range(0, len(heads), _BETWEEN)]
    starts, ends = (places[:-1] + BLOCK_HEADER_SIZE).tolist(), places[1:].tolist()
    parts[2:-1:2] = [frames[start:end] for start, end in zip(starts, ends, strict=True)]
    try:
        checked: bytes = lz4.frame.decompress(b"".join(parts))
    except RuntimeError:
        return None
    return checked if len(checked) == expected else None


def _frame_start(size: int, page_size: int) -> bytes:
    """Return what an LZ4 frame of independent blocks begins with that holds `size` bytes."""
    start: bytes = lz4.frame.compress_begin(
        lz4.frame.create_compression_context(),
        source_size=size,
        block_size=lz4.frame.BLOCKSIZE_MAX256KB if page_size > _LARGE_PAGE_SIZE else lz4.frame.BLOCKSIZE_MAX64KB,
        block_linked=False,
    )
    return start


def _decode_one_by_one(
    frames: bytes | memoryview, pgnos: NDArray[np.uint32], offsets: NDArray[np.uint64], page_size: int
) -> PageBatch:
    """Decode page frames of older writers, or find the one that is broken."""
    view = memoryview(frames)
    base = int(offsets[0])
    crc, checked_size, pages = 0, 0, []
    for pgno, start, end in zip(pgnos.tolist(), offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        frame = view[start - base : end - base]
        try:
            pages.append(decode_page(frame, page_size, pgno))
        except LTXError as error:
            error.offset = start
            raise
        _, flags, _ = BLOCK_HEADER.unpack_from(frame)
        head = frame[: BLOCK_HEADER_SIZE if flags == SIZE_FLAG else PAGE_HEADER_SIZE]
        crc = crc64_iso(pages[-1], crc64_iso(bytes(head), crc))
        checked_size += len(head) + page_size
    rows = np.frombuffer(b"".join(pages), dtype=np.uint8).reshape(len(pages), page_size)
    return PageBatch(rows, crc, checked_size)
