"""The page cache: its bound, whatever threads do, its fronts, and the second chance.

Method: a model of fronts (each page in one is the very object the cache holds) checked after random use. Bugs once
planted and caught here: a page in a front that the cache let go of; a changed page left in the front of the next view;
a page kept by its number alone.
"""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

from hypothesis import given
from hypothesis import strategies as st

from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.support.ltx_files import make_header
from vfs.cache import PageCache
from vfs.ltx_file import LTXFile
from vfs.place import Place
from vfs.view import View

PAGE_SIZE = 512


def make_view(txid: int = 1, commit: int = 100) -> View:
    return View(
        txid=TXID(txid),
        commit=commit,
        page_size=PAGE_SIZE,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        history=0,
        epoch=0,
        layers=(),
    )


def make_file(txid: int = 1) -> LTXFile:
    info = FileInfo(level=0, min_txid=TXID(txid), max_txid=TXID(txid))
    return LTXFile(info, make_header(txid, commit=100), None)


def key(file: LTXFile, pgno: int) -> int:
    return Place(file, pgno * 1000, pgno * 1000 + 400).key


def page(pgno: int, version: int = 0) -> bytes:
    return b"%08d%08d" % (pgno, version) + bytes(PAGE_SIZE - 16)


def check_fronts(cache: PageCache, *views: View) -> None:
    """Each page in a front is the object that the cache holds."""
    held = {id(cached[0]) for rounds in (cache._pages, cache._held) for cached in rounds._shown.values()}
    for view in views:
        assert all(id(data) in held for data in view.pages.values())
    assert cache.size <= max(cache.max_size, 0)


def test_a_page_that_was_put_is_got_and_stands_in_the_front() -> None:
    cache, view, file = PageCache(10 * PAGE_SIZE), make_view(), make_file()
    cache.add_view(view)
    cache.put(view, 7, key(file, 7), page(7))
    assert cache.get(view, 7, key(file, 7)) == page(7)
    assert view.pages == {6 * PAGE_SIZE: page(7)}


def test_page_1_never_stands_in_a_front() -> None:
    cache, view, file = PageCache(10 * PAGE_SIZE), make_view(), make_file()
    cache.add_view(view)
    cache.put(view, 1, key(file, 1), page(1))
    assert cache.get(view, 1, key(file, 1)) == page(1)
    assert view.pages == {}


def test_the_same_page_of_a_file_of_the_same_name_is_another_one() -> None:
    cache, view = PageCache(10 * PAGE_SIZE), make_view()
    cache.add_view(view)
    cache.put(view, 7, key(make_file(), 7), page(7))
    assert cache.get(view, 7, key(make_file(), 7)) is None


def test_a_page_is_not_got_as_another_one_that_a_broken_page_index_puts_at_its_place() -> None:
    cache, view, file = PageCache(10 * PAGE_SIZE), make_view(), make_file()
    cache.add_view(view)
    cache.put(view, 7, key(file, 7), page(7))
    assert cache.get(view, 8, key(file, 7)) is None
    assert view.pages == {6 * PAGE_SIZE: page(7)}


def test_the_next_view_takes_over_what_did_not_change() -> None:
    cache, before, after, file = PageCache(10 * PAGE_SIZE), make_view(1), make_view(2), make_file()
    cache.add_view(before)
    for pgno in (2, 3, 4):
        cache.put(before, pgno, key(file, pgno), page(pgno))
    cache.add_view(after, before, {3})
    assert sorted(after.pages) == [PAGE_SIZE, 3 * PAGE_SIZE]
    assert sorted(before.pages) == [PAGE_SIZE, 2 * PAGE_SIZE, 3 * PAGE_SIZE]


def test_a_page_that_two_threads_loaded_at_once_leaves_every_front_with_the_cache() -> None:
    cache, one, other, file = PageCache(3 * PAGE_SIZE), make_view(1), make_view(2), make_file()
    cache.add_view(one)
    cache.add_view(other)
    cache.put(one, 2, key(file, 2), page(2))
    cache.put(other, 2, key(file, 2), page(2) + b"")
    cache.put(other, 2, key(file, 2), bytes(bytearray(page(2))))
    check_fronts(cache, one, other)
    for pgno in range(3, 12):
        cache.put(other, pgno, key(file, pgno), page(pgno))
    check_fronts(cache, one, other)


