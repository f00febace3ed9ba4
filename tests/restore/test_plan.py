"""Restore plans and restorable TXIDs: pure functions over listings.

Method: the rules by example, then random listings (gaps, overlaps, missing levels) against a brute force that plans
for every candidate, and against a slow search over all chains. Bugs once planted and caught here: `<=` for
instants; reachability that looks at the start of the chain instead of its newest end; a chain that ends where the
listing does; the shortest file preferred; no error at a gap.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import NoSnapshotsError, PositionError, TxNotAvailableError, UsageError
from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from replication.restore.plan import plan_from, plan_restore
from replication.restore.points import RestorePoint, restore_points

START = datetime(2026, 1, 1, tzinfo=UTC)
Listing = Mapping[int, Sequence[FileInfo]]


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def file(level: int, min_txid: int, max_txid: int, minute: float | None = None, size: int = 1000) -> FileInfo:
    created_at = at(max_txid if minute is None else minute)
    return FileInfo(level=level, min_txid=TXID(min_txid), max_txid=TXID(max_txid), size=size, created_at=created_at)


def listing(*infos: FileInfo) -> dict[int, list[FileInfo]]:
    levels: dict[int, list[FileInfo]] = {}
    for info in sorted(infos, key=lambda info: (info.level, info.min_txid, info.max_txid)):
        levels.setdefault(info.level, []).append(info)
    return levels


def spans(plan: Sequence[FileInfo]) -> list[tuple[int, int, int]]:
    return [(info.level, info.min_txid, info.max_txid) for info in plan]


@st.composite
def listings(draw: st.DrawFn) -> dict[int, list[FileInfo]]:
    """Levels with files of any overlap and any gap; times rise with the TXID within a level."""
    infos = []
    for level in draw(st.sets(st.sampled_from([0, 1, 2, 5, 9]))):
        names = draw(st.sets(st.tuples(st.integers(1, 12), st.integers(0, 6)), max_size=8))
        for start, length in names:
            begin = 1 if level == SNAPSHOT_LEVEL else start
            late = draw(st.integers(0, 1)) if level else 0
            infos.append(file(level, begin, start + length, start + length + late))
    return listing(*set(infos))


def all_reachable(files: Listing, allowed: Sequence[FileInfo] | None = None) -> set[int]:
    """The ends of all chains, by trying every file at every end until nothing changes."""
    infos = [info for level in files.values() for info in level] if allowed is None else allowed
    ends = {0}
    while True:
        more = {f.max_txid for f in infos for end in ends if f.min_txid <= end + 1 and f.max_txid > end} | ends
        if more == ends:
            return ends - {0}
        ends = more


def test_an_empty_replica_has_nothing_to_restore() -> None:
    with pytest.raises(NoSnapshotsError, match="no files"):
        plan_restore({0: [], 9: []})
    with pytest.raises(NoSnapshotsError, match="no files"):
        plan_restore({}, txid=TXID(1))


def test_a_replica_without_a_whole_database_has_nothing_to_restore() -> None:
    files = listing(file(0, 5, 5), file(0, 6, 6))
    with pytest.raises(NoSnapshotsError, match="0000000000000005"):
        plan_restore(files)
    with pytest.raises(TxNotAvailableError, match="whole database"):
        plan_restore(files, txid=TXID(6))
    with pytest.raises(TxNotAvailableError, match="whole database"):
        plan_restore(files, timestamp=at(60))


def test_the_newest_snapshot_comes_first_and_the_files_that_lead_furthest_follow() -> None:
    files = listing(
        file(9, 1, 3),
        file(9, 1, 6),
        file(2, 1, 5),
        file(1, 5, 8),
        file(1, 9, 10),
        *(file(0, t, t) for t in range(6, 13)),
    )
    assert spans(plan_restore(files)) == [(9, 1, 6), (1, 5, 8), (1, 9, 10), (0, 11, 11), (0, 12, 12)]


def test_of_files_with_one_end_the_longest_wins_then_the_higher_level() -> None:
    assert spans(plan_restore(listing(file(0, 3, 4), file(1, 1, 2), file(2, 2, 4)))) == [(1, 1, 2), (2, 2, 4)]
    assert spans(plan_restore(listing(file(0, 1, 4), file(3, 1, 4), file(2, 1, 4)))) == [(3, 1, 4)]


def test_a_txid_must_be_the_end_of_a_chain() -> None:
    files = listing(file(9, 1, 4), file(1, 5, 8), file(0, 9, 9))
    assert spans(plan_restore(files, txid=TXID(8))) == [(9, 1, 4), (1, 5, 8)]
    with pytest.raises(TxNotAvailableError, match=r"0000000000000006.*0000000000000004 and 0000000000000008"):
        plan_restore(files, txid=TXID(6))
    with pytest.raises(TxNotAvailableError, match=r"nearest available is 0000000000000009"):
        plan_restore(files, txid=TXID(20))


def test_an_instant_is_exclusive() -> None:
    files = listing(file(0, 1, 1), file(0, 2, 2), file(0, 3, 3))
    assert spans(plan_restore(files, timestamp=at(2))) == [(0, 1, 1)]
    assert spans(plan_restore(files, timestamp=at(2) + timedelta(milliseconds=1))) == [(0, 1, 1), (0, 2, 2)]


def test_an_instant_before_history_says_when_history_begins() -> None:
    with pytest.raises(TxNotAvailableError, match=r"before 2026-01-01T00:04:00Z .* just after 2026-01-01T00:04:00Z$"):
        plan_restore(listing(file(9, 1, 4), file(9, 1, 6), file(0, 3, 3)), timestamp=at(4))


def test_a_gap_is_an_error_for_the_newest_state_only() -> None:
    files = listing(file(0, 1, 1), file(0, 2, 2), file(0, 5, 5))
    with pytest.raises(PositionError) as caught:
        plan_restore(files)
    assert (caught.value.expected, caught.value.actual) == (3, 5)
    assert spans(plan_restore(files, timestamp=at(60))) == [(0, 1, 1), (0, 2, 2)]
    assert spans(plan_restore(files, txid=TXID(2))) == [(0, 1, 1), (0, 2, 2)]


def test_two_targets_or_a_naive_instant_are_refused() -> None:
    files = listing(file(0, 1, 1))
    with pytest.raises(UsageError, match="both"):
        plan_restore(files, txid=TXID(1), timestamp=at(1))
    with pytest.raises(UsageError, match="time zone"):
        plan_restore(files, timestamp=at(1).replace(tzinfo=None))


def test_a_file_at_the_snapshot_level_that_is_no_snapshot_is_left_alone() -> None:
    files = listing(file(0, 1, 1), file(9, 1, 2), file(9, 2, 3))
    assert spans(plan_restore(files)) == [(9, 1, 2)]
    assert [point.txid for point in restore_points(files)] == [1, 2]


def test_a_follower_takes_what_leads_furthest_and_repeats_least() -> None:
    files = listing(file(0, 5, 5), file(0, 6, 6), file(1, 5, 6), file(2, 1, 6), file(2, 3, 6), file(9, 1, 6))
    assert spans(plan_from(files, TXID(4))) == [(1, 5, 6)]
    assert spans(plan_from(files, TXID(5))) == [(0, 6, 6)]
    assert plan_from(files, TXID(6)) == ()


def test_a_follower_before_a_gap_goes_as_far_as_it_can_and_then_leaps_by_a_snapshot() -> None:
    files = listing(file(0, 5, 5), file(0, 9, 9), file(0, 10, 10), file(9, 1, 9))
    assert spans(plan_from(files, TXID(4))) == [(0, 5, 5)]
    assert spans(plan_from(files, TXID(5))) == [(9, 1, 9), (0, 10, 10)]


def test_a_follower_before_a_gap_without_a_way_round_says_so() -> None:
    with pytest.raises(PositionError) as caught:
        plan_from(listing(file(0, 5, 5), file(0, 9, 9)), TXID(5))
    assert (caught.value.expected, caught.value.actual) == (6, 9)


def test_a_restore_point_tells_the_earliest_time_and_the_lowest_level() -> None:
    files = listing(file(0, 2, 2, 7, 300), file(1, 1, 2, 9, 400), file(9, 1, 2, 6, 500), file(0, 4, 4))
    assert restore_points(files) == [RestorePoint(TXID(2), at(6), 0, TXID(2), 300)]


@given(listings())
def test_restore_points_are_the_txids_a_plan_exists_for(files: dict[int, list[FileInfo]]) -> None:
    planned = []
    for txid in range(1, 25):
        try:
            plan = plan_restore(files, txid=TXID(txid))
        except (TxNotAvailableError, NoSnapshotsError):
            continue
        assert plan[-1].max_txid == txid
        assert_chain(plan)
        planned.append(txid)
    assert [point.txid for point in restore_points(files)] == planned == sorted(all_reachable(files))


@given(listings(), st.integers(0, 20))
def test_a_plan_before_an_instant_leads_as_far_as_the_files_before_it_do(
    files: dict[int, list[FileInfo]], minute: int
) -> None:
    before = [info for infos in files.values() for info in infos if info.created_at < at(minute)]
    try:
        plan = plan_restore(files, timestamp=at(minute))
    except (TxNotAvailableError, NoSnapshotsError):
        assert not all_reachable(files, before)
        return
    assert_chain(plan)
    assert set(plan) <= set(before)
    assert plan[-1].max_txid == max(all_reachable(files, before))


@given(listings(), st.integers(0, 20))
def test_a_follower_reaches_what_a_restore_reaches(files: dict[int, list[FileInfo]], start: int) -> None:
    infos = [info for level in files.values() for info in level]
    position = TXID(start)
    for _ in range(len(infos) + 1):
        newer = [info for info in infos if info.max_txid > position]
        if newer and all(info.min_txid > position + 1 for info in newer):
            with pytest.raises(PositionError) as caught:
                plan_from(files, position)
            assert caught.value.expected == position + 1
            assert caught.value.actual == min(info.min_txid for info in newer)
            return
        plan = plan_from(files, position)
        assert bool(plan) == bool(newer)
        if not plan:
            return
        for info in plan:
            assert info.min_txid <= position + 1
            assert info.max_txid > position
            position = info.max_txid
    pytest.fail("a follower must come to an end")


def assert_chain(plan: Sequence[FileInfo]) -> None:
    position = 0
    for info in plan:
        assert info.min_txid <= position + 1
        assert info.max_txid > position
        position = info.max_txid
