"""Collecting the newest frames: like a dictionary, in bounded memory, and sorted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.wal import page_map as module
from replication.wal.page_map import NewestFrames, PageMap


def newest(batches: list[list[int]], commit: int) -> PageMap:
    frames = NewestFrames()
    offset = 32
    for batch in batches:
        offsets = [offset + 536 * i for i in range(len(batch))]
        frames.add(np.array(batch, dtype=np.uint32), np.array(offsets, dtype=np.uint64))
        offset += 536 * len(batch)
    return frames.page_map(offset, commit)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 9), max_size=8), max_size=8), st.integers(0, 10), st.integers(1, 20))
def test_the_newest_frame_of_each_page_is_kept(batches: list[list[int]], commit: int, fold: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FOLD_FRAMES", fold)
        page_map = newest(batches, commit)
    expected = {pgno: 32 + 536 * i for i, pgno in enumerate(pgno for batch in batches for pgno in batch)}
    expected = {pgno: offset for pgno, offset in expected.items() if pgno <= commit}
    assert dict(zip(page_map, page_map.offsets.tolist(), strict=True)) == expected
    assert list(page_map) == sorted(expected)
    assert len(page_map) == len(expected)
    for pgno in range(12):
        assert page_map.find(pgno) == expected.get(pgno)
        assert (pgno in page_map) == (pgno in expected)


def test_a_page_written_over_and_over_takes_the_memory_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FOLD_FRAMES", 100)
    frames = NewestFrames()
    most = 0
    for i in range(1000):
        frames.add(np.full(10, 7, dtype=np.uint32), np.arange(10 * i, 10 * i + 10, dtype=np.uint64))
        most = max(most, sum(len(pgnos) for pgnos, _ in frames._later) + len(frames._pgnos))
    assert most <= 100
    assert frames.page_map(0, 7).find(7) == 9999


def test_the_arrays_cannot_be_changed() -> None:
    page_map = newest([[1, 2]], 2)
    with pytest.raises(ValueError, match="read-only"):
        page_map.offsets[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        page_map.pgnos[0] = 0
