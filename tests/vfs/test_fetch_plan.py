"""Joined ranges hold each wanted page once, are no larger than allowed, and come in the order of the wishes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.support.ltx_files import make_header
from vfs.fetch_plan import plan_spans
from vfs.ltx_file import LTXFile
from vfs.place import Place, Places

FRAME = 100  # bytes


def make_file(txid: int) -> LTXFile:
    return LTXFile(FileInfo(level=0, min_txid=TXID(txid), max_txid=TXID(txid)), make_header(txid, commit=9), None)


FILES = [make_file(txid) for txid in (1, 2)]


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60)), max_size=40),
    st.integers(0, 5 * FRAME),
    st.integers(1, 12 * FRAME),
)
def test_any_wishes_are_met_once_and_within_the_bounds(wishes: list[tuple[int, int]], gap: int, largest: int) -> None:
    wanted = [Place(FILES[file], number * FRAME, (number + 1) * FRAME) for file, number in wishes]
    spans = plan_spans(Places.of(dict(enumerate(wanted))), gap=gap, largest=largest)
    assert sorted(key for span in spans for key in span.keys) == sorted({place.key for place in wanted})
    for span in spans:
        starts = [key - span.file.base for key in span.keys]
        assert starts == sorted(starts)
        assert (span.start, span.end) == (starts[0], starts[-1] + FRAME)
        assert [Place(span.file, start, start + FRAME) for start in starts] == [wanted[pgno] for pgno in span.pgnos]
        assert span.size <= largest or len(starts) == 1
        assert all(after - before <= gap + FRAME for before, after in pairwise(starts))
        assert span.wanted_size == len(starts) * FRAME <= span.size
    keys = [place.key for place in wanted]
    first = [min(keys.index(key) for key in span.keys) for span in spans]
    assert first == sorted(first)


def test_ranges_next_to_each_other_are_joined_up_to_the_largest_size() -> None:
    wanted = [Place(FILES[0], number * FRAME, (number + 1) * FRAME) for number in range(10)]
    assert [
        (span.start, span.end) for span in plan_spans(Places.of(dict(enumerate(wanted))), gap=0, largest=4 * FRAME)
    ] == [
        (0, 400),
        (400, 800),
        (800, 1000),
    ]
