"""The header: the first 100 bytes of an LTX file.

    offset  size  field
    0       4     magic, b"LTX1"
    4       4     flags; only NO_CHECKSUM_FLAG has a meaning
    8       4     page_size, in bytes
    12      4     commit: database size after applying the file, in pages
    16      8     min_txid
    24      8     max_txid
    32      8     timestamp_ms, since 1970, signed
    40      8     pre_apply_checksum: of the database before applying the file; 0 in a snapshot
    48      8     wal_offset, signed; 0 if the file does not come from one piece of a WAL
    56      8     wal_size, signed
    64      4     wal_salt1
    68      4     wal_salt2
    72      8     node_id: who wrote the file; 0 if nobody said
    80      20    reserved, written as zeros

All integers are big-endian. Source: superfly/ltx README.md, "Header", and ltx.go.
"""

import struct
from dataclasses import dataclass
from struct import Struct
from typing import NoReturn, Self

from replication.errors import LTXError
from replication.ltx.checksum import CHECKSUM_FLAG
from replication.position import TXID, Pgno, lock_pgno

NO_CHECKSUM_FLAG = 1 << 1
"""The file tracks no database checksums; its own checksum it has all the same."""

MAGIC = b"LTX1"
MIN_PAGE_SIZE = 512
MAX_PAGE_SIZE = 65_536

_HEADER = Struct(">4s 3I 2Q q Q 2q 2I Q 20x")
HEADER_SIZE = 100

_MIN_TIMESTAMP_MS = -62_135_596_800_000  # 0001-01-01, the first instant a datetime can say
_MAX_TIMESTAMP_MS = 253_402_300_799_999  # the last millisecond of 9999


def is_page_size(page_size: int) -> bool:
    """Say whether a database can have this page size: a power of two from 512 to 65536."""
    return MIN_PAGE_SIZE <= page_size <= MAX_PAGE_SIZE and page_size & (page_size - 1) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Which transactions an LTX file holds, and where they came from.

    >>> header = Header(flags=NO_CHECKSUM_FLAG, page_size=4096, commit=3, min_txid=TXID(2), max_txid=TXID(5))
    >>> header.validate()
    >>> Header.unpack(header.pack()) == header
    True
    """

    flags: int = 0
    page_size: int
    commit: int
    min_txid: TXID
    max_txid: TXID
    timestamp_ms: int = 0
    pre_apply_checksum: int = 0
    wal_offset: int = 0
    wal_size: int = 0
    wal_salt1: int = 0
    wal_salt2: int = 0
    node_id: int = 0

    @property
    def is_snapshot(self) -> bool:
        """Whether the file begins with the first transaction, and so holds every page of the database."""
        return self.min_txid == 1

    @property
    def tracks_checksums(self) -> bool:
        """Whether the file says which checksum the database has before and after it."""
        return not self.flags & NO_CHECKSUM_FLAG

    @property
    def lock_pgno(self) -> Pgno:
        """The number of the page that is never stored."""
        return lock_pgno(self.page_size)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """Return the header that `data` begins with, not yet validated.

        Raises:
            LTXError: too few bytes, or they are no LTX header.

        """
        if len(data) < HEADER_SIZE:
            msg = f"expected a header of {HEADER_SIZE} bytes, got {len(data)}"
            raise LTXError(msg, offset=len(data))
        magic, flags, page_size, commit, min_txid, max_txid, timestamp_ms, *rest = _HEADER.unpack_from(data)
        if magic != MAGIC:
            msg = f"expected the magic {MAGIC!r}, got {magic!r}"
            raise LTXError(msg, offset=0)
        pre_apply_checksum, wal_offset, wal_size, wal_salt1, wal_salt2, node_id = rest
        return cls(
            flags=flags,
            page_size=page_size,
            commit=commit,
            min_txid=TXID(min_txid),
            max_txid=TXID(max_txid),
            timestamp_ms=timestamp_ms,
            pre_apply_checksum=pre_apply_checksum,
            wal_offset=wal_offset,
            wal_size=wal_size,
            wal_salt1=wal_salt1,
            wal_salt2=wal_salt2,
            node_id=node_id,
        )

    def pack(self) -> bytes:
        """Return the 100 bytes of this header.

        Raises:
            LTXError: a number does not fit its field.

        """
        try:
            return _HEADER.pack(
                MAGIC,
                self.flags,
                self.page_size,
                self.commit,
                self.min_txid,
                self.max_txid,
                self.timestamp_ms,
                self.pre_apply_checksum,
                self.wal_offset,
                self.wal_size,
                self.wal_salt1,
                self.wal_salt2,
                self.node_id,
            )
        except struct.error as error:
            msg = f"expected numbers that fit the fields of a header, got {self}: {error}"
            raise LTXError(msg) from error

    def validate(self) -> None:
        """Check that the fields make sense together.

        Raises:
            LTXError: they do not; it says where.

        """
        if self.flags & ~NO_CHECKSUM_FLAG:
            self._refuse(f"expected no flags but {NO_CHECKSUM_FLAG:#x}, got {self.flags:#x}", 4)
        if not is_page_size(self.page_size):
            self._refuse(f"expected a page size of 512 to 65536, a power of two, got {self.page_size}", 8)
        if not 0 < self.min_txid <= self.max_txid:
            self._refuse(f"expected TXIDs in order from 1, got {self.min_txid} to {self.max_txid}", 16)
        if not _MIN_TIMESTAMP_MS <= self.timestamp_ms <= _MAX_TIMESTAMP_MS:
            self._refuse(f"expected a timestamp in the years 1 to 9999, got {self.timestamp_ms} ms", 32)
        self._validate_checksum()
        if self.wal_offset < 0 or self.wal_size < 0:
            self._refuse(f"expected a WAL range from 0 on, got {self.wal_size} at {self.wal_offset}", 48)
        if self.wal_offset == 0 and (self.wal_size or self.wal_salt1 or self.wal_salt2):
            self._refuse("expected a WAL offset beside a WAL size or salts, got 0", 48)

    def _validate_checksum(self) -> None:
        if self.is_snapshot or not self.tracks_checksums:
            if self.pre_apply_checksum:
                self._refuse(f"expected no pre-apply checksum, got {self.pre_apply_checksum:016x}", 40)
        elif not self.pre_apply_checksum & CHECKSUM_FLAG:
            self._refuse(f"expected a flagged pre-apply checksum, got {self.pre_apply_checksum:016x}", 40)

    def _refuse(self, message: str, offset: int) -> NoReturn:
        raise LTXError(message, min_txid=self.min_txid, max_txid=self.max_txid, offset=offset)
