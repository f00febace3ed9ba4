"""Merging: byte for byte as the real program does, and in effect the same as applying the files one after another.

Bugs planted to try these tests: the oldest version wins, pages beyond the commit kept, the first file's time or commit.
"""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import CorruptError, LTXError, PositionError, UsageError
from replication.ltx.compactor import compact, compacted_header, merge_pages
from replication.ltx.decoder import Decoder, decode_file
from replication.ltx.header import NO_CHECKSUM_FLAG
from tests.support.golden import golden
from tests.support.ltx_files import make_file, make_header


def merge(*files: bytes) -> bytes:
    merged = io.BytesIO()
    header = compact([io.BytesIO(file) for file in files], merged)
    assert decode_file(merged.getvalue()).header == header
    return merged.getvalue()


def pages_of(data: bytes) -> dict[int, bytes]:
    return {page.pgno: page.data for page in Decoder(io.BytesIO(data))}


def apply(database: dict[int, bytes], data: bytes) -> dict[int, bytes]:
    commit = Decoder(io.BytesIO(data)).header.commit
    return {pgno: page for pgno, page in (database | pages_of(data)).items() if pgno <= commit}


@pytest.mark.parametrize(
    ("directory", "output", "inputs"),
    [
        ("leveled-4096", (1, 1, 2), [(0, 1, 1), (0, 2, 2)]),
        ("leveled-4096", (1, 3, 4), [(0, 3, 3), (0, 4, 4)]),
        ("leveled-4096", (2, 1, 4), [(1, 1, 2), (1, 3, 4)]),
        ("leveled-4096", (2, 1, 4), [(0, txid, txid) for txid in range(1, 5)]),
        ("vacuumed-512", (1, 1, 4), [(0, txid, txid) for txid in range(1, 5)]),
    ],
)
def test_the_real_program_merges_to_the_same_bytes(
    directory: str, output: tuple[int, int, int], inputs: list[tuple[int, int, int]]
) -> None:
    assert merge(*(golden(directory, *file) for file in inputs)) == golden(directory, *output)


@st.composite
def chains(draw: st.DrawFn) -> list[bytes]:
    """A few files, each following the one before it, overlapping now and then, of a database that grows and shrinks."""
    files = []
    max_txid, commit = 4, draw(st.integers(1, 8))
    for number in range(draw(st.integers(1, 5))):
        min_txid = max_txid + 1 - draw(st.integers(0, 2))
        max_txid += draw(st.integers(1, 3))
        grown = range(commit + 1, (commit := draw(st.integers(1, 8))) + 1)
        changed = draw(st.sets(st.integers(1, commit))) | set(grown)
        pages = {pgno: bytes([number, pgno]) * 256 for pgno in changed}
        files.append(make_file(make_header(min_txid, max_txid, commit=commit), pages))
    return files


@settings(deadline=None)
@given(chains(), st.dictionaries(st.integers(1, 9), st.just(bytes(512))))
def test_a_merged_file_has_the_effect_of_its_parts(files: list[bytes], database: dict[int, bytes]) -> None:
    expected = database
    for file in files:
        expected = apply(expected, file)
    assert apply(database, merge(*files)) == expected


@settings(deadline=None)
@given(chains(), st.data())
def test_merging_in_two_steps_gives_the_same_bytes(files: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(files)))
    assert merge(merge(*files[:cut]), *files[cut:]) == merge(*files)


def test_the_header_speaks_of_the_whole_range_and_of_no_wal() -> None:
    header = Decoder(io.BytesIO(merge(golden("leveled-4096", 0, 3, 3), golden("leveled-4096", 0, 4, 4)))).header
    last = Decoder(io.BytesIO(golden("leveled-4096", 0, 4, 4))).header
    assert (header.min_txid, header.max_txid, header.flags) == (3, 4, NO_CHECKSUM_FLAG)
    assert (header.commit, header.timestamp_ms) == (last.commit, last.timestamp_ms)
    assert (header.wal_offset, header.wal_size, header.wal_salt1, header.wal_salt2, header.node_id) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("first", "second", "expected", "actual"),
    [((1, 3), (5, 6), 4, 5), ((1, 3), (2, 3), 4, 3), ((1, 3), (1, 2), 4, 2), ((4, 6), (1, 3), 7, 3)],
)
def test_files_that_do_not_follow_one_another_are_refused(
    first: tuple[int, int], second: tuple[int, int], expected: int, actual: int
) -> None:
    headers = [make_header(*first, commit=3), make_header(*second, commit=3)]
    with pytest.raises(PositionError) as caught:
        compacted_header(headers)
    assert (caught.value.expected, caught.value.actual) == (expected, actual)


@pytest.mark.parametrize("second", [(4, 4), (4, 9), (2, 4), (1, 4)])
def test_files_may_overlap_as_long_as_each_leads_further(second: tuple[int, int]) -> None:
    header = compacted_header([make_header(1, 3, commit=3), make_header(*second, commit=5)])
    assert (header.min_txid, header.max_txid, header.commit) == (1, second[1], 5)


def test_files_of_different_page_sizes_are_refused() -> None:
    with pytest.raises(LTXError, match="expected pages of 4096 bytes, got 512"):
        merge(golden("leveled-4096", 0, 1, 1), golden("vacuumed-512", 0, 2, 2))


def test_no_files_are_refused() -> None:
    with pytest.raises(UsageError):
        merge()
    assert list(merge_pages([])) == []


@pytest.mark.parametrize("place", [-1, -9, -20, 150])
def test_a_broken_input_is_refused_even_where_nothing_of_it_is_used(place: int) -> None:
    broken = bytearray(golden("leveled-4096", 0, 3, 3))  # its only page is in the next file too
    broken[place] ^= 1
    later = make_file(make_header(4, commit=4, page_size=4096), {2: bytes(4096)})
    with pytest.raises(CorruptError):
        merge(bytes(broken), later)


def test_nothing_is_compressed_again() -> None:
    first, second = golden("leveled-4096", 0, 3, 3), golden("leveled-4096", 0, 4, 4)
    stored = [page.stored for file in (first, second) for page in Decoder(io.BytesIO(file))]
    assert all(page.stored in stored for page in Decoder(io.BytesIO(merge(first, second))))
