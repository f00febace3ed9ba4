"""What every client needs around its reads and writes: a reader over ranges, the header of an upload.

A `RangeReader` holds one chunk and a position. The position moves only when a read succeeds, so a read that raised
can be repeated and gives the same bytes. The first answer pins the file's identity: all chunks come from one file.
"""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from replication.ltx.header import HEADER_SIZE, Header

CHUNK_SIZE = 2**20  # bytes asked for at a time


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a file, and the identity of the file they came from (empty if unknown)."""

    data: bytes
    identity: str = ""


ReadChunk = Callable[[str, int, int], Chunk]
"""Takes the identity wanted (empty for any), start and end; a range past the end is cut short."""


class RangeReader(io.BufferedIOBase):
    """A file of a replica, read in chunks of bounded size."""

    def __init__(self, read_chunk: ReadChunk, *, offset: int, size: int, chunk_size: int) -> None:
        """Read the first chunk, so that a missing file shows here."""
        self._read_chunk = read_chunk
        self._start = offset
        self._end = offset + size if size else None  # exclusive; None is the end of the file
        self._chunk_size = chunk_size
        self._position = offset
        self._chunk = Chunk(b"")
        self._chunk_start = offset
        self._fill()

    def __repr__(self) -> str:
        end = "end" if self._end is None else self._end
        return f"<RangeReader {self._start}..{end} at={self._position}>"

    @property
    def identity(self) -> str:
        """The identity of the file, empty if the store gives none."""
        return self._chunk.identity

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can seek."""
        return True

    def tell(self) -> int:
        """Return the position, counted from the reader's first byte."""
        return self._position - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to an offset from the reader's first byte, or from the current position."""
        if whence == os.SEEK_SET:
            position = self._start + offset
        elif whence == os.SEEK_CUR:
            position = self._position + offset
        else:
            msg = "the end of a file read in ranges is not known before it is reached"
            raise io.UnsupportedOperation(msg)
        if position < self._start:
            msg = f"expected a position of at least 0, got {position - self._start}"
            raise ValueError(msg)
        self._position = position
        return self.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; all that is left when negative or None."""
        if self.closed:
            msg = "read of a closed reader"
            raise ValueError(msg)
        start = self._position
        parts: list[bytes] = []
        missing = float("inf") if size is None or size < 0 else size
        try:
            while missing > 0:
                part = self._part(int(min(missing, self._chunk_size)))
                if not part:
                    break
                parts.append(part)
                self._position += len(part)
                missing -= len(part)
        except BaseException:
            self._position = start
            raise
        return b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes with at most one request."""
        part = self._part(self._chunk_size if size < 0 else size)
        self._position += len(part)
        return part

    def _part(self, size: int) -> bytes:
        """Return up to `size` bytes at the position, from the chunk or from a new one."""
        start = self._position - self._chunk_start
        if not 0 <= start < len(self._chunk.data):
            self._fill()
            start = 0
        return self._chunk.data[start : start + size]

    def _fill(self) -> None:
        end = self._position + self._chunk_size
        if self._end is not None:
            end = min(end, self._end)
        if end <= self._position:
            self._chunk = Chunk(b"", self._chunk.identity)
        else:
            chunk = self._read_chunk(self._chunk.identity, self._position, end)
            self._chunk = Chunk(chunk.data, chunk.identity or self._chunk.identity)
            if len(chunk.data) < end - self._position:
                self._end = self._position + len(chunk.data)  # cut short: here the file ends
        self._chunk_start = self._position


def read_in_parts(read_chunk: ReadChunk, identity: str, start: int, end: int | None, part_size: int) -> bytes:
    """Return bytes `start` to `end` (exclusive) of a file, or to its end, in requests of `part_size` bytes at most.

    The first answer pins the file's identity, if none is given.
    """
    parts: list[bytes] = []
    while end is None or start < end:
        limit = start + part_size if end is None else min(end, start + part_size)
        chunk = read_chunk(identity, start, limit)
        parts.append(chunk.data)
        if len(chunk.data) < limit - start:
            break
        start, identity = limit, chunk.identity
    return parts[0] if len(parts) == 1 else b"".join(parts)


def identity_of(reader: BinaryIO) -> str:
    """Return the identity of the file that a reader reads, empty if that is not known."""
    identity = getattr(reader, "identity", "")  # of our readers; an operating system's file has none
    return identity if isinstance(identity, str) else ""


def open_range_reader(read_chunk: ReadChunk, *, offset: int, size: int, chunk_size: int = CHUNK_SIZE) -> BinaryIO:
    """Return a reader of `size` bytes from `offset` on; size 0 means to the end of the file."""
    reader = RangeReader(read_chunk, offset=offset, size=size, chunk_size=chunk_size)
    return cast("BinaryIO", reader)  # it has every method of one, and is not declared to be one


def read_fully(reader: BinaryIO, size: int) -> bytes:
    """Return `size` bytes, fewer only at the end, also from a reader that gives less than asked."""
    parts: list[bytes] = []
    while size > 0 and (data := reader.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class UploadHead:
    """The first bytes of an upload, and the time its header gives."""

    data: bytes
    timestamp_ms: int


def read_upload_head(reader: BinaryIO) -> UploadHead:
    """Read an upload's LTX header.

    Raises:
        LTXError: the first bytes are no LTX header.

    """
    data = read_fully(reader, HEADER_SIZE)
    header = Header.unpack(data)
    header.validate()
    return UploadHead(data, header.timestamp_ms)
