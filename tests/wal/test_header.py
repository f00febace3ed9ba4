"""WAL headers: those of SQLite byte for byte, any valid one there and back, and every broken one refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import WALError
from replication.wal.header import WAL_HEADER_CHECKSUM_OFFSET, WAL_HEADER_SIZE, WALHeader
from tests.support.wal_files import grow_and_shrink, write_wal

WORDS = st.integers(0, 2**32 - 1)
HEADERS = st.builds(
    WALHeader,
    byteorder=st.sampled_from(["little", "big"]),
    page_size=st.integers(9, 16).map(lambda bits: 2**bits),
    checkpoint_seq=WORDS,
    salt1=WORDS,
    salt2=WORDS,
).map(WALHeader.with_sums)

HEADER = WALHeader(byteorder="little", page_size=4096, checkpoint_seq=3, salt1=7, salt2=9).with_sums()


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_headers_of_sqlite_come_back_byte_for_byte(tmp_path: Path, page_size: int) -> None:
    wal = write_wal(tmp_path / "a.db", page_size, grow_and_shrink).wal
    header = WALHeader.unpack(wal)
    header.validate()
    assert header.pack() == wal[:WAL_HEADER_SIZE]
    assert header.page_size == page_size
    assert header.salts == (header.salt1, header.salt2)


@settings(deadline=None)
@given(HEADERS)
def test_any_valid_header_comes_back(header: WALHeader) -> None:
    header.validate()
    assert WALHeader.unpack(header.pack()) == header


@settings(deadline=None)
@given(st.binary(max_size=40) | st.binary(min_size=28).map(lambda rest: b"\x37\x7f\x06\x82" + rest))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    try:
        header = WALHeader.unpack(data)
        assert header.pack() == data[:WAL_HEADER_SIZE]
        header.validate()
    except WALError as error:
        assert error.offset is not None  # noqa: PT017 - either way is right


def test_a_header_that_is_cut_short_is_refused() -> None:
    for size in range(WAL_HEADER_SIZE):
        with pytest.raises(WALError) as caught:
            WALHeader.unpack(HEADER.pack()[:size])
        assert caught.value.offset == size


def test_every_flipped_byte_is_refused() -> None:
    for position in range(WAL_HEADER_SIZE):
        data = bytearray(HEADER.pack())
        data[position] ^= 1
        with pytest.raises(WALError):
            WALHeader.unpack(bytes(data)).validate()


@pytest.mark.parametrize(
    ("change", "offset"),
    [
        ({"page_size": 0}, 8),
        ({"page_size": 1}, 8),
        ({"page_size": 256}, 8),
        ({"page_size": 4095}, 8),
        ({"page_size": 131_072}, 8),
        ({"version": 3_007_001}, 4),
    ],
)
def test_what_sqlite_does_not_read_is_refused_though_the_checksum_is_right(change: dict[str, Any], offset: int) -> None:
    HEADER.validate()
    with pytest.raises(WALError) as caught:
        replace(HEADER, **change).with_sums().validate()
    assert caught.value.offset == offset


@pytest.mark.parametrize("change", [{"byteorder": "big"}, {"checkpoint_seq": 4}, {"salt1": 8}, {"salt2": 8}])
def test_a_header_with_the_checksum_of_another_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WALError, match="checksum") as caught:
        replace(HEADER, **change).validate()
    assert caught.value.offset == WAL_HEADER_CHECKSUM_OFFSET


@pytest.mark.parametrize("change", [{"salt1": -1}, {"page_size": 2**32}, {"checkpoint_seq": 2**32}])
def test_numbers_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WALError, match="fit"):
        replace(HEADER, **change).pack()
