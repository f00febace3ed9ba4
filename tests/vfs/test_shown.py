"""Pages of a run that can be read without asking: where they stand, and until when.

Bugs planted to see it fail: page 1 shown as it is stored; a broken frame shown; pages that stay when they were passed;
a cache that is filled with more than it holds.
"""

from datetime import UTC, datetime

from replication.ltx.file_info import FileInfo
from replication.ltx.page import encode_page_frame
from replication.position import TXID
from tests.support.ltx_files import make_header
from vfs.budget import Budget
from vfs.cache import PageCache
from vfs.fetch_plan import Span, plan_spans
from vfs.ltx_file import LTXFile
from vfs.place import Place, Places
from vfs.shown import MAX_SIZE, Shown
from vfs.stats import Stats
from vfs.view import View

PAGE_SIZE = 512


def page(pgno: int) -> bytes:
    return b"%016d" % pgno + bytes(PAGE_SIZE - 16)


class Run:
    """A run of leaves whose frames came in one range."""

    def __init__(self, pgnos: range, cache_size: int = 0, page_size: int = PAGE_SIZE) -> None:
        self.view = View(
            txid=TXID(1),
            commit=1000,
            page_size=page_size,
            time=datetime(2026, 1, 1, tzinfo=UTC),
            history=0,
            epoch=0,
            layers=(),
        )
        self.cache = PageCache(cache_size)
        self.cache.add_view(self.view)
        self.stats = Stats()
        self.budget = Budget(2**20)
        self.passing: dict[int, bytes] = {}
        self.shown = Shown(self.view, self.cache, self.passing, self.stats, self.budget)
        file = LTXFile(FileInfo(level=9, min_txid=TXID(1), max_txid=TXID(1)), make_header(1, commit=1000), None)
        self.data, places = b"", {}
        for pgno in pgnos:
            frame = encode_page_frame(pgno, page(pgno).ljust(page_size, b"\0"))
            places[pgno] = Place(file, len(self.data), len(self.data) + len(frame))
            self.data += frame
        self.keys = {pgno: place.key for pgno, place in places.items()}
        self.span: Span = plan_spans(Places.of(places), largest=2**30)[0]

    def take(self, pgno: int, data: bytes = b"") -> list[int]:
        """Take a page, and return the page numbers of those that are shown with it."""
        left = set(self.keys.values()) - {self.keys[pgno]}
        keys = self.shown.show(self.span, data or self.data, left, self.keys[pgno])
        return [pgno for pgno, key in self.keys.items() if key in set(keys)]

    @property
    def stood(self) -> list[int]:
        """The pages that stand beside the cache, each of them the right one."""
        found = {offset // PAGE_SIZE + 1: data for offset, data in self.passing.items()}
        assert found == {pgno: page(pgno) for pgno in found}
        return sorted(found)


def test_a_range_that_fits_is_put_into_the_cache() -> None:
    run = Run(range(2, 12), cache_size=100 * PAGE_SIZE)
    assert run.take(2) == list(range(3, 12))
    assert run.view.pages == {(pgno - 1) * PAGE_SIZE: page(pgno) for pgno in range(3, 12)}
    assert all(run.cache.holds(run.keys[pgno]) for pgno in range(3, 12))
    assert run.passing == {}


def test_a_run_fills_the_cache_once_and_then_stands_beside_it() -> None:
    run = Run(range(2, 12), cache_size=42 * PAGE_SIZE)
    for _ in range(4):
        run.take(2)
        assert run.passing == {}
    assert run.take(2) == list(range(3, 12))
    assert run.stood == list(range(3, 12))


def test_pages_stand_until_they_are_passed_or_the_run_ends() -> None:
    run = Run(range(2, 12))
    run.take(2)
    assert run.stood == list(range(3, 12))
    assert len(run.shown) == 9
    run.shown.passed([2, 3, 4, 5])
    assert run.stood == list(range(6, 12))
    run.shown.drop()
    assert run.passing == {}
    assert (run.budget.shown, len(run.shown)) == (0, 0)
    assert (run.stats.prefetch_used, run.stats.prefetch_wasted) == (3, 6)


def test_pages_behind_the_one_taken_are_shown_in_the_direction_of_the_run() -> None:
    run = Run(range(2, 12))
    run.shown.step = -1
    assert run.take(8) == list(range(2, 8))


def test_page_1_is_never_shown_as_it_is_stored() -> None:
    run = Run(range(1, 12))
    run.shown.step = -1
    run.take(11)
    assert run.stood == list(range(2, 11))


def test_nothing_is_shown_of_a_broken_frame_or_of_a_range_cut_short() -> None:
    run = Run(range(2, 12))
    start = run.keys[5] - run.keys[2]
    assert run.take(2, run.data[: start + 3] + b"\x09" + run.data[start + 4 :]) == [3, 4, *range(6, 12)]
    assert run.take(2, run.data[:-1]) == []


def test_no_more_is_shown_at_once_than_memory_is_set_aside_for() -> None:
    page_size = 65_536
    run = Run(range(2, 102), page_size=page_size)
    run.take(2)
    assert sum(map(len, run.passing.values())) == MAX_SIZE - page_size
