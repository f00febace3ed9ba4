"""WAL frames: a header of 24 bytes, then one page of the database.

    offset  size       field
    0       4          pgno
    4       4          commit: in the last frame of a transaction the database size in pages, else 0
    8       4          salt1
    12      4          salt2
    16      8          sums: the checksum after bytes 0 to 8 of this header and the page, going on from the frame before
    24      page_size  the page

All integers are big-endian. Source: sqlite.org/fileformat2.html#the_write_ahead_log.
"""

import struct
from dataclasses import dataclass, field
from struct import Struct
from typing import Self

from replication.errors import WALError
from replication.position import Pgno
from replication.wal.checksum import Sums
from replication.wal.header import Salts

_FRAME_HEADER = Struct(">I I 2I 2I")
WAL_FRAME_HEADER_SIZE = 24
WAL_FRAME_HEADER_CHECKSUM_OFFSET = 16
CHECKED_SIZE = 8  # bytes of a frame header that its checksum covers: pgno and commit


@dataclass(frozen=True, slots=True, kw_only=True)
class WALFrameHeader:
    """Which page a frame holds, and whether a transaction ends with it.

    >>> header = WALFrameHeader(pgno=Pgno(2), commit=5, salt1=7, salt2=9, sums=Sums(1, 3))
    >>> WALFrameHeader.unpack(header.pack()) == header
    True
    """

    pgno: Pgno
    commit: int
    salt1: int
    salt2: int
    sums: Sums

    @property
    def salts(self) -> Salts:
        """The salts; in a frame of an earlier use of the WAL they are not those of its header."""
        return Salts(self.salt1, self.salt2)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """Return the frame header that `data` begins with; only the frames before it tell whether it is right.

        Raises:
            WALError: too few bytes.

        """
        if len(data) < WAL_FRAME_HEADER_SIZE:
            msg = f"expected a WAL frame header of {WAL_FRAME_HEADER_SIZE} bytes, got {len(data)}"
            raise WALError(msg)
        pgno, commit, salt1, salt2, s0, s1 = _FRAME_HEADER.unpack_from(data)
        return cls(pgno=Pgno(pgno), commit=commit, salt1=salt1, salt2=salt2, sums=Sums(s0, s1))

    def pack(self) -> bytes:
        """Return the 24 bytes of this header.

        Raises:
            WALError: a number does not fit its field.

        """
        try:
            return _FRAME_HEADER.pack(self.pgno, self.commit, self.salt1, self.salt2, *self.sums)
        except struct.error as error:
            msg = f"expected numbers that fit the fields of a WAL frame header, got {self}: {error}"
            raise WALError(msg) from error


@dataclass(frozen=True, slots=True)
class WALFrame:
    """One page as a transaction wrote it; `offset` is where its frame begins, in bytes from the start of the WAL."""

    pgno: Pgno
    commit: int  # pages; 0 if the transaction goes on
    data: bytes = field(repr=False)
    offset: int

    @property
    def is_commit(self) -> bool:
        """Whether the transaction ends with this frame."""
        return self.commit > 0
