"""Telling how far a restore is, not more often than anybody can look."""

from replication.clock import Clock
from replication.restore.options import Progress

PROGRESS_INTERVAL_S = 0.1


class ThrottledProgress:
    """Counts bytes, and hands them on: the first and the last count always, those between now and then."""

    def __init__(self, progress: Progress | None, clock: Clock) -> None:
        """Hand on to `progress`, if there is one."""
        self._progress = progress
        self._clock = clock
        self._total = 0
        self._done = 0
        self._next_s = 0.0

    def begin(self, total: int, done: int) -> None:
        """Start counting, anew if need be."""
        self._total, self._done = total, done
        self._tell()

    def add(self, size: int) -> None:
        """Count bytes that are done."""
        self._done += size
        if self._done < self._total and self._clock.monotonic() >= self._next_s:
            self._tell()

    def end(self) -> None:
        """Say that all is done."""
        self._done = self._total
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)
            self._next_s = self._clock.monotonic() + PROGRESS_INTERVAL_S