def test_pages_in_use_stay_and_others_go_in_the_order_in_which_they_came() -> None:
    cache, view, file = PageCache(8 * PAGE_SIZE), make_view(), make_file()
    cache.add_view(view)
    for pgno in range(2, 90):
        cache.put(view, pgno, key(file, pgno), page(pgno))
        if 2 * PAGE_SIZE not in view.pages and pgno > 2:
            assert cache.get(view, 3, key(file, 3)) == page(3)  # it left the front, not the cache
    assert [pgno for pgno in range(2, 90) if cache.holds(key(file, pgno))] == [3, *range(83, 90)]


def test_pages_that_came_last_stand_in_the_front_when_the_cache_is_full() -> None:
    cache, view, file = PageCache(16 * PAGE_SIZE), make_view(), make_file()
    cache.add_view(view)
    for first in range(2, 90, 4):
        some = range(first, first + 4)
        cache.put_many(view, [(key(file, pgno), pgno, page(pgno)) for pgno in some])
        assert {(pgno - 1) * PAGE_SIZE for pgno in some} <= set(view.pages)
        check_fronts(cache, view)


def test_interior_pages_give_way_only_to_each_other() -> None:
    cache, view, file = PageCache(16 * PAGE_SIZE), make_view(), make_file()
    cache.add_view(view)
    for pgno in range(2, 9):
        cache.put(view, pgno, key(file, pgno), page(pgno), is_interior=True)
    for pgno in range(9, 90):
        cache.put(view, pgno, key(file, pgno), page(pgno))
    assert [pgno for pgno in range(2, 9) if cache.holds(key(file, pgno))] == [5, 6, 7, 8]
    check_fronts(cache, view)


def test_a_cache_of_no_size_holds_nothing_and_a_page_too_large_is_not_held() -> None:
    for size in (-1, 0, PAGE_SIZE - 1):
        cache, view, file = PageCache(size), make_view(), make_file()
        cache.add_view(view)
        cache.put(view, 2, key(file, 2), page(2))
        assert cache.get(view, 2, key(file, 2)) is None
        assert view.pages == {}
        assert cache.size == 0


@given(
    st.integers(1, 6),
    st.lists(
        st.tuples(st.sampled_from(["put", "get", "view"]), st.integers(1, 8), st.integers(0, 3), st.integers(0, 3)),
        max_size=60,
    ),
)
def test_fronts_hold_only_what_the_cache_holds(slots: int, uses: list[tuple[str, int, int, int]]) -> None:
    cache = PageCache(slots * PAGE_SIZE)
    files = [make_file(number) for number in range(1, 5)]
    views = [make_view(1)]
    cache.add_view(views[0])
    for use, pgno, file, view in uses:
        seen = views[view % len(views)]
        where = key(files[file], pgno)
        if use == "put":
            cache.put(seen, pgno, where, page(pgno, file))
        elif use == "get":
            assert cache.get(seen, pgno, where) in (None, page(pgno, file))
        else:
            views = [*views[-3:], make_view(len(views) + 1)]
            cache.add_view(views[-1], views[-2], [pgno])
            assert (pgno - 1) * PAGE_SIZE not in views[-1].pages
        check_fronts(cache, *views)


def test_the_bound_holds_while_many_threads_read() -> None:
    cache, file = PageCache(20 * PAGE_SIZE), make_file()
    views = [make_view(number) for number in range(1, 4)]
    for view in views:
        cache.add_view(view)
    threads = 4
    start = Barrier(threads)

    def use(seed: int) -> int:
        rng = random.Random(seed)  # noqa: S311 - not for secrets
        start.wait()
        largest = 0
        for _ in range(3000):
            view, pgno = rng.choice(views), rng.randint(2, 60)
            where = key(file, pgno)
            found = cache.get(view, pgno, where)
            assert found in (None, page(pgno))
            if found is None:
                cache.put(view, pgno, where, page(pgno))
            largest = max(largest, cache.size)
        return largest

    with ThreadPoolExecutor(threads) as pool:
        assert max(pool.map(use, range(threads))) <= 20 * PAGE_SIZE
    check_fronts(cache, *views)
