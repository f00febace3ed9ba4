"""Making LTX files for tests: whole ones from a few words, and broken ones past every check of the encoder."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import replace

from replication.ltx.checksum import CHECKSUM_FLAG, crc64_iso
from replication.ltx.encoder import Encoder
from replication.ltx.header import HEADER_SIZE, NO_CHECKSUM_FLAG, Header
from replication.ltx.index import PageIndex, encode_page_index
from replication.ltx.page import BLOCK_HEADER_SIZE, END_OF_PAGES, encode_page_frame
from replication.ltx.trailer import Trailer
from replication.position import TXID


def make_header(min_txid: int, max_txid: int | None = None, *, commit: int, page_size: int = 512) -> Header:
    return Header(
        flags=NO_CHECKSUM_FLAG,
        page_size=page_size,
        commit=commit,
        min_txid=TXID(min_txid),
        max_txid=TXID(min_txid if max_txid is None else max_txid),
        timestamp_ms=1_700_000_000_000 + min_txid,
    )


def make_file(header: Header, pages: Mapping[int, bytes], post_apply_checksum: int = 0) -> bytes:
    """A file as the encoder writes it."""
    file = io.BytesIO()
    encoder = Encoder(file, header)
    for pgno in sorted(pages):
        encoder.encode_page(pgno, pages[pgno])
    encoder.close(post_apply_checksum)
    return file.getvalue()


def forge_file(
    header: Header,
    pages: Iterable[tuple[int, bytes]],
    *,
    frames: Iterable[bytes] | None = None,
    index: bytes | None = None,
    post_apply_checksum: int = 0,
) -> bytes:
    """A file with these very pages in this very order, and a right file checksum, whatever the rules say.

    `frames` are stored instead of the usual ones, `index` instead of the right one.
    """
    pages = list(pages)
    frames = [encode_page_frame(*page) for page in pages] if frames is None else list(frames)
    parts = [header.pack()]
    checked = [header.pack()]
    offsets = [HEADER_SIZE]
    for (_, data), frame in zip(pages, frames, strict=True):
        parts.append(frame)
        checked += [frame[: BLOCK_HEADER_SIZE if frame[5] else 6], data]
        offsets.append(offsets[-1] + len(frame))
    if index is None:
        index = encode_page_index(PageIndex.of([pgno for pgno, _ in pages], offsets))
    end = END_OF_PAGES + index + len(index).to_bytes(8, "big") + post_apply_checksum.to_bytes(8, "big")
    return b"".join([*parts, end, (CHECKSUM_FLAG | crc64_iso(b"".join([*checked, end]))).to_bytes(8, "big")])


def with_commit(header: Header, commit: int) -> Header:
    return replace(header, commit=commit)


def trailer_of(data: bytes) -> Trailer:
    return Trailer.unpack(data[-16:])
