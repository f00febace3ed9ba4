"""Many page frames at once: the pages, and the checksum over them, at a fraction of the cost of one by one.

An LZ4 frame is a row of blocks, each behind its size, and so are page frames: with the size written little-endian over
the last bytes of each block header, the blocks of any number of page frames make one LZ4 frame, which is decompressed
in one call, without Python's lock.

    page frames   pgno  flags  size  block | pgno  flags  size  block | ...
    LZ4 frame                  size  block               size  block    ...

The blocks of such a frame may be of any length. A block that is not of one page shifts all that comes after it, so
that the file checksum, taken here in steps of a page, shows it.
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
_HEADER_PLACES = np.arange(BLOCK_HEADER_SIZE)
_HEADER = np.dtype([("pgno", ">u4"), ("flags", ">u2"), ("size", ">u4")])  # as BLOCK_HEADER


@dataclass(frozen=True, slots=True)
class PageBatch:
    """Pages one behind the other, and the CRC over what the file checksum covers of their page frames."""

    pages: bytes = field(repr=False)
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
        stored = np.frombuffer(frames, dtype=np.uint8).copy()
        headers = stored[places[:-1, None] + _HEADER_PLACES]
        fields = headers.reshape(-1).view(_HEADER)
        block_sizes = sizes - BLOCK_HEADER_SIZE
        if (
            np.array_equal(fields["pgno"], pgnos)
            and bool((fields["flags"] == SIZE_FLAG).all())
            and np.array_equal(fields["size"], block_sizes)
        ):
            stored[places[:-1, None] + _HEADER_PLACES[PAGE_HEADER_SIZE:]] = (
                block_sizes.astype("<u4").view(np.uint8).reshape(-1, 4)
            )
            pages = _decompress(stored.data, places, page_size)
            if pages is not None:
                return _checked(pages, headers, page_size)
    return _decode_one_by_one(frames, pgnos, offsets, page_size)


def _decompress(stored: memoryview, places: NDArray[np.int64], page_size: int) -> bytes | None:
    """Return the pages, or None if not every block can be decompressed."""
    starts, ends = (places[:-1] + PAGE_HEADER_SIZE).tolist(), places[1:].tolist()
    expected = len(starts) * page_size
    parts: list[bytes | memoryview] = [_frame_start(expected, page_size)]
    parts += [stored[start:end] for start, end in zip(starts, ends, strict=True)]
    parts.append(_END_OF_BLOCKS)
    try:
        pages: bytes = lz4.frame.decompress(b"".join(parts))
    except RuntimeError:
        return None
    return pages if len(pages) == expected else None


def _frame_start(size: int, page_size: int) -> bytes:
    """Return what an LZ4 frame of independent blocks begins with that holds `size` bytes."""
    start: bytes = lz4.frame.compress_begin(
        lz4.frame.create_compression_context(),
        source_size=size,
        block_size=lz4.frame.BLOCKSIZE_MAX256KB if page_size > _LARGE_PAGE_SIZE else lz4.frame.BLOCKSIZE_MAX64KB,
        block_linked=False,
    )
    return start


def _checked(pages: bytes, headers: NDArray[np.uint8], page_size: int) -> PageBatch:
    checked = np.empty((len(headers), BLOCK_HEADER_SIZE + page_size), dtype=np.uint8)
    checked[:, :BLOCK_HEADER_SIZE] = headers
    checked[:, BLOCK_HEADER_SIZE:] = np.frombuffer(pages, dtype=np.uint8).reshape(-1, page_size)
    return PageBatch(pages, crc64_iso(checked.reshape(-1).data), checked.size)


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
    return PageBatch(b"".join(pages), crc, checked_size)
