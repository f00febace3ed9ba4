"""Checksums: CRC-64/GO-ISO, of a page, of a database, of a file.

Every stored checksum has its highest bit set, so that zero can mean "none".
The checksum of a database is the XOR of those of its pages, so a changed page updates it without reading the others.

Source: superfly/ltx, checksum.go.
"""

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct

from fastcrc import crc64

CHECKSUM_FLAG = 1 << 63

_PGNO = Struct(">I")
_POLYNOMIAL = 0xD800000000000000  # x^64 + x^4 + x^3 + x + 1; the highest bit is the coefficient of x^0
_ONE = 1 << 63
_X = 1 << 62
_MASK = (1 << 64) - 1
_SHIFTS = 256  # lengths for which the factor is remembered


def crc64_iso(data: bytes | memoryview, previous: int = 0) -> int:
    """Return the CRC of the data, or of what gave `previous` and the data after it.

    >>> hex(crc64_iso(b"123456789"))
    '0xb90956c775a41001'
    >>> crc64_iso(b"6789", crc64_iso(b"12345")) == crc64_iso(b"123456789")
    True
    """
    return crc64.go_iso(data, previous)


def crc64_combine(first: int, second: int, size: int) -> int:
    """Return the CRC of two pieces of data from the CRC of each; `size` is that of the second, in bytes.

    So the pieces of a file can be checked in any order, and the file all the same.

    >>> crc64_combine(crc64_iso(b"12345"), crc64_iso(b"6789"), 4) == crc64_iso(b"123456789")
    True
    """
    return _multiply(_power(8 * size), first) ^ second


@lru_cache(_SHIFTS)
def _power(exponent: int) -> int:
    """Return x^exponent modulo the polynomial."""
    power, square = _ONE, _X
    while exponent:
        if exponent & 1:
            power = _multiply(power, square)
        square = _multiply(square, square)
        exponent >>= 1
    return power


def _multiply(a: int, b: int) -> int:
    """Return the product of two polynomials modulo the polynomial."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & _MASK
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


def page_checksum(pgno: int, data: bytes | memoryview) -> int:
    """Return the checksum of one page: over its number, 4 bytes big-endian, and its bytes."""
    return CHECKSUM_FLAG | crc64.go_iso(data, crc64.go_iso(_PGNO.pack(pgno)))


def database_checksum(page_checksums: Iterable[int]) -> int:
    """Return the checksum of the database that has the pages with these checksums; their order does not matter.

    >>> database_checksum([]) == CHECKSUM_FLAG
    True
    >>> database_checksum([CHECKSUM_FLAG | 5, CHECKSUM_FLAG | 3]) == CHECKSUM_FLAG | 6
    True
    """
    checksum = 0
    for one in page_checksums:
        checksum ^= one
    return CHECKSUM_FLAG | checksum
