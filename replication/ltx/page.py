"""Page frames: one page of the database each, compressed with LZ4.

    offset  size  field
    0       4     pgno
    4       2     flags; only SIZE_FLAG has a meaning
    6       4     size of the block, in bytes
    10      size  LZ4 block

Without SIZE_FLAG, which only older writers left out, an LZ4 frame (with a magic and an end of its own) follows at
offset 6 instead. Six zero bytes end the page frames of a file.

All integers are big-endian. Source: superfly/ltx, encoder.go and decoder.go.
"""

from dataclasses import dataclass, field
from struct import Struct

import lz4.block  # type: ignore[import-untyped]

from replication.errors import LTXError
from replication.ltx.header import MAX_PAGE_SIZE
from replication.ltx.lz4_frame import decompress_lz4_frame
from replication.position import Pgno

SIZE_FLAG = 1 << 0

PAGE_HEADER = Struct(">IH")
SIZE_FIELD = Struct(">I")
BLOCK_HEADER = Struct(">IHI")
PAGE_HEADER_SIZE = 6
BLOCK_HEADER_SIZE = 10
END_OF_PAGES = bytes(PAGE_HEADER_SIZE)


def compressed_bound(page_size: int) -> int:
    """Return how large the LZ4 block of a page may get, in bytes: incompressible pages grow.

    >>> compressed_bound(4096)
    4128
    """
    return page_size + page_size // 255 + 16


MAX_FRAME_SIZE = BLOCK_HEADER_SIZE + compressed_bound(MAX_PAGE_SIZE)


@dataclass(frozen=True, slots=True)
class PageFrame:
    """One page of an LTX file: its number, and its bytes, uncompressed.

    `stored` is the whole frame as a file holds it, for copying without compressing again; empty if there is none.
    """

    pgno: Pgno
    data: bytes
    stored: bytes = field(default=b"", compare=False, repr=False)


def encode_page_frame(pgno: int, data: bytes | memoryview) -> bytes:
    """Return the page frame of a page, in the block form.

    >>> page = bytes(512)
    >>> frame = encode_page_frame(7, page)
    >>> len(frame), decode_page(frame, 512, 7) == page
    (22, True)
    """
    block: bytes = lz4.block.compress(data, store_size=False)
    return BLOCK_HEADER.pack(pgno, SIZE_FLAG, len(block)) + block


def decode_page(frame: bytes | memoryview, page_size: int, pgno: int) -> bytes:
    """Return the page that a whole page frame holds.

    Raises:
        LTXError: the frame is of another page, or broken, or its page has another size.

    """
    if len(frame) < BLOCK_HEADER_SIZE:
        msg = f"expected a page frame of {BLOCK_HEADER_SIZE} bytes or more, got {len(frame)}"
        raise LTXError(msg)
    found, flags, size = BLOCK_HEADER.unpack_from(frame)
    if found != pgno:
        msg = f"expected the frame of page {pgno}, got that of page {found}"
        raise LTXError(msg)
    if flags == SIZE_FLAG:
        if size != len(frame) - BLOCK_HEADER_SIZE:
            msg = f"expected {size} compressed bytes for page {pgno}, got {len(frame) - BLOCK_HEADER_SIZE}"
            raise LTXError(msg)
        try:
            data: bytes = lz4.block.decompress(frame[BLOCK_HEADER_SIZE:], uncompressed_size=page_size)
        except lz4.block.LZ4BlockError as error:
            msg = f"cannot decompress page {pgno}: {error}"
            raise LTXError(msg) from error
    elif flags == 0:
        data = decompress_lz4_frame(frame[PAGE_HEADER_SIZE:], page_size)
    else:
        msg = f"expected page flags 0 or {SIZE_FLAG}, got {flags:#x} for page {pgno}"
        raise LTXError(msg)
    if len(data) != page_size:
        msg = f"expected {page_size} bytes in page {pgno}, got {len(data)}"
        raise LTXError(msg)
    return data
