"""Many page frames at once give what each gives alone, and a frame that is broken is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import LTXError
from replication.ltx.batch import PageBatch, decode_batch
from replication.ltx.checksum import crc64_iso
from replication.ltx.page import BLOCK_HEADER_SIZE, encode_page_frame
from tests.ltx.test_page import old_frame

PAGE_SIZE = 512
PAGES = st.dictionaries(
    st.integers(1, 2**32 - 1),
    st.binary(min_size=1, max_size=9).map(lambda part: (part * PAGE_SIZE)[:PAGE_SIZE])
    | st.binary(min_size=PAGE_SIZE, max_size=PAGE_SIZE),
    min_size=1,
)


def decode(frames: list[bytes], pgnos: list[int]) -> PageBatch:
    offsets = np.cumsum([100, *map(len, frames)]).astype(np.uint64)
    return decode_batch(b"".join(frames), np.array(pgnos, dtype=np.uint32), offsets, PAGE_SIZE)


@given(PAGES)
def test_pages_and_checksum_are_those_of_the_frames_one_by_one(pages: dict[int, bytes]) -> None:
    pgnos = sorted(pages)
    frames = [encode_page_frame(pgno, pages[pgno]) for pgno in pgnos]
    batch = decode(frames, pgnos)
    checked = b"".join(frame[:BLOCK_HEADER_SIZE] + pages[pgno] for frame, pgno in zip(frames, pgnos, strict=True))
    assert [row.tobytes() for row in batch.rows] == [pages[pgno] for pgno in pgnos]
    assert (batch.crc, batch.checked_size) == (crc64_iso(checked), len(checked))


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_pages_of_any_size_come_back_that_do_not_compress_too(page_size: int) -> None:
    pages = np.random.default_rng(page_size).integers(0, 256, (5, page_size), dtype=np.uint8)
    frames = [encode_page_frame(pgno, page.tobytes()) for pgno, page in enumerate(pages, 1)]
    offsets = np.cumsum([100, *map(len, frames)]).astype(np.uint64)
    batch = decode_batch(b"".join(frames), np.arange(1, 6, dtype=np.uint32), offsets, page_size)
    assert np.array_equal(batch.rows, pages)


def test_frames_of_the_older_form_may_be_among_them() -> None:
    frames = [old_frame(2, bytes(PAGE_SIZE)), encode_page_frame(7, b"7" * PAGE_SIZE)]
    assert [row.tobytes() for row in decode(frames, [2, 7]).rows] == [bytes(PAGE_SIZE), b"7" * PAGE_SIZE]


def test_blocks_that_are_a_page_each_only_on_average_are_refused() -> None:
    frames = [encode_page_frame(1, b"1" * (PAGE_SIZE - 1)), encode_page_frame(2, b"2" * (PAGE_SIZE + 1))]
    with pytest.raises(LTXError) as caught:
        decode(frames, [1, 2])
    assert caught.value.offset == 100


def test_a_broken_frame_is_named() -> None:
    frames = [encode_page_frame(pgno, bytes([pgno]) * PAGE_SIZE) for pgno in (1, 2, 3)]
    frames[1] = frames[1][:BLOCK_HEADER_SIZE] + b"\xff" * (len(frames[1]) - BLOCK_HEADER_SIZE)
    with pytest.raises(LTXError, match="page 2") as caught:
        decode(frames, [1, 2, 3])
    assert caught.value.offset == 100 + len(frames[0])
