"""When which level is compacted: level n merges the files of level n - 1, once in each of its intervals.

Intervals are counted from 0001-01-01T00:00:00Z, so every writer of a replica compacts at the same instants: 30 seconds
means :00 and :30 of each minute, 24 hours midnight UTC, 7 days Monday.

Source: litestream 0.5.17, compaction_level.go and store.go.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from replication.errors import UsageError
from replication.levels import MAX_COMPACTION_LEVEL, SNAPSHOT_LEVEL

DEFAULT_SNAPSHOT_INTERVAL_S = 24 * 3600.0
DEFAULT_SNAPSHOT_RETENTION_S = 24 * 3600.0

DEFAULT_RETENTION_S = 24 * 3600.0
DEFAULT_RETENTION_CHECK_INTERVAL_S = 3600.0

DEFAULT_L0_RETENTION_S = 5 * 60.0
"""How long level-0 files are kept once level 1 holds them: readers follow level 0, and should find the next file."""

DEFAULT_L0_RETENTION_CHECK_INTERVAL_S = 15.0

NO_LEVEL = -1

_FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CompactionLevel:
    """One level, and how often the files of the level below are merged into it."""

    level: int
    interval_s: float = 0.0  # 0 for level 0 only

    def next_compaction_at(self, now: datetime) -> datetime:
        """Return the next instant to compact at, which is now if now is such an instant.

        >>> CompactionLevel(1, 30.0).next_compaction_at(datetime(2026, 3, 1, 12, 0, 31, tzinfo=UTC)).isoformat()
        '2026-03-01T12:01:00+00:00'
        """
        previous = self.prev_compaction_at(now)
        return previous if previous == now else previous + timedelta(seconds=self.interval_s)

    def prev_compaction_at(self, now: datetime) -> datetime:
        """Return the last instant to compact at, which is now if now is such an instant.

        >>> CompactionLevel(1, 30.0).prev_compaction_at(datetime(2026, 3, 1, 12, 0, 31, tzinfo=UTC)).isoformat()
        '2026-03-01T12:00:30+00:00'
        """
        now = now.astimezone(UTC)
        interval = timedelta(seconds=self.interval_s)
        return now - (now - _FIRST_INSTANT) % interval if interval else now


class CompactionLevels(tuple[CompactionLevel, ...]):
    """The levels below the snapshots, from 0 up; each level's number is its place.

    >>> CompactionLevels([CompactionLevel(0), CompactionLevel(1, 30.0)]).max_level()
    1
    """

    __slots__ = ()

    @classmethod
    def of(cls, *intervals_s: float) -> "CompactionLevels":
        """Return level 0 and, above it, levels with these intervals.

        Raises:
            UsageError: they are not valid.

        """
        levels = cls([CompactionLevel(0), *(CompactionLevel(n, interval) for n, interval in enumerate(intervals_s, 1))])
        levels.validate()
        return levels

    def level(self, level: int) -> CompactionLevel:
        """Return a level.

        Raises:
            UsageError: there is none, or it is the one of the snapshots, which is made from the database.

        """
        if level == SNAPSHOT_LEVEL:
            msg = f"expected a compaction level, got level {level}, that of the snapshots"
            raise UsageError(msg)
        if not 0 <= level < len(self):
            msg = f"expected a compaction level from 0 to {self.max_level()}, got {level}"
            raise UsageError(msg)
        return self[level]

    def max_level(self) -> int:
        """Return the number of the highest level below the snapshots."""
        return len(self) - 1

    def next_level(self, level: int) -> int:
        """Return the number of the level above; above the highest come the snapshots, above those -1."""
        if level == SNAPSHOT_LEVEL:
            return NO_LEVEL
        return SNAPSHOT_LEVEL if level == self.max_level() else level + 1

    def prev_level(self, level: int) -> int:
        """Return the number of the level below; below level 0 it is -1."""
        return self.max_level() if level == SNAPSHOT_LEVEL else level - 1

    def is_valid_level(self, level: int) -> bool:
        """Say whether there is such a level; that of the snapshots always is."""
        return level == SNAPSHOT_LEVEL or 0 <= level < len(self)

    def validate(self) -> None:
        """Check the levels.

        Raises:
            UsageError: there is none, one is not at its place, or an interval is missing or senseless.

        """
        if not self:
            msg = "expected one compaction level or more, got none"
            raise UsageError(msg)
        for place, level in enumerate(self):
            _check(level, place)


def _check(level: CompactionLevel, place: int) -> None:
    msg = ""
    if level.level != place:
        msg = f"expected compaction level {place} at place {place}, got {level.level}"
    elif level.level > MAX_COMPACTION_LEVEL:
        msg = f"expected compaction levels up to {MAX_COMPACTION_LEVEL}, got {level.level}"
    elif level.level == 0 and level.interval_s != 0:
        msg = f"expected no interval at compaction level 0, got {level.interval_s} s"
    elif level.level > 0 and not 0 < level.interval_s < float("inf"):
        msg = f"expected an interval above 0 s at compaction level {level.level}, got {level.interval_s} s"
    if msg:
        raise UsageError(msg)


def as_levels(levels: Iterable[CompactionLevel]) -> CompactionLevels:
    """Return valid levels from any sequence of them.

    Raises:
        UsageError: they are not valid.

    """
    valid = CompactionLevels(levels)
    valid.validate()
    return valid


DEFAULT_COMPACTION_LEVELS = CompactionLevels.of(30.0, 5 * 60.0, 3600.0)
