"""Where in the WAL the newest level-0 file ends, kept over restarts.

    offset  size  field
    0       4     magic, b"LSWP"
    4       4     version, 1
    8       8     txid
    16      8     file_checksum of the level-0 file with this TXID
    24      8     offset: where in the WAL the state after that file ends, in bytes
    32      8     salts of the WAL
    40      8     sums: the checksum in the frame that ends at the offset
    48      8     CRC-64/ISO of bytes 0 to 48

All integers are little-endian. The file is not synced: one that is older, torn or lost costs work, and proves nothing
that is wrong, because it counts only beside the very level-0 file it names and the very frame.
"""

from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from replication.ltx.checksum import crc64_iso
from replication.sync.local_files import LocalFile, local_errors
from replication.wal.checksum import Sums
from replication.wal.header import Salts

_RECORD = Struct("<4s I 2Q Q 2I 2I")
_CRC = Struct("<Q")
_MAGIC = b"LSWP"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class WALPosition:
    """A place between two transactions of a WAL."""

    offset: int  # bytes
    salts: Salts
    sums: Sums  # of the frame, or header, that ends there


class PositionFile:
    """The file that keeps the position."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, newest: LocalFile) -> WALPosition | None:
        """Return the position after the newest level-0 file, or None if the one kept is of another file, or torn."""
        with local_errors(self.path):
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                return None
        if len(data) != _RECORD.size + _CRC.size:
            return None
        magic, version, txid, file_checksum, offset, salt1, salt2, s0, s1 = _RECORD.unpack_from(data)
        (crc,) = _CRC.unpack_from(data, _RECORD.size)
        found = (magic, version, txid, file_checksum, crc)
        expected = (_MAGIC, _VERSION, newest.txid, newest.file_checksum, crc64_iso(data[: _RECORD.size]))
        return WALPosition(offset, Salts(salt1, salt2), Sums(s0, s1)) if found == expected else None

    def write(self, newest: LocalFile, position: WALPosition) -> None:
        """Keep the position after the newest level-0 file."""
        data = _RECORD.pack(
            _MAGIC,
            _VERSION,
            newest.txid,
            newest.file_checksum,
            position.offset,
            *position.salts,
            *position.sums,
        )
        with local_errors(self.path):
            self.path.write_bytes(data + _CRC.pack(crc64_iso(data)))

    def delete(self) -> None:
        """Forget the position."""
        with local_errors(self.path):
            self.path.unlink(missing_ok=True)
