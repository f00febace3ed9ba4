"""When a level is compacted, and which levels there can be."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.compaction_levels import (
    DEFAULT_COMPACTION_LEVELS,
    CompactionLevel,
    CompactionLevels,
    as_levels,
)
from replication.errors import UsageError
from replication.levels import SNAPSHOT_LEVEL

NOON = datetime(2026, 3, 4, 12, 34, 56, 789_000, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("interval_s", "expected"),
    [
        (30, "2026-03-04T12:34:30+00:00"),
        (300, "2026-03-04T12:30:00+00:00"),
        (3600, "2026-03-04T12:00:00+00:00"),
        (86_400, "2026-03-04T00:00:00+00:00"),
        (7 * 86_400, "2026-03-02T00:00:00+00:00"),
        (0.1, "2026-03-04T12:34:56.700000+00:00"),
        (0, "2026-03-04T12:34:56.789000+00:00"),
    ],
)
def test_intervals_begin_at_round_times_of_the_calendar(interval_s: float, expected: str) -> None:
    assert CompactionLevel(1, interval_s).prev_compaction_at(NOON).isoformat() == expected


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from([0.1, 1, 7, 30, 300, 3600, 86_400]),
)
def test_now_lies_between_the_last_instant_and_the_next(now: datetime, interval_s: float) -> None:
    level = CompactionLevel(1, interval_s)
    previous, following = level.prev_compaction_at(now), level.next_compaction_at(now)
    assert previous <= now <= following
    assert following - previous in (timedelta(0), timedelta(seconds=interval_s))
    assert level.next_compaction_at(previous) == level.prev_compaction_at(previous) == previous
    assert level.next_compaction_at(following) == following


def test_another_time_zone_makes_no_difference() -> None:
    level = CompactionLevel(1, 86_400)
    elsewhere = NOON.astimezone(timezone(timedelta(hours=13)))
    assert level.next_compaction_at(elsewhere) == level.next_compaction_at(NOON)
    assert level.next_compaction_at(elsewhere).utcoffset() == timedelta(0)


def test_the_levels_of_litestream_are_the_default() -> None:
    assert [level.interval_s for level in DEFAULT_COMPACTION_LEVELS] == [0, 30, 300, 3600]
    assert CompactionLevels.of(30, 300, 3600) == DEFAULT_COMPACTION_LEVELS


def test_levels_lead_up_to_the_snapshots_and_down_to_nothing() -> None:
    levels = DEFAULT_COMPACTION_LEVELS
    assert levels.max_level() == 3
    assert [levels.next_level(level) for level in (0, 1, 2, 3, SNAPSHOT_LEVEL)] == [1, 2, 3, SNAPSHOT_LEVEL, -1]
    assert [levels.prev_level(level) for level in (0, 1, 2, 3, SNAPSHOT_LEVEL)] == [-1, 0, 1, 2, 3]
    assert [levels.is_valid_level(level) for level in (-1, 0, 3, 4, 8, SNAPSHOT_LEVEL, 10)] == [
        *(False, True, True, False, False, True, False)
    ]


def test_a_level_is_found_by_its_number() -> None:
    assert DEFAULT_COMPACTION_LEVELS.level(2) == CompactionLevel(2, 300)
    for missing in (-1, 4, SNAPSHOT_LEVEL):
        with pytest.raises(UsageError, match=str(missing)):
            DEFAULT_COMPACTION_LEVELS.level(missing)


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        ([], "one compaction level or more"),
        ([CompactionLevel(1, 30)], "level 0 at place 0, got 1"),
        ([CompactionLevel(0), CompactionLevel(2, 30)], "level 1 at place 1, got 2"),
        ([CompactionLevel(0, 30)], "no interval at compaction level 0"),
        ([CompactionLevel(0), CompactionLevel(1)], "above 0 s at compaction level 1"),
        ([CompactionLevel(0), CompactionLevel(1, -5)], "above 0 s at compaction level 1"),
        ([CompactionLevel(0), CompactionLevel(1, float("inf"))], "above 0 s"),
        ([CompactionLevel(level, 60.0 * level) for level in range(10)], "up to 8, got 9"),
    ],
)
def test_levels_that_make_no_sense_are_refused(levels: list[CompactionLevel], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        as_levels(levels)
