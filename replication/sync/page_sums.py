"""The sums: the checksum of every page as of one level-0 file, so that it can be told later which pages differ.

    offset  size  field
    0       4     magic, b"LSPS"
    4       4     version, 1
    8       4     page_size, in bytes
    12      4     commit: how many pages have a checksum
    16      8     txid
    24      8     file_checksum of the level-0 file with this TXID
    32      8     CRC-64/ISO of bytes 0 to 32
    40      24    zeros
    64      8     checksum of page 1; 8 more for each page that follows; that of the lock page means nothing

All integers are little-endian. The first 40 bytes are the tag.

How they survive a crash. The level-0 file comes first, and lasts before its checksums are written here, in place; they
are synced before the tag is. So the tag may be older than some checksums, never newer: those that are too new belong to
pages that the level-0 files after the tag hold, which are applied again. A tag whose level-0 file is not there, or is
another of the same name, proves nothing.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from replication.ltx.checksum import crc64_iso
from replication.sync.local_files import LocalFile, local_errors

_TAG = Struct("<4s 3I 2Q")
_CRC = Struct("<Q")
_MAGIC = b"LSPS"
_VERSION = 1
_ENTRIES_OFFSET = 64
_ENTRY = np.dtype("<u8")

Checksums = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsTag:
    """Which state of the database the checksums are of."""

    page_size: int
    commit: int
    txid: int
    file_checksum: int

    @classmethod
    def of(cls, file: LocalFile) -> "SumsTag":
        """Return the tag of the state after a level-0 file."""
        header = file.header
        return cls(
            page_size=header.page_size, commit=header.commit, txid=header.max_txid, file_checksum=file.file_checksum
        )

    @classmethod
    def unpack(cls, data: bytes) -> "SumsTag | None":
        """Return the tag that `data` begins with, or None if it is none, or torn."""
        if len(data) < _TAG.size + _CRC.size:
            return None
        magic, version, page_size, commit, txid, file_checksum = _TAG.unpack_from(data)
        (crc,) = _CRC.unpack_from(data, _TAG.size)
        if (magic, version) != (_MAGIC, _VERSION) or crc != crc64_iso(data[: _TAG.size]):
            return None
        return cls(page_size=page_size, commit=commit, txid=txid, file_checksum=file_checksum)

    def pack(self) -> bytes:
        """Return the 40 bytes of this tag."""
        data = _TAG.pack(_MAGIC, _VERSION, self.page_size, self.commit, self.txid, self.file_checksum)
        return data + _CRC.pack(crc64_iso(data))


class PageSums:
    """The file of checksums."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tag(self) -> SumsTag | None:
        """Return the tag, or None if there is none that can be read."""
        with local_errors(self.path):
            try:
                with self.path.open("rb") as file:
                    return SumsTag.unpack(file.read(_ENTRIES_OFFSET))
            except FileNotFoundError:
                return None

    def read(self, commit: int) -> Checksums | None:
        """Return the checksums of pages 1 to `commit`, or None if there are fewer."""
        with local_errors(self.path), self.path.open("rb") as file:
            file.seek(_ENTRIES_OFFSET)
            data = file.read(commit * _ENTRY.itemsize)
        return np.frombuffer(data, dtype=_ENTRY) if len(data) == commit * _ENTRY.itemsize else None

    def read_pages(self, pgnos: NDArray[np.uint32]) -> Checksums:
        """Return the checksums of some pages, ascending; 0, which none has, where there is none."""
        data = bytearray(len(pgnos) * _ENTRY.itemsize)
        view = memoryview(data)
        with local_errors(self.path), self.path.open("rb", buffering=0) as file:
            for start, end in _runs(pgnos):
                file.seek(_offset_of(pgnos[start]))
                file.readinto(view[start * _ENTRY.itemsize : end * _ENTRY.itemsize])
        return np.frombuffer(data, dtype=_ENTRY)

    def write(self, tag: SumsTag, pgnos: NDArray[np.uint32], checksums: Checksums) -> None:
        """Write the checksums of some pages, ascending, and then the tag; the others stay as they are.

        Raises:
            UnavailableError: no space, and the like; the tag stays as it was.

        """
        with local_errors(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                data = checksums.astype(_ENTRY, copy=False)
                for start, end in _runs(pgnos):
                    _write_at(descriptor, data[start:end].tobytes(), _offset_of(pgnos[start]))
                os.fsync(descriptor)
                _write_at(descriptor, tag.pack(), 0)
            finally:
                os.close(descriptor)

    def delete(self) -> None:
        """Forget all checksums."""
        with local_errors(self.path):
            self.path.unlink(missing_ok=True)


def _runs(pgnos: NDArray[np.uint32]) -> list[tuple[int, int]]:
    """Return where pages lie side by side: positions in `pgnos`, from the first to behind the last."""
    starts = np.flatnonzero(np.diff(pgnos.astype(np.int64), prepend=-1) != 1)
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(pgnos)][: len(starts)], strict=True))


def _offset_of(pgno: np.uint32) -> int:
    return _ENTRIES_OFFSET + (int(pgno) - 1) * _ENTRY.itemsize


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
