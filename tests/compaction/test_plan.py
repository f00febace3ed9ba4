"""Which files are merged next: listings in, a plan out."""

from collections.abc import Sequence

import pytest

from replication import compaction_plan
from replication.compaction_plan import CompactionPlan, plan_compaction
from replication.errors import NoCompactionError, PositionError
from replication.ltx.file_info import FileInfo
from replication.position import TXID

Ranges = Sequence[tuple[int, int]]


def listing(level: int, files: Ranges, size: int = 100) -> list[FileInfo]:
    return [FileInfo(level=level, min_txid=TXID(first), max_txid=TXID(last), size=size) for first, last in files]


def plan(source: Ranges, *, position: int = 0, snapshots: Ranges = (), size: int = 100) -> CompactionPlan:
    return plan_compaction(1, position=TXID(position), source=listing(0, source, size), snapshots=listing(9, snapshots))


def inputs(made: CompactionPlan) -> list[tuple[int, int]]:
    return [(info.min_txid, info.max_txid) for info in made.inputs]


def test_what_lies_beyond_the_level_is_merged() -> None:
    made = plan([(2, 2), (3, 3), (4, 4), (5, 5)], position=3)
    assert (inputs(made), made.snapshot, made.is_partial) == ([(4, 4), (5, 5)], None, False)


def test_a_first_file_of_the_whole_database_becomes_a_snapshot_and_enters_no_level() -> None:
    made = plan([(1, 1), (2, 2), (3, 3)])
    assert inputs(made) == [(2, 2), (3, 3)]
    assert made.snapshot == listing(0, [(1, 1)])[0]


def test_a_snapshot_that_is_there_is_not_made_again() -> None:
    made = plan([(1, 4), (5, 6)], snapshots=[(1, 2), (1, 4)])
    assert (inputs(made), made.snapshot) == ([(5, 6)], None)


def test_a_snapshot_of_another_txid_does_not_replace_the_first_file_whose_restore_point_would_go() -> None:
    assert plan([(1, 4), (5, 6)], snapshots=[(1, 2), (1, 6)]).snapshot == listing(0, [(1, 4)])[0]


def test_of_several_files_of_the_whole_database_the_one_that_leads_furthest_becomes_the_snapshot() -> None:
    made = plan([(1, 3), (1, 5), (4, 5), (6, 6)])
    assert inputs(made) == [(6, 6)]
    assert made.snapshot == listing(0, [(1, 5)])[0]


def test_a_replica_of_one_file_gets_a_snapshot_only() -> None:
    made = plan([(1, 1)])
    assert (inputs(made), made.snapshot) == ([], listing(0, [(1, 1)])[0])
    with pytest.raises(NoCompactionError):
        plan([(1, 1)], snapshots=[(1, 1)])


def test_a_level_may_start_where_a_snapshot_leads_to() -> None:
    assert inputs(plan([(7, 7), (8, 8)], snapshots=[(1, 9)])) == [(7, 7), (8, 8)]
    assert inputs(plan([(7, 7), (8, 8)], position=4, snapshots=[(1, 6)])) == [(7, 7), (8, 8)]


@pytest.mark.parametrize("snapshots", [[], [(1, 5)], [(2, 9)]])
def test_a_gap_that_no_snapshot_leads_over_is_an_error(snapshots: Ranges) -> None:
    with pytest.raises(PositionError, match=r"got 0000000000000007, and no snapshot leads there") as caught:
        plan([(7, 7)], position=4, snapshots=snapshots)
    assert (caught.value.expected, caught.value.actual) == (5, 7)


def test_files_up_to_a_gap_are_merged_before_the_gap_is_an_error() -> None:
    made = plan([(2, 2), (3, 3), (5, 5)], position=1)
    assert (inputs(made), made.is_partial) == ([(2, 2), (3, 3)], True)


def test_files_may_overlap_and_reach_over_the_position() -> None:
    assert inputs(plan([(2, 6), (5, 8), (6, 7), (8, 9)], position=4)) == [(2, 6), (5, 8), (8, 9)]


@pytest.mark.parametrize("source", [[], [(1, 3), (4, 4)], [(2, 4)]])
def test_nothing_new_is_no_compaction(source: Ranges) -> None:
    with pytest.raises(NoCompactionError):
        plan(source, position=4)


def test_files_and_buffers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction_plan, "MAX_INPUT_FILES", 3)
    many = [(txid, txid) for txid in range(2, 10)]
    made = plan(many, position=1)
    assert (inputs(made), made.is_partial) == ([(2, 2), (3, 3), (4, 4)], True)
    monkeypatch.setattr(compaction_plan, "MAX_BUFFERED_SIZE", 250)
    assert inputs(plan(many, position=1)) == [(2, 2), (3, 3)]
    assert inputs(plan(many, position=1, size=2**40)) == [(2, 2)]
