"""The WAL header: the first 32 bytes of a WAL.

    offset  size  field
    0       4     magic: 0x377f0682 if checksums take words as little-endian, 0x377f0683 if as big-endian
    4       4     version, 3007000
    8       4     page_size, in bytes; 65536 is stored as it is
    12      4     checkpoint_seq: how often the WAL has been restarted
    16      4     salt1: one more at each restart
    20      4     salt2: another random number at each restart
    24      8     sums: the checksum of bytes 0 to 24

All integers are big-endian. Source: sqlite.org/fileformat2.html#the_write_ahead_log.
"""

import struct
from dataclasses import dataclass, replace
from struct import Struct
from typing import NamedTuple, NoReturn, Self

from replication.errors import WALError
from replication.ltx.header import is_page_size
from replication.wal.checksum import NO_SUMS, ByteOrder, Sums, checksum

WAL_VERSION = 3_007_000

_HEADER = Struct(">I I I I 2I 2I")
WAL_HEADER_SIZE = 32
WAL_HEADER_CHECKSUM_OFFSET = 24

_BYTE_ORDERS: dict[int, ByteOrder] = {0x377F0682: "little", 0x377F0683: "big"}
_MAGICS = {byteorder: magic for magic, byteorder in _BYTE_ORDERS.items()}


class Salts(NamedTuple):
    """What the header and the frames of one use of a WAL have in common; a restart changes both."""

    salt1: int
    salt2: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WALHeader:
    """How to read the frames that follow, and which of them belong to this use of the WAL.

    >>> header = WALHeader(byteorder="little", page_size=4096, salt1=7, salt2=9).with_sums()
    >>> header.validate()
    >>> WALHeader.unpack(header.pack()) == header
    True
    """

    byteorder: ByteOrder
    version: int = WAL_VERSION
    page_size: int
    checkpoint_seq: int = 0
    salt1: int
    salt2: int
    sums: Sums = NO_SUMS

    @property
    def salts(self) -> Salts:
        """The salts that a frame must have to belong to this use of the WAL."""
        return Salts(self.salt1, self.salt2)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """Return the header that `data` begins with, not yet validated.

        Raises:
            WALError: too few bytes, or they are no WAL header.

        """
        if len(data) < WAL_HEADER_SIZE:
            msg = f"expected a WAL header of {WAL_HEADER_SIZE} bytes, got {len(data)}"
            raise WALError(msg, offset=len(data))
        magic, version, page_size, checkpoint_seq, salt1, salt2, s0, s1 = _HEADER.unpack_from(data)
        byteorder = _BYTE_ORDERS.get(magic)
        if byteorder is None:
            msg = f"expected the magic 0x377f0682 or 0x377f0683, got {magic:#010x}"
            raise WALError(msg, offset=0)
        return cls(
            byteorder=byteorder,
            version=version,
            page_size=page_size,
            checkpoint_seq=checkpoint_seq,
            salt1=salt1,
            salt2=salt2,
            sums=Sums(s0, s1),
        )

    def pack(self) -> bytes:
        """Return the 32 bytes of this header, with the sums it has, right or wrong.

        Raises:
            WALError: a number does not fit its field.

        """
        magic = _MAGICS[self.byteorder]
        try:
            return _HEADER.pack(
                magic, self.version, self.page_size, self.checkpoint_seq, self.salt1, self.salt2, *self.sums
            )
        except struct.error as error:
            msg = f"expected numbers that fit the fields of a WAL header, got {self}: {error}"
            raise WALError(msg) from error

    def with_sums(self) -> Self:
        """Return this header with the right sums."""
        sums = checksum(self.byteorder, *NO_SUMS, self.pack()[:WAL_HEADER_CHECKSUM_OFFSET])
        return replace(self, sums=sums)

    def validate(self) -> None:
        """Check what SQLite checks before it reads a frame.

        Raises:
            WALError: SQLite finds no frames behind this header, or, if it is the version, does not open the database.

        """
        if not is_page_size(self.page_size):
            self._refuse(f"expected a page size of 512 to 65536, a power of two, got {self.page_size}", 8)
        expected = self.with_sums().sums
        if self.sums != expected:
            self._refuse(f"expected the header checksum {expected}, got {self.sums}", WAL_HEADER_CHECKSUM_OFFSET)
        if self.version != WAL_VERSION:
            self._refuse(f"expected WAL version {WAL_VERSION}, got {self.version}", 4)

    @staticmethod
    def _refuse(message: str, offset: int) -> NoReturn:
        raise WALError(message, offset=offset)
