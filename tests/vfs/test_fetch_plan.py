"""Joined ranges hold each wanted page once, are no larger than allowed, and come in the order of the wishes."""

from hypothesis import given
from hypothesis import strategies as st

from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.support.ltx_files import make_header
from vfs.fetch_plan import plan_spans
from vfs.index import Place
from vfs.ltx_file import LTXFile

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
    spans = plan_spans(wanted, gap=gap, largest=largest)
    found = [(place.file, place.start) for span in spans for place in span.places]
    assert sorted(found, key=repr) == sorted({(place.file, place.start) for place in wanted}, key=repr)
    for span in spans:
        starts = [place.start for place in span.places]
        assert starts == sorted(starts)
        assert (span.start, span.end) == (span.places[0].start, span.places[-1].end)
        assert all(place.file is span.file for place in span.places)
        assert span.size <= largest or len(span.places) == 1
        assert all(after.start - before.end <= gap for before, after in zip(span.places, span.places[1:], strict=False))
        assert span.wanted_size == len(span.places) * FRAME <= span.size
    first = [min(wanted.index(place) for place in span.places) for span in spans]
    assert first == sorted(first)


def test_ranges_next_to_each_other_are_joined_up_to_the_largest_size() -> None:
    wanted = [Place(FILES[0], number * FRAME, (number + 1) * FRAME) for number in range(10)]
    assert [(span.start, span.end) for span in plan_spans(wanted, gap=0, largest=4 * FRAME)] == [
        (0, 400),
        (400, 800),
        (800, 1000),
    ]
