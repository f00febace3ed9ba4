"""Page frames: there and back in both forms, and nothing else accepted, however broken the bytes."""

import random
from collections.abc import Callable
from contextlib import suppress

import lz4.block  # type: ignore[import-untyped]
import lz4.frame  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import LTXError
from replication.ltx.page import (
    MAX_FRAME_SIZE,
    PAGE_HEADER,
    SIZE_FLAG,
    compressed_bound,
    decode_page,
    encode_page_frame,
)

Form = Callable[[int, bytes], bytes]

PAGE_SIZES = [2**bits for bits in range(9, 17)]
PGNOS = st.integers(1, 2**32 - 1)
PAGES = st.one_of(
    st.binary(min_size=512, max_size=512), st.binary(min_size=1, max_size=8).map(lambda part: (part * 512)[:512])
)
FRAME_OPTIONS = st.fixed_dictionaries(
    {
        "content_checksum": st.booleans(),
        "block_checksum": st.booleans(),
        "store_size": st.booleans(),
        "block_linked": st.booleans(),
    }
)


def old_frame(pgno: int, data: bytes, **options: bool) -> bytes:
    compressed: bytes = lz4.frame.compress(data, **options)
    return PAGE_HEADER.pack(pgno, 0) + compressed


@settings(deadline=None)
@given(PGNOS, PAGES)
def test_a_page_comes_back_from_its_frame(pgno: int, data: bytes) -> None:
    frame = encode_page_frame(pgno, data)
    assert decode_page(frame, 512, pgno) == data
    assert decode_page(memoryview(frame), 512, pgno) == data


@settings(deadline=None)
@given(PGNOS, PAGES, FRAME_OPTIONS)
def test_a_page_comes_back_from_the_older_form(pgno: int, data: bytes, options: dict[str, bool]) -> None:
    frame = old_frame(pgno, data, **options)
    assert decode_page(frame, 512, pgno) == data
    assert decode_page(memoryview(frame), 512, pgno) == data


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_pages_of_every_size_come_back_even_if_they_grow(page_size: int) -> None:
    data = random.Random(page_size).randbytes(page_size)  # noqa: S311
    frame = encode_page_frame(9, data)
    assert page_size < len(frame) <= 10 + compressed_bound(page_size) <= MAX_FRAME_SIZE
    assert decode_page(frame, page_size, 9) == data
    assert decode_page(old_frame(9, data), page_size, 9) == data


def test_the_frame_of_another_page_is_refused() -> None:
    with pytest.raises(LTXError, match="expected the frame of page 8, got that of page 7"):
        decode_page(encode_page_frame(7, bytes(512)), 512, 8)


@pytest.mark.parametrize("form", [encode_page_frame, old_frame])
@pytest.mark.parametrize("size", [0, 1, 511, 513, 1024, 2**20])
def test_a_page_of_another_size_is_refused(form: Form, size: int) -> None:
    with pytest.raises(LTXError):
        decode_page(form(7, bytes(size)), 512, 7)


@pytest.mark.parametrize("form", [encode_page_frame, old_frame])
def test_a_frame_of_another_length_is_refused(form: Form) -> None:
    frame = form(7, b"page" * 128)
    for end in range(len(frame)):
        with pytest.raises(LTXError):
            decode_page(frame[:end], 512, 7)
    for more in (b"\0", frame):
        with pytest.raises(LTXError):
            decode_page(frame + more, 512, 7)


@pytest.mark.parametrize("difference", [-1, 1, 256])
def test_a_frame_that_says_another_size_is_refused(difference: int) -> None:
    frame = encode_page_frame(7, bytes(512))
    size = int.from_bytes(frame[6:10], "big") + difference
    with pytest.raises(LTXError, match=f"expected {size} compressed bytes"):
        decode_page(frame[:6] + size.to_bytes(4, "big") + frame[10:], 512, 7)


def test_a_frame_with_a_flag_nobody_knows_is_refused() -> None:
    frame = bytearray(encode_page_frame(7, bytes(512)))
    frame[5] |= 2
    with pytest.raises(LTXError, match="page flags"):
        decode_page(bytes(frame), 512, 7)


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", PAGE_HEADER.pack(7, 0), PAGE_HEADER.pack(7, SIZE_FLAG)]))
def test_any_bytes_are_a_frame_or_refused(data: bytes, head: bytes) -> None:
    frame = head + data
    if head == PAGE_HEADER.pack(7, SIZE_FLAG):
        frame = head + len(data).to_bytes(4, "big") + data
    try:
        page = decode_page(frame, 512, 7)
    except LTXError:
        return
    assert len(page) == 512


@settings(deadline=None)
@given(st.integers(0, 200), st.binary(min_size=1, max_size=3), st.sampled_from([encode_page_frame, old_frame]))
def test_a_frame_with_changed_bytes_gives_a_page_or_is_refused(place: int, change: bytes, form: Form) -> None:
    frame = bytearray(form(7, b"some page" + bytes(494) + b"its other end"[:9]))
    place %= len(frame)
    frame[place : place + len(change)] = change
    with suppress(LTXError):
        assert len(decode_page(bytes(frame), 512, 7)) == 512
