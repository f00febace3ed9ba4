"""Goal: the pages of a level-0 file are the right ones, and cost few reads.

Method: forged WALs and databases in memory; what is expected is worked out page by page.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from replication.errors import PrevFrameMismatchError
from replication.ltx.checksum import page_checksum
from replication.position import lock_pgno
from replication.sync.changes import ChangedPages, pages_of_frames, pages_that_differ
from replication.sync.image import MAX_GAP, READ_SIZE, DatabaseImage
from replication.sync.page_sums import Checksums
from replication.wal.header import Salts
from replication.wal.page_map import PageMap
from replication.wal.reader import WALReader
from tests.support.wal_files import FRAME_HEADER_SIZE, HEADER_SIZE, SALTS, make_wal

PAGE_SIZE = 512
FRAME_SIZE = FRAME_HEADER_SIZE + PAGE_SIZE


@dataclass
class Files:
    """A database file and a WAL in memory, and how often the WAL's frames were read."""

    main: bytes = b""
    wal: bytes = b""
    reads: list[int] = field(default_factory=list)

    def read_main(self, offset: int, size: int) -> bytes:
        return self.main[offset : offset + size]

    def read_wal(self, offset: int, size: int) -> bytes:
        if offset >= HEADER_SIZE:
            self.reads.append(size)
        return self.wal[offset : offset + size]


def page(pgno: int, version: int = 0) -> bytes:
    return random.Random(f"{pgno} {version}").randbytes(PAGE_SIZE)  # noqa: S311 - contents, not a secret


def files_of(frames: Iterable[tuple[int, int]], commit: int, *, main_pages: int = 0) -> tuple[Files, PageMap]:
    """A database file, and a WAL of one transaction: page numbers and versions."""
    frames = list(frames)
    rows = [
        (pgno, commit if i == len(frames) - 1 else 0, page(pgno, version)) for i, (pgno, version) in enumerate(frames)
    ]
    files = Files(b"".join(page(pgno) for pgno in range(1, main_pages + 1)), make_wal(rows))
    page_map = WALReader(files.read_wal).page_map()
    files.reads.clear()
    return files, page_map


def as_dict(batches: Iterable[ChangedPages]) -> dict[int, bytes]:
    """The pages by number, found to be ascending and to have their checksums."""
    found: dict[int, bytes] = {}
    for batch in batches:
        for i, pgno in enumerate(batch.pgnos.tolist()):
            assert pgno > max(found, default=0)
            found[pgno] = bytes(batch.data[i * PAGE_SIZE : (i + 1) * PAGE_SIZE])
            assert batch.checksums[i] == page_checksum(pgno, found[pgno])
        assert len(batch.data) == len(batch) * PAGE_SIZE
    return found


def of_frames(files: Files, page_map: PageMap, old_commit: int, old: list[int] | None = None) -> dict[int, bytes]:
    """The pages to write, the checksums of the old state being known or not."""
    checksums = np.array(old or [], dtype=np.uint64)

    def known(pgnos: NDArray[np.uint32]) -> Checksums:
        return checksums[pgnos - 1]

    batches = pages_of_frames(
        files,
        page_map,
        salts=Salts(*SALTS),
        page_size=PAGE_SIZE,
        old_commit=old_commit,
        known=None if old is None else known,
    )
    return as_dict(batches)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1), st.integers(0, 60))
def test_of_each_page_the_newest_frame_counts_and_pages_without_one_are_those_the_database_grew_by(
    frames: list[tuple[int, int]], old_commit: int
) -> None:
    commit = max(pgno for pgno, _ in frames) + 3
    files, page_map = files_of(frames, commit, main_pages=commit - 1)
    expected = {pgno: page(pgno) for pgno in range(old_commit + 1, commit)}
    if old_commit < commit:
        expected[commit] = bytes(PAGE_SIZE)  # it was never written
    expected |= {pgno: page(pgno, version) for pgno, version in frames}
    assert of_frames(files, page_map, old_commit) == expected


