"""Page indexes: against a plain reference decoder, look-ups against a dict, and every impossible index refused."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import LTXError
from replication.ltx import index as index_module
from replication.ltx.index import FrameSpan, PageIndex, decode_page_index, encode_page_index
from replication.ltx.page import MAX_FRAME_SIZE


@st.composite
def indexes(draw: st.DrawFn) -> PageIndex:
    pgnos = sorted(draw(st.sets(st.one_of(st.integers(1, 300), st.integers(1, 2**32 - 1)), max_size=60)))
    sizes = draw(st.lists(st.integers(7, MAX_FRAME_SIZE), min_size=len(pgnos), max_size=len(pgnos)))
    return PageIndex.of(pgnos, np.cumsum([100, *sizes]))


def varints(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0
    assert shift == 0


def encode_varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def encode_entries(*entries: tuple[int, int, int]) -> bytes:
    return b"".join(encode_varint(value) for entry in entries for value in entry) + b"\0"


@pytest.mark.parametrize("chunk_size", [1 << 18, 40, 27])
@settings(deadline=None)
@given(index=indexes())
def test_an_index_is_stored_as_varints_and_comes_back(chunk_size: int, index: PageIndex) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "_CHUNK_SIZE", chunk_size)
        patch.setattr(index_module, "_CHUNK_PAGES", chunk_size)
        data = encode_page_index(index)
        offsets = index.offsets.tolist()
        entries = zip(index, offsets[:-1], np.diff(offsets).tolist(), strict=True)
        assert data == encode_entries(*entries)
        assert list(varints(data))[:-1:3] == list(index)
        assert decode_page_index(data) == index


@settings(deadline=None)
@given(indexes(), st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_look_ups_agree_with_a_dict(index: PageIndex, others: list[int]) -> None:
    offsets = index.offsets.tolist()
    expected = {pgno: FrameSpan(offsets[i], offsets[i + 1]) for i, pgno in enumerate(index)}
    assert len(index) == len(expected)
    for pgno in [*expected, *others, *(pgno + 1 for pgno in expected), *(pgno - 1 for pgno in expected)]:
        assert index.find(pgno) == expected.get(pgno)
        assert (pgno in index) == (pgno in expected)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda data: data + b"\0")))
def test_any_bytes_are_an_index_or_refused(data: bytes) -> None:
    try:
        index = decode_page_index(data)
    except LTXError:
        return
    assert decode_page_index(encode_page_index(index)) == index


@settings(deadline=None)
@given(indexes(), st.data())
def test_an_index_with_one_changed_byte_is_another_index_or_refused(index: PageIndex, data: st.DataObject) -> None:
    stored = bytearray(encode_page_index(index))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode_page_index(bytes(stored))
    except LTXError:
        return
    assert list(changed) == sorted(set(changed))
    assert changed.offsets[0] == 100
    assert (np.diff(changed.offsets) <= MAX_FRAME_SIZE).all()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"", "end with a zero"),
        (b"\1", "end with a zero"),
        (b"\0\0", "three varints"),
        (b"\1\0", "three varints"),
        (b"\x80\0", "three varints"),
        (encode_entries((1, 100, 50))[:-1] + b"\x80\0", "three varints"),
        (encode_entries((1, 100, 50)) + b"\0", "three varints"),
        (encode_entries((0, 100, 50)), "ascend"),
        (encode_entries((2, 100, 50), (1, 150, 50)), "ascend"),
        (encode_entries((2, 100, 50), (2, 150, 50)), "ascend"),
        (encode_entries((2**32, 100, 50)), "ascend"),
        (encode_entries((1, 99, 50)), "without gaps from byte 100"),
        (encode_entries((1, 101, 50)), "without gaps"),
        (encode_entries((1, 100, 50), (2, 149, 50)), "without gaps"),
        (encode_entries((1, 100, 50), (2, 151, 50)), "without gaps"),
        (encode_entries((1, 100, 6)), "page frames of"),
        (encode_entries((1, 100, 0)), "page frames of"),
        (encode_entries((1, 100, MAX_FRAME_SIZE + 1)), "page frames of"),
        (encode_entries((1, 100, 2**62)), "page frames of"),
        (encode_entries((1, 2**64 - 1, 50)), "varints of 9 bytes"),
        (b"\x80" * 9 + b"\1\1\1\0", "varints of 9 bytes"),
        (b"\xff" * 300_000 + b"\0", "three varints"),
    ],
)
def test_an_index_that_no_file_can_have_is_refused(stored: bytes, message: str) -> None:
    with pytest.raises(LTXError, match=message) as caught:
        decode_page_index(stored, offset=5000)
    assert caught.value.offset is not None
    assert 5000 <= caught.value.offset <= 5000 + len(stored)


def test_the_order_is_checked_across_chunks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_CHUNK_SIZE", 12)
    entries = [(pgno, 100 + 50 * (pgno - 1), 50) for pgno in range(1, 20)]
    assert list(decode_page_index(encode_entries(*entries))) == list(range(1, 20))
    for i in range(1, 19):
        for broken in [(entries[i][0] - 1, *entries[i][1:]), (entries[i][0], entries[i][1] + 1, 50)]:
            with pytest.raises(LTXError):
                decode_page_index(encode_entries(*entries[:i], broken, *entries[i + 1 :]))


def test_an_index_holds_twelve_bytes_a_page_and_cannot_be_changed() -> None:
    data = encode_page_index(PageIndex.of(range(1, 100_001), range(100, 100 + 100_001 * 50, 50)))
    index = decode_page_index(data)
    assert (index.pgnos.nbytes, index.offsets.nbytes) == (4 * 100_000, 8 * 100_001)
    assert index.pgnos.base is None
    assert index.offsets.base is None
    with pytest.raises(ValueError, match="read-only"):
        index.pgnos[0] = 7
    with pytest.raises(ValueError, match="read-only"):
        index.offsets[0] = 7


@pytest.mark.parametrize(
    ("pgnos", "offsets"), [([1, 2], [100, 150]), ([2, 1], [100, 150, 200]), ([1], [99, 150]), ([1], [150, 100])]
)
def test_lists_that_are_no_index_are_refused(pgnos: list[int], offsets: list[int]) -> None:
    with pytest.raises(LTXError):
        PageIndex.of(pgnos, offsets)


def test_a_complete_index_has_every_page_but_the_lock_page() -> None:
    def index(*pgnos: int) -> PageIndex:
        return PageIndex.of(pgnos, range(100, 100 + 50 * (len(pgnos) + 1), 50))

    assert index().is_complete(0, 65_536)
    assert index(1, 2, 3).is_complete(3, 65_536)
    assert not index(1, 2, 3).is_complete(4, 65_536)
    assert not index(1, 2, 3).is_complete(2, 65_536)
    assert not index(1, 2, 4).is_complete(3, 65_536)
    lock = 16_385
    assert index(*range(1, lock)).is_complete(lock, 65_536)
    assert index(*range(1, lock)).is_complete(lock - 1, 65_536)
    assert index(*range(1, lock), lock + 1).is_complete(lock + 1, 65_536)
    assert not index(*range(1, lock + 1)).is_complete(lock, 65_536)
    assert not index(*range(1, lock + 1)).is_complete(lock + 1, 65_536)
