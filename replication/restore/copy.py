"""Copying one piece of a file into the output: read, decode, check, and write the pages that come from this file."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Semaphore

import numpy as np
from numpy.typing import NDArray

from replication.client.base import ReplicaClient
from replication.client.fetch import naming_file
from replication.errors import ChecksumMismatchError
from replication.ltx.batch import PageBatch, decode_batch
from replication.ltx.checksum import CHECKSUM_FLAG, crc64_combine, page_checksum
from replication.ltx.page import BLOCK_HEADER_SIZE
from replication.restore.assembly import Piece, count_pieces, runs, supplied_positions
from replication.restore.load import LoadedFile
from replication.restore.read import read_exactly

BATCH_SIZE = 512 * 1024
"""How many bytes of pages are decoded at once: what fits a processor's cache is fast."""

MAX_DECODING = 2
"""How many threads decode at once; more would wait for Python's lock, and cost those who have it."""

Write = Callable[[bytes, int], None]
"""Takes data and its offset in the output."""


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of file `number` (from 1) of the plan; the pages with that number in `suppliers` are written."""

    number: int
    file: LoadedFile
    piece: Piece
    suppliers: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class CopiedPiece:
    """What a piece adds to the checksums of its file."""

    number: int
    piece: Piece
    crc: int
    checked_size: int  # bytes the CRC is over
    database_checksum: int  # of its pages, where the file says that of the database
    stored_size: int  # bytes of page frames
    bytes_read: int


class PieceCopier:
    """Copies pieces on several threads: all of them read side by side, and a few of them decode."""

    def __init__(self, client: ReplicaClient, write: Write, *, skip_zeros: bool) -> None:
        """Read from a client; with `skip_zeros`, pages of zeros are not written."""
        self._client = client
        self._write = write
        self._skip_zeros = skip_zeros
        self._decoding = Semaphore(MAX_DECODING)

    def copy(self, task: Task) -> CopiedPiece:
        """Copy a piece.

        Raises:
            LTXError: a page frame is broken.
            LTXMissingError, DeniedError, UnavailableError: as the client says, and as `write` does.

        """
        index, held = task.file.index, task.file.held
        start, end = (int(index.offsets[position]) for position in (task.piece.first, task.piece.last))
        with naming_file(task.file.info):
            if held is not None:
                frames = memoryview(held)[start:end]
            else:
                frames = memoryview(read_exactly(self._client, task.file.info, start, end))
            with self._decoding:
                return self._decode(task, frames, bytes_read=end - start if held is None else 0)

    def _decode(self, task: Task, frames: memoryview, *, bytes_read: int) -> CopiedPiece:
        header, index, piece = task.file.header, task.file.index, task.piece
        step = max(1, BATCH_SIZE // header.page_size)
        crc, checked_size, database_checksum, position = 0, 0, 0, 0
        supplied = supplied_positions(task.file, task.suppliers, task.number, piece)
        for first in range(piece.first, piece.last, step):
            part = Piece(first, min(first + step, piece.last))
            offsets = index.offsets[part.first : part.last + 1]
            pgnos = index.pgnos[part.first : part.last]
            size = int(offsets[-1] - offsets[0])
            batch = decode_batch(frames[position : position + size], pgnos, offsets, header.page_size)
            position += size
            crc = crc64_combine(crc, batch.crc, batch.checked_size)
            checked_size += batch.checked_size
            if header.is_snapshot and header.tracks_checksums:
                database_checksum ^= _database_checksum(batch, pgnos)
            start, end = np.searchsorted(supplied, (part.first - piece.first, part.last - piece.first))
            wanted = supplied[start:end] - (part.first - piece.first)
            if self._skip_zeros:
                wanted = _without_zeros(wanted, batch, np.diff(offsets), header.page_size)
            _write_pages(self._write, batch, wanted, pgnos, header.page_size)
        return CopiedPiece(task.number, piece, crc, checked_size, database_checksum, len(frames), bytes_read)


class FileVerifier:
    """Takes the pieces of one file in any order, and verifies the file when it has them all."""

    def __init__(self, file: LoadedFile) -> None:
        """Wait for the pieces that `split` makes of the file."""
        self._file = file
        self._missing = count_pieces(file.index, file.header.page_size)
        self._pieces: dict[int, CopiedPiece] = {}

    def add(self, copied: CopiedPiece) -> bool:
        """Take a piece; say whether it was the last one, and the file is verified.

        Raises:
            ChecksumMismatchError: the file is not the one that was written.

        """
        self._pieces[copied.piece.first] = copied
        self._missing -= 1
        if self._missing:
            return False
        file = self._file
        crc, database_checksum = file.header_crc, 0
        for first in sorted(self._pieces):
            piece = self._pieces[first]
            crc = crc64_combine(crc, piece.crc, piece.checked_size)
            database_checksum ^= piece.database_checksum
        crc = crc64_combine(crc, file.tail_crc, file.tail_checked_size)
        with naming_file(file.info):
            _compare("file", file.trailer.file_checksum, CHECKSUM_FLAG | crc, file.info.size - 8)
            if file.header.is_snapshot and file.header.tracks_checksums:
                expected = file.trailer.post_apply_checksum
                _compare("database", expected, CHECKSUM_FLAG | database_checksum, file.info.size - 16)
        self._pieces.clear()
        return True


def _compare(what: str, expected: int, actual: int, offset: int) -> None:
    if expected != actual:
        msg = f"expected the {what} checksum {expected:016x}, got {actual:016x}"
        error = ChecksumMismatchError(msg, expected=expected, actual=actual)
        error.offset = offset
        raise error


def _database_checksum(batch: PageBatch, pgnos: NDArray[np.uint32]) -> int:
    checksum = 0
    for i, pgno in enumerate(pgnos.tolist()):
        checksum ^= page_checksum(pgno, batch.rows[i].data)
    return checksum & ~CHECKSUM_FLAG


def _without_zeros(
    wanted: NDArray[np.intp], batch: PageBatch, sizes: NDArray[np.uint64], page_size: int
) -> NDArray[np.intp]:
    """Return the positions without those of pages of zeros, which only short page frames can hold."""
    longest = BLOCK_HEADER_SIZE + page_size // 255 + 16
    short = wanted[sizes[wanted] <= longest]
    if len(short) == 0:
        return wanted
    zeros = short[~batch.rows[short].any(axis=1)]
    return np.setdiff1d(wanted, zeros, assume_unique=True)


def _write_pages(
    write: Write, batch: PageBatch, wanted: NDArray[np.intp], pgnos: NDArray[np.uint32], page_size: int
) -> None:
    for start, end in runs(wanted, pgnos):
        first, last = int(wanted[start]), int(wanted[end - 1])
        write(batch.rows[first : last + 1].tobytes(), (int(pgnos[first]) - 1) * page_size)
