"""Checksums against a bit-by-bit CRC, and the algebra that incremental database checksums rest on."""

from hypothesis import given, settings
from hypothesis import strategies as st

from replication.ltx.checksum import CHECKSUM_FLAG, crc64_iso, database_checksum, page_checksum

PAGES = st.dictionaries(st.integers(1, 2**32 - 1), st.binary(max_size=64), max_size=5)


def crc_bit_by_bit(data: bytes) -> int:
    crc = 2**64 - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xD800000000000000 if crc & 1 else 0)
    return crc ^ 2**64 - 1


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_crc_is_that_of_iso_3309_and_chains(data: bytes, cut: int) -> None:
    assert crc64_iso(data) == crc_bit_by_bit(data)
    assert crc64_iso(data[cut:], crc64_iso(data[:cut])) == crc64_iso(data)


@settings(deadline=None)
@given(st.integers(1, 2**32 - 1), st.binary(max_size=100))
def test_page_checksum_covers_number_and_bytes(pgno: int, data: bytes) -> None:
    assert page_checksum(pgno, data) == CHECKSUM_FLAG | crc_bit_by_bit(pgno.to_bytes(4, "big") + data)


@settings(deadline=None)
@given(PAGES, PAGES)
def test_database_checksum_follows_a_change_without_reading_the_other_pages(
    before: dict[int, bytes], change: dict[int, bytes]
) -> None:
    after = before | change
    whole = database_checksum(page_checksum(*page) for page in before.items())
    old = [page_checksum(pgno, before[pgno]) for pgno in change if pgno in before]
    new = [page_checksum(*page) for page in change.items()]
    assert database_checksum([whole, *old, *new]) == database_checksum(page_checksum(*page) for page in after.items())