def test_frames_side_by_side_are_read_at_once() -> None:
    count = 3 * READ_SIZE // PAGE_SIZE
    files, page_map = files_of([(pgno, 1) for pgno in range(1, count + 1)], count)
    assert len(of_frames(files, page_map, count)) == count
    assert len(files.reads) == 3
    assert max(files.reads) <= READ_SIZE // PAGE_SIZE * FRAME_SIZE


def test_frames_far_from_each_other_are_read_without_what_lies_between() -> None:
    distance = MAX_GAP + 1
    frames = [(2 + number, 1) if number % distance == 0 else (1, number) for number in range(100 * distance)]
    files, page_map = files_of(frames, 1000)
    assert len(of_frames(files, page_map, 1000)) == 101
    assert sum(files.reads) <= (101 + MAX_GAP) * FRAME_SIZE


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 3)), min_size=1), st.integers(0, 60), st.integers(1, 3))
def test_pages_that_were_changed_back_are_left_out_but_for_the_last_one(
    frames: list[tuple[int, int]], old_commit: int, old_version: int
) -> None:
    commit = 60
    files, page_map = files_of(frames, commit, main_pages=commit)
    old = [page_checksum(pgno, page(pgno, old_version)) for pgno in range(1, old_commit + 1)]
    newest = dict(frames)
    expected = {pgno: page(pgno, newest[pgno]) for pgno in newest if pgno > old_commit or newest[pgno] != old_version}
    expected |= {pgno: page(pgno) for pgno in range(old_commit + 1, commit + 1) if pgno not in newest}
    if expected:
        expected[frames[-1][0]] = page(*frames[-1])
    assert of_frames(files, page_map, old_commit, old) == expected


def test_a_wal_that_is_started_over_meanwhile_is_noticed() -> None:
    files, page_map = files_of([(1, 1), (2, 1)], 2)
    batches = pages_of_frames(files, page_map, salts=Salts(*SALTS), page_size=PAGE_SIZE, old_commit=2, known=None)
    next(batches)
    files.wal = make_wal([(2, 2, page(2, 2))], salts=(1, 2))
    with pytest.raises(PrevFrameMismatchError, match="started over"):
        next(batches)


def test_the_lock_page_is_left_out_of_the_pages_a_database_grew_by() -> None:
    lock = lock_pgno(PAGE_SIZE)
    files, page_map = files_of([(lock - 1, 1), (lock + 1, 1)], lock + 1)
    assert list(of_frames(files, page_map, lock - 2)) == [lock - 1, lock + 1]


def test_the_lock_page_is_in_no_piece_of_a_whole_database() -> None:
    page_size = 65536  # the fewest pages
    lock = lock_pgno(page_size)
    image = DatabaseImage(Files(), None, Salts(0, 0), commit=lock + 1, page_size=page_size)
    pgnos = [first + i for first, data in image.pieces() for i in range(len(data) // page_size)]
    assert pgnos == [pgno for pgno in range(1, lock + 2) if pgno != lock]


@given(st.sets(st.integers(1, 9000)), st.integers(0, 9000), st.integers(0, 9000), st.integers(0, 9000))
@example({5000}, 6000, 6000, 10)
@example({10}, 6000, 6000, 5000)
@example({20}, 6000, 6000, 10)
def test_pages_that_differ_are_those_with_another_checksum_and_the_last_one(
    changed: set[int], old_commit: int, commit: int, last_pgno: int
) -> None:
    main = b"".join(pgno.to_bytes(4, "big") * (PAGE_SIZE // 4) for pgno in range(1, commit + 1))
    image = DatabaseImage(Files(main), None, Salts(0, 0), commit=commit, page_size=PAGE_SIZE)
    pages = {pgno: main[(pgno - 1) * PAGE_SIZE : pgno * PAGE_SIZE] for pgno in range(1, commit + 1)}
    old = [1 if pgno in changed else page_checksum(pgno, pages.get(pgno, b"")) for pgno in range(1, old_commit + 1)]
    expected = {pgno for pgno in pages if pgno in changed or pgno > old_commit}
    if expected and last_pgno in pages:
        expected.add(last_pgno)
    found = as_dict(pages_that_differ(image, np.array(old, dtype=np.uint64), last_pgno or None))
    assert found == {pgno: pages[pgno] for pgno in sorted(expected)}
