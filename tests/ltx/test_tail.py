"""Tails: the page index from the last bytes of a file, whatever their number, and nothing from a broken file."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import LTXError
from replication.ltx.decoder import decode_file
from replication.ltx.header import Header
from replication.ltx.page import decode_page
from replication.ltx.tail import MIN_TAIL_SIZE, decode_tail, tail_size
from tests.support.golden import FILES, NAMES, golden, mutated


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_page_of_a_real_file_is_found_through_its_tail(path: Path) -> None:
    data = path.read_bytes()
    header = Header.unpack(data)
    size = tail_size(data[-MIN_TAIL_SIZE:], len(data))
    index = decode_tail(data[-size:], len(data), header.commit)
    assert index == decode_tail(data, len(data)) == decode_file(data).index
    for pgno in index:
        span = index.find(pgno)
        assert span is not None
        assert len(decode_page(data[span.start : span.end], header.page_size, pgno)) == header.page_size


def test_less_than_the_tail_is_refused() -> None:
    data = golden("leveled-4096", 0, 1, 1)
    size = tail_size(data, len(data))
    for length in range(size):
        with pytest.raises(LTXError) as caught:
            decode_tail(data[len(data) - length :], len(data))
        assert caught.value.offset == len(data) - length


def test_a_file_of_another_size_is_refused() -> None:
    data = golden("leveled-4096", 0, 1, 1)
    for size in [0, 23, 24, 130, *range(len(data) - 50, len(data)), *range(len(data) + 1, len(data) + 50), 2**62]:
        with pytest.raises(LTXError):
            decode_tail(data, size)


def test_a_page_beyond_the_commit_is_refused() -> None:
    data = golden("leveled-4096", 0, 1, 1)
    assert len(decode_tail(data, len(data), 4)) == 4
    with pytest.raises(LTXError, match="expected pages up to 3, got page 4"):
        decode_tail(data, len(data), 3)


@settings(deadline=None)
@given(st.one_of(mutated(), st.binary(max_size=200)), st.integers(0, 2**64))
def test_any_bytes_are_a_tail_or_refused(data: bytes, file_size: int) -> None:
    for size in (len(data), file_size):
        try:
            index = decode_tail(data, size)
        except LTXError:
            continue
        assert 100 <= index.end < size


def test_an_index_size_is_bounded_before_use() -> None:
    data = golden("leveled-4096", 0, 1, 1)
    for claimed in [0, len(data), 2**32, 2**64 - 1]:
        broken = data[:-24] + claimed.to_bytes(8, "big") + data[-16:]
        with pytest.raises(LTXError, match="expected a page index of 1 to"):
            tail_size(broken, len(broken))
