"""Merging LTX files that follow one another into one.

Of each page the newest version wins, that is the one in the last file that has it; pages beyond the last file's commit
are left out. Files may overlap, but each must go further than the one before it. Every input is read to its end and
verified; nothing is compressed again.

Source: superfly/ltx, compactor.go; litestream 0.5.17, compactor.go.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from typing import BinaryIO

from replication.errors import LTXError, PositionError, UsageError
from replication.ltx.decoder import Decoder
from replication.ltx.encoder import Encoder
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.ltx.page import PageFrame


def compact(readers: Sequence[BinaryIO], writer: BinaryIO) -> Header:
    """Merge files, oldest first, into the one that `writer` gets, and return its header.

    Raises:
        UsageError: there are no files.
        PositionError: a file does not follow the one before it.
        LTXError: a file breaks the format, or they have different page sizes.
        ChecksumMismatchError: a file is not the one that was written.

    """
    decoders = [Decoder(reader) for reader in readers]
    header = compacted_header([decoder.header for decoder in decoders])
    encoder = Encoder(writer, header)
    for page in merge_pages(decoders):
        encoder.copy_page(page)
    encoder.close()
    return header


def compacted_header(headers: Sequence[Header]) -> Header:
    """Return the header of the file that these, oldest first, are merged into.

    It says nothing of a WAL, for the file is not a piece of one, and it tracks no database checksums.

    Raises:
        UsageError: there are no headers.
        PositionError: one does not follow the one before it.
        LTXError: they have different page sizes.

    """
    if not headers:
        msg = "expected one file or more to merge, got none"
        raise UsageError(msg)
    first, last = headers[0], headers[-1]
    for i, header in enumerate(headers[1:]):
        check_follows(headers[i], header)
    return Header(
        flags=NO_CHECKSUM_FLAG,
        page_size=first.page_size,
        commit=last.commit,
        min_txid=first.min_txid,
        max_txid=last.max_txid,
        timestamp_ms=last.timestamp_ms,
    )


def check_follows(previous: Header, header: Header) -> None:
    """Check that a file can be applied after another one, and leads further.

    Raises:
        PositionError: it begins too late, or ends too early.
        LTXError: it has another page size.

    """
    if header.min_txid > previous.max_txid + 1:
        msg = f"expected a file from TXID {previous.max_txid + 1} or before, got one from {header.min_txid}"
        raise PositionError(msg, expected=previous.max_txid + 1, actual=header.min_txid)
    if header.max_txid <= previous.max_txid:
        msg = f"expected a file to TXID {previous.max_txid + 1} or after, got one to {header.max_txid}"
        raise PositionError(msg, expected=previous.max_txid + 1, actual=header.max_txid)
    if header.page_size != previous.page_size:
        msg = f"expected pages of {previous.page_size} bytes, got {header.page_size}"
        raise LTXError(msg, min_txid=header.min_txid, max_txid=header.max_txid, offset=8)


def merge_pages(decoders: Sequence[Decoder]) -> Iterator[PageFrame]:
    """Yield the pages of the database after the last of these files, ascending, as far as the files hold them.

    When the last page has been taken, every file has been verified.
    """
    if not decoders:
        return
    commit = decoders[-1].header.commit
    last_pgno = 0
    # Of equal page numbers the one from the last file comes first; ages differ, so pages are never compared.
    for pgno, _, page in merge(*(_keyed(decoder, -age) for age, decoder in enumerate(decoders))):
        if last_pgno < pgno <= commit:
            last_pgno = pgno
            yield page


def _keyed(decoder: Decoder, order: int) -> Iterator[tuple[int, int, PageFrame]]:
    return ((page.pgno, order, page) for page in decoder)
