"""Frame headers: there and back, and refused when cut short."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import WALError
from replication.position import Pgno
from replication.wal.checksum import Sums
from replication.wal.frame import (
    WAL_FRAME_HEADER_CHECKSUM_OFFSET,
    WAL_FRAME_HEADER_SIZE,
    WALFrame,
    WALFrameHeader,
)

HEADER = WALFrameHeader(pgno=Pgno(1), commit=2, salt1=3, salt2=4, sums=Sums(5, 6))


def test_the_fields_are_big_endian_and_in_this_order() -> None:
    data = HEADER.pack()
    assert data == b"".join(number.to_bytes(4, "big") for number in range(1, 7))
    assert data[WAL_FRAME_HEADER_CHECKSUM_OFFSET:] == bytes([0, 0, 0, 5, 0, 0, 0, 6])
    assert HEADER.salts == (3, 4)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_come_back_or_are_too_few(data: bytes) -> None:
    if len(data) < WAL_FRAME_HEADER_SIZE:
        with pytest.raises(WALError, match=f"got {len(data)}"):
            WALFrameHeader.unpack(data)
    else:
        assert WALFrameHeader.unpack(data).pack() == data[:WAL_FRAME_HEADER_SIZE]


@pytest.mark.parametrize("change", [{"commit": -1}, {"pgno": 2**32}, {"sums": Sums(0, 2**32)}])
def test_numbers_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WALError, match="fit"):
        replace(HEADER, **change).pack()


def test_a_frame_with_a_database_size_ends_a_transaction() -> None:
    assert WALFrame(Pgno(1), 1, b"", 32).is_commit
    assert not WALFrame(Pgno(1), 0, b"", 32).is_commit
