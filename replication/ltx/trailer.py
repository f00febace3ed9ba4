"""The trailer: the last 16 bytes of an LTX file.

    offset  size  field
    0       8     post_apply_checksum: of the database after applying the file; 0 if not tracked
    8       8     file_checksum: of all that comes before it in the file, with the pages uncompressed

All integers are big-endian. Source: superfly/ltx README.md, "Trailer", and ltx.go.
"""

import struct
from dataclasses import dataclass
from struct import Struct
from typing import NoReturn, Self

from replication.errors import LTXError
from replication.ltx.checksum import CHECKSUM_FLAG
from replication.ltx.header import Header

_TRAILER = Struct(">2Q")
TRAILER_SIZE = 16
CHECKED_SIZE = 8
"""The first bytes of the trailer, which the file checksum covers too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """The checksums of the database and of the file.

    >>> trailer = Trailer(post_apply_checksum=0, file_checksum=CHECKSUM_FLAG | 42)
    >>> Trailer.unpack(trailer.pack()) == trailer
    True
    """

    post_apply_checksum: int
    file_checksum: int

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """Return the trailer that these 16 bytes hold, not yet validated.

        Raises:
            LTXError: there are more or fewer.

        """
        if len(data) != TRAILER_SIZE:
            msg = f"expected a trailer of {TRAILER_SIZE} bytes, got {len(data)}"
            raise LTXError(msg)
        post_apply_checksum, file_checksum = _TRAILER.unpack(data)
        return cls(post_apply_checksum=post_apply_checksum, file_checksum=file_checksum)

    def pack(self) -> bytes:
        """Return the 16 bytes of this trailer.

        Raises:
            LTXError: a number does not fit its field.

        """
        try:
            return _TRAILER.pack(self.post_apply_checksum, self.file_checksum)
        except struct.error as error:
            msg = f"expected checksums of 64 bits, got {self}: {error}"
            raise LTXError(msg) from error

    def validate(self, header: Header) -> None:
        """Check that the trailer fits the header of the same file.

        Raises:
            LTXError: it does not.

        """
        if not header.tracks_checksums:
            if self.post_apply_checksum:
                _refuse(f"expected no post-apply checksum, got {self.post_apply_checksum:016x}", header)
        elif not self.post_apply_checksum & CHECKSUM_FLAG:
            _refuse(f"expected a flagged post-apply checksum, got {self.post_apply_checksum:016x}", header)
        if not self.file_checksum & CHECKSUM_FLAG:
            _refuse(f"expected a flagged file checksum, got {self.file_checksum:016x}", header)


def _refuse(message: str, header: Header) -> NoReturn:
    raise LTXError(message, min_txid=header.min_txid, max_txid=header.max_txid)
