"""The encoder: what it writes is what the real program writes, and what no file may hold it refuses."""

import io
from dataclasses import replace
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import LTXError
from replication.ltx.checksum import CHECKSUM_FLAG
from replication.ltx.decoder import Decoder, decode_file
from replication.ltx.encoder import Encoder
from replication.ltx.header import Header
from replication.ltx.page import PAGE_HEADER, PageFrame
from replication.position import Pgno
from tests.support.golden import FILES, NAMES
from tests.support.ltx_files import make_file, make_header

PAGES = st.dictionaries(st.integers(1, 50), st.binary(min_size=1, max_size=9).map(lambda part: (part * 512)[:512]))


def encode_again(data: bytes, *, copy: bool) -> bytes:
    decoder = Decoder(io.BytesIO(data))
    file = io.BytesIO()
    encoder = Encoder(file, decoder.header)
    for page in decoder:
        if copy:
            encoder.copy_page(page)
        else:
            encoder.encode_page(page.pgno, page.data)
    encoder.close(decoder.trailer.post_apply_checksum)
    return file.getvalue()


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_of_the_real_program_come_back_byte_for_byte_from_their_own_blocks(path: Path) -> None:
    data = path.read_bytes()
    assert encode_again(data, copy=True) == data


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_compressing_again_changes_nothing_but_the_blocks(path: Path) -> None:
    data = path.read_bytes()
    again = encode_again(data, copy=False)
    assert decode_file(again).header == decode_file(data).header
    pages = list(Decoder(io.BytesIO(data)))
    assert list(Decoder(io.BytesIO(again))) == pages
    for old, new in zip(pages, Decoder(io.BytesIO(again)), strict=True):
        assert old.stored[:6] == new.stored[:6]


@settings(deadline=None)
@given(PAGES)
def test_pages_come_back(pages: dict[int, bytes]) -> None:
    data = make_file(make_header(8, 9, commit=50), pages)
    decoder = Decoder(io.BytesIO(data))
    assert {page.pgno: page.data for page in decoder} == pages
    assert decoder.index.end < len(data)


def test_a_page_of_the_older_form_is_stored_in_the_newer_one() -> None:
    page = bytes(512)
    old = PageFrame(Pgno(2), page, PAGE_HEADER.pack(2, 0) + lz4.frame.compress(page))
    for frame in (old, PageFrame(Pgno(2), page)):
        file = io.BytesIO()
        encoder = Encoder(file, make_header(8, commit=2))
        encoder.copy_page(frame)
        encoder.close()
        assert file.getvalue() == make_file(make_header(8, commit=2), {2: page})


@given(PAGES.filter(bool), st.integers(1, 50))
def test_many_pages_at_once_are_written_as_one_by_one(pages: dict[int, bytes], step: int) -> None:
    file = io.BytesIO()
    encoder = Encoder(file, make_header(8, 9, commit=50))
    pgnos = sorted(pages)
    for first in range(0, len(pgnos), step):
        some = pgnos[first : first + step]
        encoder.encode_pages(some, b"".join(pages[pgno] for pgno in some))
    encoder.close()
    assert file.getvalue() == make_file(make_header(8, 9, commit=50), pages)


@pytest.mark.parametrize(
    ("pgnos", "size", "message"),
    [([1, 3, 2], 1536, "page above 3"), ([1, 2], 1023, "2 pages of 512 bytes"), ([1, 2, 4], 1536, "pages up to 3")],
)
def test_of_many_pages_none_may_be_wrong(pgnos: list[int], size: int, message: str) -> None:
    file = io.BytesIO()
    encoder = Encoder(file, make_header(8, commit=3))
    with pytest.raises(LTXError, match=message):
        encoder.encode_pages(pgnos, bytes(size))
    assert file.tell() == 100


def test_the_size_is_known_while_writing() -> None:
    file = io.BytesIO()
    encoder = Encoder(file, make_header(1, commit=2))
    for pgno in (1, 2):
        encoder.encode_page(pgno, bytes(512))
        assert encoder.size == len(file.getvalue())


@pytest.mark.parametrize(
    ("pgnos", "message"),
    [([0], "page above 0"), ([2, 2], "page above 2"), ([2, 1], "page above 2"), ([4], "pages up to 3")],
)
def test_a_page_in_a_wrong_place_is_refused(pgnos: list[int], message: str) -> None:
    encoder = Encoder(io.BytesIO(), make_header(8, commit=3))
    for pgno in pgnos[:-1]:
        encoder.encode_page(pgno, bytes(512))
    with pytest.raises(LTXError, match=message):
        encoder.encode_page(pgnos[-1], bytes(512))


def test_the_lock_page_is_refused() -> None:
    encoder = Encoder(io.BytesIO(), make_header(8, commit=2**32 - 1))
    encoder.encode_page(2_097_152, bytes(512))
    with pytest.raises(LTXError, match="lock page"):
        encoder.encode_page(2_097_153, bytes(512))
    encoder.encode_page(2_097_154, bytes(512))


def test_a_snapshot_without_all_pages_is_refused() -> None:
    encoder = Encoder(io.BytesIO(), make_header(1, commit=3))
    with pytest.raises(LTXError, match="page 1 of a snapshot"):
        encoder.encode_page(2, bytes(512))
    encoder.encode_page(1, bytes(512))
    with pytest.raises(LTXError, match="an end before page 2"):
        encoder.close()


@pytest.mark.parametrize("size", [0, 511, 513])
def test_a_page_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(LTXError, match="expected 512 bytes in page 1"):
        Encoder(io.BytesIO(), make_header(8, commit=3)).encode_page(1, bytes(size))


def test_a_header_that_makes_no_sense_is_refused_before_anything_is_written() -> None:
    file = io.BytesIO()
    with pytest.raises(LTXError):
        Encoder(file, make_header(8, 7, commit=3))
    assert file.getvalue() == b""


def test_a_closed_encoder_writes_no_more() -> None:
    encoder = Encoder(io.BytesIO(), make_header(8, commit=3))
    encoder.close()
    with pytest.raises(LTXError, match="closed"):
        encoder.encode_page(1, bytes(512))
    with pytest.raises(LTXError, match="closed"):
        encoder.close()


def tracked(header: Header) -> Header:
    return replace(header, flags=0, pre_apply_checksum=0 if header.is_snapshot else CHECKSUM_FLAG | 5)


def test_an_empty_database_needs_an_empty_checksum_that_is_tracked() -> None:
    assert decode_file(make_file(tracked(make_header(8, commit=0)), {}, CHECKSUM_FLAG)).header.commit == 0
    for header, checksum in [(tracked(make_header(8, commit=0)), CHECKSUM_FLAG | 1), (make_header(8, commit=0), 0)]:
        with pytest.raises(LTXError, match="of no pages"):
            make_file(header, {}, checksum)


def test_a_database_checksum_must_be_there_exactly_where_it_is_tracked() -> None:
    for header, checksum in [(tracked(make_header(8, commit=3)), 0), (make_header(8, commit=3), CHECKSUM_FLAG | 1)]:
        with pytest.raises(LTXError, match="post-apply checksum"):
            make_file(header, {}, checksum)
