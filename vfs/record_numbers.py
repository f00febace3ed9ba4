"""The numbers in cells and records: varints, and the sizes and values of serial types. Pure, and bytes are not trusted.

A varint has seven bits a byte, the highest first, and the highest bit of a byte says that more follow; a ninth byte has
eight bits. A serial type says what a value is and how many bytes it takes: 1 to 6 integers, 8 and 9 the integers 0 and
1, from 12 on blobs and texts.

Source: https://www.sqlite.org/fileformat2.html#varint and #record_format.
"""

import numpy as np
from numpy.typing import NDArray

INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}  # of the serial types of integers

_SERIAL_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)  # of the serial types below 12
_MAX_VARINT_SIZE = 9


def varint(page: bytes, at: int) -> tuple[int, int]:
    """Return the big-endian varint at an offset, unsigned, and the offset behind it."""
    byte = page[at]
    if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more bytes follow
        return byte, at + 1
    value = byte & 0x7F
    for position in range(at + 1, at + _MAX_VARINT_SIZE - 1):
        byte = page[position]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004
            return value, position + 1
    last = at + _MAX_VARINT_SIZE - 1
    return value << 8 | page[last], last + 1


def varints(page: bytes, offsets: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the big-endian varints at offsets, signed; behind the page there are zeros."""
    data = np.frombuffer(page + bytes(_MAX_VARINT_SIZE), np.uint8)
    values = np.zeros(len(offsets), np.uint64)
    goes_on = np.ones(len(offsets), np.bool_)
    for position in range(_MAX_VARINT_SIZE):
        found = data[offsets + position].astype(np.uint64)
        is_last = position == _MAX_VARINT_SIZE - 1  # which has eight bits of the value
        shift, mask = (8, 0xFF) if is_last else (7, 0x7F)
        longer = values << np.uint64(shift) | found & np.uint64(mask)
        values = np.where(goes_on, longer, values)
        goes_on &= found >= np.uint64(0x80)
        if not goes_on.any():
            break
    return values.view(np.int64)


def signed(value: int) -> int:
    """Return the rowid that a varint stands for."""
    return value - 2**64 if value >= 2**63 else value


def serial_size(serial: int) -> int:
    """Return how many bytes a value of a serial type takes."""
    return _SERIAL_SIZES[serial] if serial < len(_SERIAL_SIZES) else (serial - 12) // 2


def integer(page: bytes, end: int, serial: int) -> int | None:
    """Return the integer of a serial type that ends at an offset."""
    size = INTEGER_SIZES.get(serial)
    if size is None:
        return None
    if size == 0:
        return serial - 8
    data = page[end - size : end]
    return int.from_bytes(data, "big", signed=True) if len(data) == size else None
