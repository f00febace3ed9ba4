"""What the system says of a WAL: whether anything was written since we looked, for the price of one call.

A file's time of change moves on only every few milliseconds, so what is written twice within such a tick looks the
same after both. A look therefore counts only once the time it saw lies well behind.

A commit is published after its frames were written, and synced, in the shared memory alone: so a look counts neither
while frames are there that nobody can see yet (`Syncer.has_more_frames`).
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from replication.clock import from_timestamp_ms

TICK = timedelta(milliseconds=100)
"""Longer than any system's tick."""


@dataclass(frozen=True, slots=True)
class WALState:
    """Which file the WAL is, its size in bytes, and when it was written to; zeros where there is none."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def look(cls, path: str) -> Self:
        """Return the state of the WAL at a path.

        One that cannot be looked at counts as one that is not there: SQLite will say what is wrong with it.
        """
        try:
            found = os.stat(path)  # noqa: PTH116 - a Path costs three times as much, and thousands are looked at
        except OSError:
            return cls(0, 0, 0)
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)

    def is_settled(self, now: datetime) -> bool:
        """Say whether any later write would show."""
        return from_timestamp_ms(self.mtime_ns // 1_000_000) + TICK < now
