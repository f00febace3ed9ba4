"""LZ4 frames: the form of pages before page frames said their size. Only read, never written.

    offset  size      field
    0       4         magic, 0x184D2204
    4       1         flags: bit 2 content checksum, 3 content size, 4 block checksums, 0 dictionary id
    5       1         largest block
    6       8, 4, 0   content size and dictionary id, where the flags say so
    ...     1         checksum of the above
    ...     4 + size  blocks: a size (its highest bit says "not compressed"), data, a checksum where the flags say so
    ...     4         a block size of zero: the end
    ...     4, 0      content checksum, where the flags say so

All integers are little-endian. Source: lz4_Frame_format.md of LZ4.
"""

from collections.abc import Callable

import lz4.frame  # type: ignore[import-untyped]

from replication.errors import LTXError

_MAGIC = 0x184D2204
_FLAG_DICTIONARY_ID = 1 << 0
_FLAG_CONTENT_CHECKSUM = 1 << 2
_FLAG_CONTENT_SIZE = 1 << 3
_FLAG_BLOCK_CHECKSUM = 1 << 4
_BLOCK_SIZE_MASK = (1 << 31) - 1


def read_lz4_frame(read: Callable[[int], bytes], max_size: int) -> bytes:
    """Return one whole LZ4 frame, not decompressed; `read` gives exactly as many bytes as it is asked for.

    Raises:
        LTXError: it is no LZ4 frame, or one of more than `max_size` bytes.

    """
    start = read(6)
    if int.from_bytes(start[:4], "little") != _MAGIC:
        msg = f"expected the magic of an LZ4 frame, got {start[:4]!r}"
        raise LTXError(msg)
    flags = start[4]
    fields = 8 * bool(flags & _FLAG_CONTENT_SIZE) + 4 * bool(flags & _FLAG_DICTIONARY_ID)
    parts = [start, read(fields + 1)]
    total = len(start) + fields + 1
    while True:
        size_field = read(4)
        parts.append(size_field)
        size = int.from_bytes(size_field, "little") & _BLOCK_SIZE_MASK
        if size == 0:
            break
        size += 4 * bool(flags & _FLAG_BLOCK_CHECKSUM)
        total += 4 + size
        if total > max_size:
            msg = f"expected an LZ4 frame of {max_size} bytes at most, got {total} or more"
            raise LTXError(msg)
        parts.append(read(size))
    if flags & _FLAG_CONTENT_CHECKSUM:
        parts.append(read(4))
    return b"".join(parts)


def decompress_lz4_frame(compressed: bytes | memoryview, max_size: int) -> bytes:
    """Return what one whole LZ4 frame holds, but at most one byte more than `max_size`.

    Raises:
        LTXError: it is broken, or a part of a frame, or more than one.

    """
    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        # The byte more shows content that is too long.
        data: bytes = decompressor.decompress(compressed, max_length=max_size + 1)
    except RuntimeError as error:
        msg = f"cannot decompress an LZ4 frame: {error}"
        raise LTXError(msg) from error
    if len(data) <= max_size and (not decompressor.eof or decompressor.unused_data):
        msg = "expected one whole LZ4 frame, got a part of one or more"
        raise LTXError(msg)
    return data
