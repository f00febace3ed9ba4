"""Many frames at once: the same sums as one after the other, whatever the page size and the byte order.

Planted in the code, each is found: the coefficients in the wrong order, or shifted by one; words of the salts counted;
the sums before taken from the same frame; the byte order ignored; frames behind a wrong one accepted; page number 0
accepted; one of the salts not compared.
"""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.wal.chain import FrameRun, check_frames
from replication.wal.checksum import NO_SUMS, ByteOrder, Sums, checksum
from replication.wal.header import Salts
from tests.support.wal_files import FRAME_HEADER_SIZE, HEADER_SIZE, SALTS, make_wal

ORDERS: list[ByteOrder] = ["little", "big"]
PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]


def random_wal(byteorder: ByteOrder, page_size: int, count: int) -> bytes:
    chance = random.Random(page_size)  # noqa: S311 - test data, not a secret
    frames = [(chance.randint(1, 2**32 - 1), chance.getrandbits(32), chance.randbytes(page_size)) for _ in range(count)]
    return make_wal(frames, page_size=page_size, byteorder=byteorder)


def check(wal: bytes, page_size: int, byteorder: ByteOrder) -> FrameRun:
    sums = Sums(*struct.unpack_from(">2I", wal, 24))
    return check_frames(wal[HEADER_SIZE:], page_size=page_size, byteorder=byteorder, salts=Salts(*SALTS), sums=sums)


@pytest.mark.parametrize("byteorder", ORDERS)
@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_the_sums_of_many_frames_are_those_of_one_after_the_other(page_size: int, byteorder: ByteOrder) -> None:
    wal = random_wal(byteorder, page_size, 5)
    run = check(wal, page_size, byteorder)
    assert len(run) == 5
    sums = Sums(*struct.unpack_from(">2I", wal, 24))
    for i in range(5):
        at = HEADER_SIZE + i * (FRAME_HEADER_SIZE + page_size)
        page = wal[at + FRAME_HEADER_SIZE : at + FRAME_HEADER_SIZE + page_size]
        sums = checksum(byteorder, *checksum(byteorder, *sums, wal[at : at + 8]), page)
        assert run.sums_after(i) == sums
        assert (run.pgnos[i], run.commits[i]) == struct.unpack_from(">2I", wal, at)


@settings(deadline=None)
@given(st.sampled_from(ORDERS), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_any_sums_before_and_any_words_are_followed(
    byteorder: ByteOrder, s0: int, s1: int, chance: random.Random
) -> None:
    extremes = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\x80"]
    page = b"".join(chance.choice([*extremes, chance.randbytes(4)]) for _ in range(128))
    head = struct.pack(">2I", chance.randint(1, 2**32 - 1), 0)
    sums = checksum(byteorder, s0, s1, head + page)
    frame = head + struct.pack(">4I", *SALTS, *sums) + page
    wrong = head + struct.pack(">4I", *SALTS, sums.s0, sums.s1 ^ 1 << chance.randrange(32)) + page
    for data, count in [(frame, 1), (wrong, 0)]:
        run = check_frames(data, page_size=512, byteorder=byteorder, salts=Salts(*SALTS), sums=Sums(s0, s1))
        assert len(run) == count


def test_nothing_behind_a_wrong_frame_counts_even_if_it_follows_from_it() -> None:
    wal = bytearray(random_wal("little", 512, 6))
    wal[HEADER_SIZE + 2 * 536 + 100] ^= 1
    assert len(check(bytes(wal), 512, "little")) == 2


@pytest.mark.parametrize("field", [8, 12])
def test_a_frame_with_another_salt_ends_the_run(field: int) -> None:
    wal = bytearray(random_wal("little", 512, 4))
    wal[HEADER_SIZE + 3 * 536 + field] ^= 1
    assert len(check(bytes(wal), 512, "little")) == 3


def test_page_number_0_ends_the_run_though_its_checksum_is_right() -> None:
    wal = make_wal([(1, 0, bytes(512)), (0, 1, bytes(512)), (2, 2, bytes(512))])
    assert len(check(wal, 512, "little")) == 1


def test_a_part_of_a_frame_at_the_end_is_left_out() -> None:
    wal = random_wal("little", 512, 2)
    for size in range(2 * 536):
        assert len(check(wal[: HEADER_SIZE + size], 512, "little")) == size // 536


def test_no_bytes_are_no_frames() -> None:
    assert len(check_frames(b"", page_size=512, byteorder="big", salts=Salts(*SALTS), sums=NO_SUMS)) == 0
