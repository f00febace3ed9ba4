"""The threads of a store, or of a database by itself, and the look they take at every database now and then.

Looking costs one call of the system for a database that nobody writes to. What has changed is synced on one of a few
threads, and uploaded on one of others, so that a storage that does not answer keeps no database from being synced.
"""

import threading
from logging import Logger
from typing import Protocol

from replication.clock import SYSTEM_CLOCK, Clock
from replication.scheduler import Scheduler, Task

MAX_SYNC_THREADS = 2
"""How many databases are synced at once: it is work for the processor and the disk."""

MAX_UPLOAD_THREADS = 16
"""How many replicas are uploaded to at once: most of it is waiting."""


class Watched(Protocol):
    """What is looked at."""

    monitor_interval_s: float

    def look(self) -> None:
        """See whether there is something to do, and have it done elsewhere."""


class Background:
    """Starts threads when they are needed, until it is closed."""

    def __init__(self, logger: Logger, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Prepare; no thread is started yet."""
        self.syncs = Scheduler("litestream-sync", max_threads=MAX_SYNC_THREADS, clock=clock)
        self.uploads = Scheduler("litestream-upload", max_threads=MAX_UPLOAD_THREADS, clock=clock)
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        self._looks: dict[float, _Look] = {}  # guarded by _lock; by interval in seconds

    def close(self) -> None:
        """Begin nothing more, and wait for what runs."""
        self.syncs.close()
        self.uploads.close()

    def watch(self, watched: Watched) -> None:
        """Look at a database every `monitor_interval_s` from now on."""
        interval_s = watched.monitor_interval_s
        with self._lock:
            look = self._looks.get(interval_s)
            if look is None:
                look = self._looks[interval_s] = _Look()
                task = Task(
                    self.syncs,
                    "litestream-look",
                    look.run,
                    logger=self._logger,
                    interval_s=interval_s,
                    clock=self._clock,
                )
                task.wake()
            look.add(watched)

    def unwatch(self, watched: Watched) -> None:
        """Look at a database no more."""
        with self._lock:
            for look in self._looks.values():
                look.remove(watched)


class _Look:
    """The databases with the same interval."""

    def __init__(self) -> None:
        self._watched: tuple[Watched, ...] = ()  # replaced as a whole

    def add(self, watched: Watched) -> None:
        self._watched = (*self._watched, watched)

    def remove(self, watched: Watched) -> None:
        self._watched = tuple(one for one in self._watched if one is not watched)

    def run(self) -> None:
        for watched in self._watched:
            watched.look()
