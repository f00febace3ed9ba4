"""The tail: what follows the page frames of an LTX file, and is enough to find any page in it.

    offset        size    part
    ...           varies  page index
    size - 24     8       size of the page index, in bytes, big-endian
    size - 16     16      trailer

The last 24 bytes say how long the tail is. Reading a guess from the end of the file and then the rest, if any is
missing, takes one request for most files and two for the others.
"""

from struct import Struct

from replication.errors import LTXError
from replication.ltx.header import HEADER_SIZE
from replication.ltx.index import PageIndex, decode_page_index
from replication.ltx.page import END_OF_PAGES
from replication.ltx.trailer import TRAILER_SIZE

INDEX_SIZE = Struct(">Q")
MIN_TAIL_SIZE = INDEX_SIZE.size + TRAILER_SIZE
"""How many of a file's last bytes say how long the tail is."""


def tail_size(last: bytes | memoryview, file_size: int) -> int:
    """Return how many bytes the tail has, given the last `MIN_TAIL_SIZE` bytes of the file or more.

    Raises:
        LTXError: too few bytes, or a file of that size cannot have such a tail.

    """
    if len(last) < MIN_TAIL_SIZE:
        msg = f"expected the last {MIN_TAIL_SIZE} bytes of a file or more, got {len(last)}"
        raise LTXError(msg, offset=max(file_size - len(last), 0))
    (index_size,) = INDEX_SIZE.unpack_from(last, len(last) - MIN_TAIL_SIZE)
    room = file_size - HEADER_SIZE - len(END_OF_PAGES) - MIN_TAIL_SIZE
    if not 1 <= index_size <= room:
        msg = f"expected a page index of 1 to {room} bytes in a file of {file_size}, got {index_size}"
        raise LTXError(msg, offset=file_size - MIN_TAIL_SIZE)
    return int(index_size) + MIN_TAIL_SIZE


def decode_tail(tail: bytes | memoryview, file_size: int, commit: int | None = None) -> PageIndex:
    """Return the page index of a file, given its tail or more of its last bytes.

    With `commit`, the database size in pages that the header says, pages beyond it are refused too.

    Raises:
        LTXError: too few bytes, or the page index is broken or does not fit the file.

    """
    size = tail_size(tail, file_size)
    if len(tail) < size:
        msg = f"expected the last {size} bytes of a file, got {len(tail)}"
        raise LTXError(msg, offset=file_size - len(tail))
    view = memoryview(tail)[len(tail) - size : len(tail) - MIN_TAIL_SIZE]
    offset = file_size - size
    index = decode_page_index(view, offset=offset)
    if index.end + len(END_OF_PAGES) != offset:
        msg = f"expected the page frames to end at byte {offset - len(END_OF_PAGES)}, got {index.end}"
        raise LTXError(msg, offset=offset)
    if commit is not None and len(index) and int(index.pgnos[-1]) > commit:
        msg = f"expected pages up to {commit}, got page {index.pgnos[-1]}"
        raise LTXError(msg, offset=offset)
    return index
