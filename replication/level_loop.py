"""The thread of one level: it comes at the level's instants, and sooner where something was not ready."""

import threading
from collections.abc import Callable
from datetime import timedelta

from replication.clock import Clock
from replication.compaction_levels import CompactionLevel

NOT_READY_RETRY_S = 1.0
"""How soon a level is tried again when a database was not ready."""

_TICK = timedelta(microseconds=1)


class LevelLoop:
    """Catches up once, then compacts at each instant, until `stopped` is set.

    Both calls say whether every database was ready.
    """

    def __init__(
        self,
        level: CompactionLevel,
        *,
        catch_up: Callable[[], bool],
        compact: Callable[[], bool],
        stopped: threading.Event,
        clock: Clock,
    ) -> None:
        self._level = level
        self._catch_up = catch_up
        self._compact = compact
        self._stopped = stopped
        self._clock = clock

    def run(self) -> None:
        """Loop; for a thread of its own."""
        task = self._catch_up
        while not self._stopped.is_set():
            is_ready = task()
            if is_ready:
                task = self._compact
            self._stopped.wait(self.pause_s(is_ready=is_ready))

    def pause_s(self, *, is_ready: bool) -> float:
        """Return how long it is to the level's next instant, or to the next try."""
        now = self._clock.now()
        pause_s = (self._level.next_compaction_at(now + _TICK) - now).total_seconds()
        return pause_s if is_ready else min(pause_s, NOT_READY_RETRY_S)
