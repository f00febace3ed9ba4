"""Checksums: CRC-64/GO-ISO, of a page, of a database, of a file.

Every stored checksum has its highest bit set, so that zero can mean "none".
The checksum of a database is the XOR of those of its pages, so a changed page updates it without reading the others.

Source: superfly/ltx, checksum.go.
"""

from collections.abc import Iterable
from struct import Struct

from fastcrc import crc64

CHECKSUM_FLAG = 1 << 63

_PGNO = Struct(">I")


def crc64_iso(data: bytes | memoryview, previous: int = 0) -> int:
    """Return the CRC of the data, or of what gave `previous` and the data after it.

    >>> hex(crc64_iso(b"123456789"))
    '0xb90956c775a41001'
    >>> crc64_iso(b"6789", crc64_iso(b"12345")) == crc64_iso(b"123456789")
    True
    """
    return crc64.go_iso(data, previous)


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
