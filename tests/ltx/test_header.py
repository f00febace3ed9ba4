"""Headers: those of the real program byte for byte, any valid one there and back, and every broken one refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import LTXError
from replication.ltx.checksum import CHECKSUM_FLAG
from replication.ltx.header import HEADER_SIZE, NO_CHECKSUM_FLAG, Header, is_page_size
from replication.position import TXID
from tests.support.golden import FILES, NAMES, golden
from tests.support.ltx_files import make_header


@st.composite
def headers(draw: st.DrawFn) -> Header:
    min_txid, max_txid = sorted(draw(st.tuples(*[st.integers(1, 2**64 - 1)] * 2)))
    tracks = draw(st.booleans())
    pre_apply = CHECKSUM_FLAG | draw(st.integers(0, 2**63 - 1)) if tracks and min_txid > 1 else 0
    wal_offset = draw(st.integers(0, 2**63 - 1))
    return Header(
        flags=0 if tracks else NO_CHECKSUM_FLAG,
        page_size=2 ** draw(st.integers(9, 16)),
        commit=draw(st.integers(0, 2**32 - 1)),
        min_txid=TXID(min_txid),
        max_txid=TXID(max_txid),
        timestamp_ms=draw(st.integers(-(10**12), 10**14)),
        pre_apply_checksum=pre_apply,
        wal_offset=wal_offset,
        wal_size=draw(st.integers(0, 2**63 - 1)) if wal_offset else 0,
        wal_salt1=draw(st.integers(0, 2**32 - 1)) if wal_offset else 0,
        wal_salt2=draw(st.integers(0, 2**32 - 1)) if wal_offset else 0,
        node_id=draw(st.integers(0, 2**64 - 1)),
    )


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_headers_of_the_real_program_come_back_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    header = Header.unpack(data)
    header.validate()
    assert header.pack() == data[:HEADER_SIZE]
    assert f"{header.min_txid:016x}-{header.max_txid:016x}" == path.stem
    assert header.page_size == int(path.parts[-3].split("-")[1])
    assert header.is_snapshot == (header.min_txid == 1)
    assert not header.tracks_checksums


@settings(deadline=None)
@given(headers())
def test_any_valid_header_comes_back(header: Header) -> None:
    header.validate()
    assert Header.unpack(header.pack()) == header


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=120), st.binary(min_size=96, max_size=96).map(lambda rest: b"LTX1" + rest)))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    try:
        header = Header.unpack(data)
        header.validate()
    except LTXError:
        return
    assert Header.unpack(header.pack()) == header
    assert is_page_size(header.page_size)


def test_a_header_that_is_cut_short_is_refused() -> None:
    data = golden("leveled-4096", 0, 1, 1)
    for size in range(HEADER_SIZE):
        with pytest.raises(LTXError) as caught:
            Header.unpack(data[:size])
        assert caught.value.offset == size


@pytest.mark.parametrize(
    ("change", "offset"),
    [
        ({"flags": 1}, 4),
        ({"flags": 4 | NO_CHECKSUM_FLAG}, 4),
        ({"page_size": 0}, 8),
        ({"page_size": 256}, 8),
        ({"page_size": 4095}, 8),
        ({"page_size": 131_072}, 8),
        ({"min_txid": 0}, 16),
        ({"min_txid": 10}, 16),
        ({"max_txid": 0}, 16),
        ({"timestamp_ms": 2**62}, 32),
        ({"timestamp_ms": -(2**62)}, 32),
        ({"pre_apply_checksum": CHECKSUM_FLAG}, 40),
        ({"flags": 0}, 40),
        ({"flags": 0, "pre_apply_checksum": 5}, 40),
        ({"flags": 0, "min_txid": 1, "pre_apply_checksum": CHECKSUM_FLAG}, 40),
        ({"wal_offset": -1}, 48),
        ({"wal_offset": 32, "wal_size": -1}, 48),
        ({"wal_size": 1}, 48),
        ({"wal_salt1": 1}, 48),
        ({"wal_salt2": 1}, 48),
    ],
)
def test_fields_that_make_no_sense_together_are_refused(change: dict[str, Any], offset: int) -> None:
    header = make_header(8, 9, commit=3)
    header.validate()
    with pytest.raises(LTXError) as caught:
        replace(header, **change).validate()
    assert caught.value.offset == offset


@pytest.mark.parametrize("change", [{"flags": -1}, {"commit": 2**32}, {"node_id": 2**64}, {"wal_size": 2**63}])
def test_numbers_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(LTXError, match="fit"):
        replace(make_header(8, commit=3), **change).pack()


def test_the_lock_page_depends_on_the_page_size() -> None:
    assert make_header(8, commit=1, page_size=512).lock_pgno == 2_097_153
    assert make_header(8, commit=1, page_size=65_536).lock_pgno == 16_385
