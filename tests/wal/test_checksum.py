"""The checksum, one pair of words after the other, against a plain rendering of its definition."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import UsageError
from replication.wal.checksum import ByteOrder, checksum, wal_checksum
from tests.support.wal_files import sums_by_definition

ORDERS: list[ByteOrder] = ["little", "big"]
WORDS = st.integers(0, 2**32 - 1)
PAIRS = st.integers(0, 30).flatmap(lambda count: st.binary(min_size=8 * count, max_size=8 * count))


@settings(deadline=None)
@given(st.sampled_from(ORDERS), WORDS, WORDS, PAIRS)
def test_the_sums_are_those_of_the_definition(byteorder: ByteOrder, s0: int, s1: int, data: bytes) -> None:
    assert checksum(byteorder, s0, s1, data) == sums_by_definition(byteorder, s0, s1, data)


@settings(deadline=None)
@given(st.sampled_from(ORDERS), PAIRS, PAIRS)
def test_the_sums_go_on_where_they_ended(byteorder: ByteOrder, first: bytes, second: bytes) -> None:
    assert checksum(byteorder, *checksum(byteorder, 0, 0, first), second) == checksum(byteorder, 0, 0, first + second)


def test_the_byte_order_matters() -> None:
    assert checksum("little", 0, 0, bytes([1, 0, 0, 0, 2, 0, 0, 0])) == (1, 3)
    assert checksum("big", 0, 0, bytes([1, 0, 0, 0, 2, 0, 0, 0])) == (0x01000000, 0x03000000)


@pytest.mark.parametrize("size", [1, 4, 7, 9, 12])
def test_half_a_pair_of_words_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match=f"got {size}"):
        checksum("little", 0, 0, bytes(size))


def test_both_names_mean_the_same() -> None:
    assert wal_checksum is checksum
