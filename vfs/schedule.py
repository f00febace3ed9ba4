"""Which levels the next poll lists: pure.

New files come to level 0, so that level is listed at each poll. The others are listed in turn, every third poll, since
a replica may move on without level 0 (it was compacted and cleared between two polls, or another program wrote). While
nothing is new the turn takes the place of level 0, so that an idle process makes one request per interval.
"""

from replication.levels import LEVELS, SNAPSHOT_LEVEL

POLLS_PER_TURN = 3
LONG_PAUSE_INTERVALS = 5
"""After a pause longer than this many intervals, whatever could have happened: list every level."""


class Schedule:
    """Counts polls."""

    def __init__(self) -> None:
        """Begin with level 1 as the first in turn."""
        self._polls = 0
        self._turn = 1
        self._all = False

    def want_all(self) -> None:
        """List every level, at each poll until all were listed."""
        self._all = True

    def all_listed(self) -> None:
        """Note that every level was listed."""
        self._all = False

    def next_levels(self, *, idle: bool) -> tuple[int, ...]:
        """Return the levels to list now; `idle` says that the last poll found nothing new."""
        if self._all:
            return tuple(LEVELS)
        self._polls += 1
        if self._polls % POLLS_PER_TURN:
            return (0,)
        turn = self._turn
        self._turn = turn % SNAPSHOT_LEVEL + 1
        return (turn,) if idle else (0, turn)
