"""Which levels the next poll lists: pure.

New files come to level 0, so that level is listed at each poll. The others are listed in turn, every third poll, since
a replica may move on without level 0 (it was compacted and cleared between two polls, or another program wrote). While
nothing is new the turn takes the place of level 0, so that an idle process makes one request per interval.

A poll that the store asked for looks where new files come, and nowhere else. It does not count, so that a busy writer
neither hastens the turns nor puts them off.
"""

from enum import Enum, auto

from replication.levels import LEVELS, SNAPSHOT_LEVEL

POLLS_PER_TURN = 3
LIST_INTERVAL_S = 30.0
"""How long files may be asked for by name only, for a name that is not there may have come and gone."""

LONG_PAUSE_INTERVALS = 5
"""After a pause longer than this many intervals, whatever could have happened: list every level."""


class Cause(Enum):
    """Why a poll is made."""

    DUE = auto()  # an interval is over, and the next poll will follow
    ASKED = auto()  # somebody wants to know now
    PUSHED = auto()  # the store says that a file may have come


class Schedule:
    """Counts polls."""

    def __init__(self) -> None:
        """Begin with level 1 as the first in turn."""
        self._polls = 0
        self._turn = 1
        self._all = False

    @property
    def wants_all(self) -> bool:
        """Whether the next poll should list every level."""
        return self._all

    def want_all(self) -> None:
        """List every level, at each poll until all were listed."""
        self._all = True

    def all_listed(self) -> None:
        """Note that every level was listed."""
        self._all = False

    def next_levels(self, cause: Cause, *, idle: bool) -> tuple[int, ...]:
        """Return the levels to list now; `idle` says that there is hardly a new file of level 0.

        A poll that is only due may then leave level 0 out, because the next one follows soon.
        """
        if self._all:
            return tuple(LEVELS)
        if cause is Cause.PUSHED:
            return (0,)
        self._polls += 1
        if self._polls % POLLS_PER_TURN:
            return (0,)
        turn = self._turn
        self._turn = turn % SNAPSHOT_LEVEL + 1
        return (turn,) if idle and cause is Cause.DUE else (0, turn)
