"""Encoding an LTX file as a stream: the header, pages in ascending order, and on closing the page index and trailer.

Nothing that has been written is ever gone back to, so the writer can be a socket. What is written is what Litestream
0.5 writes, but for the bytes within LZ4 blocks, where every compressor has its own taste.

Source: superfly/ltx, encoder.go.
"""

from array import array
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from replication.errors import LTXError
from replication.ltx.checksum import CHECKSUM_FLAG, crc64_iso
from replication.ltx.header import HEADER_SIZE, Header
from replication.ltx.index import PageIndex, encode_page_index
from replication.ltx.order import PageOrder
from replication.ltx.page import BLOCK_HEADER, BLOCK_HEADER_SIZE, END_OF_PAGES, SIZE_FLAG, PageFrame, encode_page_frame
from replication.ltx.tail import INDEX_SIZE
from replication.ltx.trailer import CHECKED_SIZE, Trailer


class Encoder:
    """Writes one LTX file.

    >>> import io
    >>> from replication.ltx.decoder import Decoder
    >>> from replication.position import TXID
    >>> file = io.BytesIO()
    >>> encoder = Encoder(file, Header(flags=2, page_size=512, commit=3, min_txid=TXID(7), max_txid=TXID(7)))
    >>> encoder.encode_page(2, bytes(512))
    >>> trailer = encoder.close()
    >>> _ = file.seek(0)
    >>> [page.pgno for page in Decoder(file)]
    [2]
    """

    def __init__(self, writer: BinaryIO, header: Header) -> None:
        """Write the header.

        Raises:
            LTXError: it is not valid.

        """
        header.validate()
        self.header = header
        self.trailer: Trailer | None = None  # until closed
        self._writer = writer
        self._order = PageOrder(header)
        self._pgnos = array("I")
        self._offsets = array("Q", [HEADER_SIZE])
        self._crc = 0
        self._write(header.pack())

    def encode_page(self, pgno: int, data: bytes | memoryview) -> None:
        """Write the next page, compressed.

        Raises:
            LTXError: it is not of the page size, or must not come here, or the file is closed.

        """
        self._check_page(pgno, data)
        self._write_frame(pgno, data, encode_page_frame(pgno, data))

    def encode_pages(self, pgnos: Sequence[int], pages: bytes | bytearray) -> None:
        """Write the next pages, which lie one behind the other, compressed; a part of the cost of one by one.

        Raises:
            LTXError: as for `encode_page`; then nothing of them is written, and the file cannot go on.

        """
        self._check_open()
        page_size = self.header.page_size
        if len(pages) != len(pgnos) * page_size:
            msg = f"expected {len(pgnos)} pages of {page_size} bytes each, got {len(pages)} bytes"
            raise LTXError(msg, min_txid=self.header.min_txid, max_txid=self.header.max_txid)
        view, crc, end = memoryview(pages), self._crc, self._offsets[-1]
        parts, ends = [], []
        for i, pgno in enumerate(pgnos):
            self._order.advance(pgno)
            data = view[i * page_size : (i + 1) * page_size]
            frame = encode_page_frame(pgno, data)
            crc = crc64_iso(data, crc64_iso(frame[:BLOCK_HEADER_SIZE], crc))
            end += len(frame)
            parts.append(frame)
            ends.append(end)
        self._writer.write(b"".join(parts))
        self._crc = crc
        self._pgnos.extend(pgnos)
        self._offsets.extend(ends)

    def copy_page(self, page: PageFrame) -> None:
        """Write the next page as another file stores it, without compressing it again where that can be.

        Raises:
            LTXError: as for `encode_page`.

        """
        self._check_page(page.pgno, page.data)
        stored = page.stored
        head = BLOCK_HEADER.pack(page.pgno, SIZE_FLAG, max(len(stored) - BLOCK_HEADER_SIZE, 0))
        if not stored.startswith(head):
            stored = encode_page_frame(page.pgno, page.data)  # of an older form, or not from a file
        self._write_frame(page.pgno, page.data, stored)

    def close(self, post_apply_checksum: int = 0) -> Trailer:
        """Write the page index and the trailer, and return the trailer; the writer stays open.

        Raises:
            LTXError: a snapshot lacks pages, or the database checksum does not fit the header.

        """
        self._check_open()
        self._order.finish()
        # An empty database has an empty checksum, and one that is tracked: else readers cannot tell it from a mistake.
        if self.header.commit == 0 and post_apply_checksum != CHECKSUM_FLAG:
            msg = f"expected the post-apply checksum {CHECKSUM_FLAG:016x} of no pages, got {post_apply_checksum:016x}"
            raise LTXError(msg, min_txid=self.header.min_txid, max_txid=self.header.max_txid)
        trailer = Trailer(post_apply_checksum=post_apply_checksum, file_checksum=CHECKSUM_FLAG)
        trailer.validate(self.header)
        index = encode_page_index(self._index())
        checked = END_OF_PAGES + index + INDEX_SIZE.pack(len(index)) + trailer.pack()[:CHECKED_SIZE]
        crc = crc64_iso(checked, self._crc)
        trailer = Trailer(post_apply_checksum=post_apply_checksum, file_checksum=CHECKSUM_FLAG | crc)
        self._write(checked + trailer.pack()[CHECKED_SIZE:])
        self.trailer = trailer
        return trailer

    @property
    def size(self) -> int:
        """How many bytes have been written up to the last page; afterwards come the page index and the trailer."""
        return self._offsets[-1]

    def _check_open(self) -> None:
        if self.trailer is not None:
            msg = "expected an open encoder, got a closed one"
            raise LTXError(msg, min_txid=self.header.min_txid, max_txid=self.header.max_txid)

    def _check_page(self, pgno: int, data: bytes | memoryview) -> None:
        self._check_open()
        if len(data) != self.header.page_size:
            msg = f"expected {self.header.page_size} bytes in page {pgno}, got {len(data)}"
            raise LTXError(msg, min_txid=self.header.min_txid, max_txid=self.header.max_txid)
        self._order.advance(pgno)

    def _write_frame(self, pgno: int, data: bytes | memoryview, frame: bytes) -> None:
        self._writer.write(frame)
        self._crc = crc64_iso(data, crc64_iso(frame[:BLOCK_HEADER_SIZE], self._crc))
        self._pgnos.append(pgno)
        self._offsets.append(self._offsets[-1] + len(frame))

    def _write(self, data: bytes) -> None:
        self._writer.write(data)
        self._crc = crc64_iso(data, self._crc)

    def _index(self) -> PageIndex:
        return PageIndex(np.array(self._pgnos, dtype=np.uint32), np.array(self._offsets, dtype=np.uint64))
