"""Whole files: those of the real program are accepted, and whatever differs from them is refused.

The rules are tried one by one on forged files, whose checksums are right, so that only the rule can refuse them.
Bugs planted to try these tests: each check of the decoder and of the page order left out, one after the other.
"""

import hashlib
import io
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import ChecksumMismatchError, CorruptError, LTXError
from replication.ltx.checksum import CHECKSUM_FLAG, database_checksum, page_checksum
from replication.ltx.decoder import Decoder, decode_file
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.ltx.index import PageIndex, encode_page_index
from replication.ltx.page import PAGE_HEADER, SIZE_FLAG, encode_page_frame
from tests.support.golden import FILES, GOLDEN, NAMES, golden, mutated
from tests.support.ltx_files import forge_file, make_file, make_header

SNAPSHOT = make_header(1, commit=3)
CHANGE = make_header(8, commit=3)
PAGES = {pgno: bytes([pgno]) * 512 for pgno in range(1, 4)}
SMALL = golden("leveled-4096", 0, 2, 2)


class SlowReader(io.BytesIO):
    """Gives one byte at a time, as a socket may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 1))


def pages_of(data: bytes) -> dict[int, bytes]:
    return {page.pgno: page.data for page in Decoder(io.BytesIO(data))}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_of_the_real_program_are_accepted(path: Path) -> None:
    data = path.read_bytes()
    decoded = decode_file(data)
    assert list(decoded.index) == list(pages_of(data))
    assert decoded.trailer.pack() == data[-16:]


@pytest.mark.parametrize("directory", ["leveled-4096", "vacuumed-512", "large-65536"])
def test_applying_the_files_gives_the_database_the_real_program_restores(directory: str) -> None:
    database = bytearray()
    for path in sorted((GOLDEN / directory / "0").iterdir()):
        decoder = Decoder(io.BytesIO(path.read_bytes()))
        size = decoder.header.page_size
        database = bytearray(database.ljust(decoder.header.commit * size, b"\0")[: decoder.header.commit * size])
        for page in decoder:
            database[(page.pgno - 1) * size : page.pgno * size] = page.data
    assert hashlib.sha256(database).hexdigest() == (GOLDEN / directory / "restored.sha256").read_text().strip()


def test_a_reader_may_give_less_than_it_is_asked_for() -> None:
    assert [page.pgno for page in Decoder(SlowReader(golden("leveled-4096", 0, 1, 1)))] == [1, 2, 3, 4]


def test_a_loop_can_be_left_and_taken_up_again() -> None:
    decoder = Decoder(io.BytesIO(make_file(SNAPSHOT, PAGES)))
    assert next(iter(decoder)).pgno == 1
    assert not hasattr(decoder, "trailer")
    assert [page.pgno for page in decoder] == [2, 3]
    assert decoder.trailer.file_checksum & CHECKSUM_FLAG


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_that_is_cut_short_anywhere_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for size in range(len(data)):
        with pytest.raises(LTXError):
            decode_file(data[:size])


@pytest.mark.parametrize("more", [b"\0", bytes(1000), SMALL])
def test_a_file_that_goes_on_is_refused(more: bytes) -> None:
    with pytest.raises(CorruptError):
        decode_file(SMALL + more)


def test_a_file_that_goes_on_for_ever_is_not_read_for_ever() -> None:
    reader = io.BytesIO(SMALL + bytes(10**6))
    with pytest.raises(LTXError, match="expected 55 bytes after the pages at most, got more"):
        Decoder(reader).verify()
    assert reader.tell() < len(SMALL) + 100


@pytest.mark.parametrize(
    "frame",
    [
        PAGE_HEADER.pack(1, SIZE_FLAG) + b"\xff" * 4,
        PAGE_HEADER.pack(1, 0) + b"\x04\x22\x4d\x18\x40\x40\0" + b"\xff" * 4,
        PAGE_HEADER.pack(1, 0) + b"\x04\x22\x4d\x18\x40\x40\0" + (b"\1\0\1\0" + bytes(65_537)) * 2,
    ],
)
def test_a_page_frame_without_end_is_not_read_to_it(frame: bytes) -> None:
    reader = io.BytesIO(SNAPSHOT.pack() + frame + bytes(10**6))
    with pytest.raises(LTXError, match="at most"):
        Decoder(reader).verify()
    assert reader.tell() <= 100 + len(frame)


def test_a_changed_byte_is_refused_unless_every_page_is_the_same() -> None:
    expected = pages_of(SMALL)
    header, index = decode_file(SMALL).header, decode_file(SMALL).index
    for place in range(len(SMALL)):
        inside_the_block = 110 <= place < index.end
        for change in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            data = SMALL[:place] + bytes([SMALL[place] ^ change]) + SMALL[place + 1 :]
            try:
                decoded = decode_file(data)
            except CorruptError:
                continue
            assert inside_the_block, f"byte {place} changed by {change:#x}"
            assert (decoded.header, decoded.index, pages_of(data)) == (header, index, expected)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_flipped_bit_is_refused_unless_every_page_is_the_same(path: Path) -> None:
    original = path.read_bytes()
    for place in range(len(original)):
        data = original[:place] + bytes([original[place] ^ 1 << place % 8]) + original[place + 1 :]
        with suppress(CorruptError):
            assert pages_of(data) == pages_of(original)


@settings(deadline=None)
@given(st.one_of(mutated(), st.binary(max_size=300), st.binary(max_size=100).map(lambda rest: SMALL[:100] + rest)))
def test_any_bytes_are_a_file_or_refused(data: bytes) -> None:
    try:
        decoded = decode_file(data)
    except CorruptError:
        return
    assert list(decoded.index) == list(pages_of(data))


def test_a_forged_file_without_a_fault_is_accepted() -> None:
    assert pages_of(forge_file(SNAPSHOT, PAGES.items())) == PAGES
    assert forge_file(SNAPSHOT, PAGES.items()) == make_file(SNAPSHOT, PAGES)
    assert pages_of(forge_file(CHANGE, [(2, PAGES[2])])) == {2: PAGES[2]}
    assert pages_of(forge_file(CHANGE, [])) == {}


@pytest.mark.parametrize("content_checksum", [False, True])
@pytest.mark.parametrize("block_checksum", [False, True])
@pytest.mark.parametrize("store_size", [False, True])
def test_pages_of_the_older_form_are_accepted(
    *, content_checksum: bool, block_checksum: bool, store_size: bool
) -> None:
    frames = [
        PAGE_HEADER.pack(pgno, 0)
        + lz4.frame.compress(
            data, content_checksum=content_checksum, block_checksum=block_checksum, store_size=store_size
        )
        for pgno, data in PAGES.items()
    ]
    assert pages_of(forge_file(SNAPSHOT, PAGES.items(), frames=frames)) == PAGES


@pytest.mark.parametrize(
    ("header", "pgnos", "message"),
    [
        (SNAPSHOT, [2, 3], "expected page 1 of a snapshot, got page 2"),
        (SNAPSHOT, [1, 3], "expected page 2 of a snapshot, got page 3"),
        (SNAPSHOT, [1, 2], "an end before page 3"),
        (SNAPSHOT, [], "an end before page 1"),
        (SNAPSHOT, [1, 2, 3, 4], "expected pages up to 3, got page 4"),
        (CHANGE, [4], "expected pages up to 3, got page 4"),
        (CHANGE, [2, 1], "expected a page above 2, got page 1"),
        (CHANGE, [2, 2], "expected a page above 2, got page 2"),
        (replace(CHANGE, commit=2**32 - 1), [2_097_153], "every page but the lock page"),
    ],
)
def test_pages_in_a_wrong_place_are_refused(header: Header, pgnos: list[int], message: str) -> None:
    index = encode_page_index(PageIndex.of([1], [100, 150]))
    data = forge_file(header, [(pgno, bytes(512)) for pgno in pgnos], index=index)
    with pytest.raises(LTXError, match=message) as caught:
        decode_file(data)
    assert caught.value.max_txid == header.max_txid
    assert caught.value.offset is not None


def test_a_page_of_another_size_than_the_header_says_is_refused() -> None:
    with pytest.raises(LTXError):
        decode_file(forge_file(CHANGE, [(2, bytes(511))]))


def test_an_index_that_does_not_fit_the_frames_is_refused() -> None:
    frames = [encode_page_frame(*page) for page in PAGES.items()]
    ends = [100, 100 + len(frames[0]), 100 + len(frames[0] + frames[1]), 100 + len(b"".join(frames))]
    for pgnos, offsets in [([1, 2], [100, 108, ends[3]]), ([1, 2, 3], [100, 110, 120, ends[3]]), ([3], [100, ends[3]])]:
        data = forge_file(SNAPSHOT, PAGES.items(), index=encode_page_index(PageIndex.of(pgnos, offsets)))
        with pytest.raises(LTXError):
            decode_file(data)
    other = encode_page_index(PageIndex.of([1, 2, 3], [100, ends[1] + 1, ends[2], ends[3]]))
    with pytest.raises(LTXError, match="expected the page index to say where the page frames are"):
        decode_file(forge_file(SNAPSHOT, PAGES.items(), index=other))


def test_a_wrong_file_checksum_is_told_from_a_broken_format() -> None:
    data = SMALL[:-1] + bytes([SMALL[-1] ^ 1])
    with pytest.raises(ChecksumMismatchError) as caught:
        decode_file(data)
    assert caught.value.expected == int.from_bytes(data[-8:], "big")
    assert caught.value.actual == int.from_bytes(SMALL[-8:], "big")


def test_a_database_checksum_that_is_tracked_must_be_right_in_a_snapshot() -> None:
    header = replace(SNAPSHOT, flags=0)
    right = database_checksum(page_checksum(*page) for page in PAGES.items())
    assert decode_file(make_file(header, PAGES, right)).trailer.post_apply_checksum == right
    with pytest.raises(ChecksumMismatchError) as caught:
        decode_file(make_file(header, PAGES, right ^ 1))
    assert (caught.value.expected, caught.value.actual) == (right ^ 1, right)
    with pytest.raises(LTXError, match="flagged post-apply checksum"):
        decode_file(forge_file(header, PAGES.items()))


def test_a_database_checksum_cannot_be_checked_against_a_part_of_the_pages() -> None:
    header = replace(CHANGE, flags=CHANGE.flags & ~NO_CHECKSUM_FLAG, pre_apply_checksum=CHECKSUM_FLAG | 7)
    data = make_file(header, {2: PAGES[2]}, CHECKSUM_FLAG | 9)
    assert decode_file(data).trailer.post_apply_checksum == CHECKSUM_FLAG | 9
