"""Decoding a whole LTX file as it streams by, and verifying it.

A decoder reads once, from the first byte to the last. The header is known from the start, then come the pages.
Only when the last page has been taken is everything read and verified: the order of the pages, the page index against
the frames seen, the file checksum, and in a snapshot that no page is missing and that the database checksum is right.
So who leaves the loop early has pages of a file that may be broken; `index` and `trailer` are there only afterwards.

The file checksum covers the pages uncompressed, and everything else as stored.

Source: superfly/ltx, decoder.go.
"""

import io
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from replication.errors import ChecksumMismatchError, LTXError
from replication.ltx.checksum import CHECKSUM_FLAG, crc64_iso, page_checksum
from replication.ltx.header import HEADER_SIZE, Header
from replication.ltx.index import PageIndex
from replication.ltx.lz4_frame import read_lz4_frame
from replication.ltx.order import PageOrder
from replication.ltx.page import (
    END_OF_PAGES,
    MAX_FRAME_SIZE,
    PAGE_HEADER,
    PAGE_HEADER_SIZE,
    SIZE_FIELD,
    SIZE_FLAG,
    PageFrame,
    decode_page,
)
from replication.ltx.tail import MIN_TAIL_SIZE, decode_tail
from replication.ltx.trailer import CHECKED_SIZE, TRAILER_SIZE, Trailer
from replication.position import Pgno

_MAX_ENTRY_SIZE = 3 * 10  # three varints as long as varints get


class Decoder:
    """Yields the pages of one LTX file, ascending, and verifies the file at its end.

    Raises:
        LTXError: the file breaks the format; it says at which offset.
        ChecksumMismatchError: the file is not the one that was written.

    """

    header: Header
    index: PageIndex  # once the last page has been taken
    trailer: Trailer  # once the last page has been taken

    def __init__(self, reader: BinaryIO) -> None:
        self._reader = reader
        self._offset = 0
        data = self._read(HEADER_SIZE)
        self.header = Header.unpack(data)
        self.header.validate()
        self._crc = crc64_iso(data)
        self._order = PageOrder(self.header)
        self._database_checksum = CHECKSUM_FLAG
        self._pages = self._decode()

    def __iter__(self) -> Iterator[PageFrame]:
        """Go on where the last loop over this decoder stopped."""
        return self._pages

    def verify(self) -> None:
        """Read what is left, and verify the file."""
        for _ in self._pages:
            pass

    def _decode(self) -> Iterator[PageFrame]:
        track = self.header.is_snapshot and self.header.tracks_checksums
        pgnos, offsets = array("I"), array("Q", [HEADER_SIZE])
        start = HEADER_SIZE
        try:
            while (page := self._decode_page()) is not None:
                if track:
                    self._database_checksum ^= page_checksum(page.pgno, page.data) & ~CHECKSUM_FLAG
                start = self._offset
                pgnos.append(page.pgno)
                offsets.append(start)
                yield page
            self._order.finish()
            self._finish(PageIndex.of(pgnos, offsets))
        except LTXError as error:
            error.min_txid, error.max_txid = self.header.min_txid, self.header.max_txid
            error.offset = start if error.offset is None else error.offset
            raise

    def _decode_page(self) -> PageFrame | None:
        head = self._read(PAGE_HEADER_SIZE)
        if head == END_OF_PAGES:
            self._crc = crc64_iso(head, self._crc)
            return None
        pgno, flags = PAGE_HEADER.unpack(head)
        self._order.advance(pgno)
        if flags == SIZE_FLAG:
            size_field = self._read(SIZE_FIELD.size)
            (size,) = SIZE_FIELD.unpack(size_field)
            if size > MAX_FRAME_SIZE:
                msg = f"expected a page frame of {MAX_FRAME_SIZE} bytes at most, got {size} for page {pgno}"
                raise LTXError(msg)
            head += size_field
            stored = head + self._read(size)
        else:
            stored = head + read_lz4_frame(self._read, MAX_FRAME_SIZE)
        data = decode_page(stored, self.header.page_size, pgno)
        self._crc = crc64_iso(data, crc64_iso(head, self._crc))
        return PageFrame(Pgno(pgno), data, stored)

    def _finish(self, seen: PageIndex) -> None:
        start = self._offset
        rest = self._read_rest(MIN_TAIL_SIZE + 1 + _MAX_ENTRY_SIZE * len(seen))
        index = decode_tail(rest, self._offset, self.header.commit)
        if index != seen:
            self._refuse("expected the page index to say where the page frames are, got other places", start)
        trailer = Trailer.unpack(rest[-TRAILER_SIZE:])
        trailer.validate(self.header)
        checked = len(rest) - TRAILER_SIZE + CHECKED_SIZE
        _compare("file", trailer.file_checksum, CHECKSUM_FLAG | crc64_iso(rest[:checked], self._crc))
        if self.header.is_snapshot and self.header.tracks_checksums:
            _compare("database", trailer.post_apply_checksum, self._database_checksum)
        self.index, self.trailer = index, trailer

    def _read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        data = self._reader.read(size)
        while len(data) < size:
            more = self._reader.read(size - len(data))
            if not more:
                self._refuse(f"expected {size} bytes, got {len(data)} and the end of the file", self._offset)
            data += more
        self._offset += size
        return data

    def _read_rest(self, max_size: int) -> bytes:
        parts = []
        room = max_size + 1
        while room and (data := self._reader.read(room)):
            parts.append(data)
            room -= len(data)
        self._offset += max_size + 1 - room
        if not room:
            self._refuse(f"expected {max_size} bytes after the pages at most, got more", self._offset)
        return b"".join(parts)

    def _refuse(self, message: str, offset: int) -> NoReturn:
        raise LTXError(message, offset=offset)


@dataclass(frozen=True, slots=True)
class DecodedFile:
    """What a verified file says, apart from its pages."""

    header: Header
    index: PageIndex
    trailer: Trailer


def decode_file(data: bytes) -> DecodedFile:
    """Verify a whole file held in memory, and return its header, page index and trailer.

    Raises:
        LTXError: the file breaks the format; it says at which offset.
        ChecksumMismatchError: the file is not the one that was written.

    """
    decoder = Decoder(io.BytesIO(data))
    decoder.verify()
    return DecodedFile(decoder.header, decoder.index, decoder.trailer)


def _compare(what: str, expected: int, actual: int) -> None:
    if expected != actual:
        msg = f"expected the {what} checksum {expected:016x}, got {actual:016x}"
        raise ChecksumMismatchError(msg, expected=expected, actual=actual)
