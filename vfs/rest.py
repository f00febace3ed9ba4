"""How seldom a replica is polled that nobody reads.

While no connection has begun a transaction for some time, each interval is twice the one before, up to ten times the
one that was asked for, and a store that tells of new files is asked for them once an interval at most. Whoever reads
then ends the rest, and waits for one poll first, but not for long.
"""

from replication.clock import Clock

REST_AFTER_S = 30.0
"""How long nobody must have read before the polls become fewer."""

MAX_FACTOR = 10.0
"""So many of its intervals a resting replica is polled once, at least."""

WAKE_TIMEOUT_S = 1.0
"""How long the first reader after a rest waits for a poll; then it reads what is known."""


class Rest:
    """Whether a replica rests. Readers set `touched`, and look at `is_resting`; the poller calls `next_interval_s`."""

    def __init__(self, interval_s: float, clock: Clock) -> None:
        """Begin awake, with a poll in so many seconds."""
        self.interval_s = interval_s  # as it was asked for
        self.touched = True
        self.is_resting = False
        self._clock = clock
        self._last_touch = clock.monotonic()
        self._factor = 1.0

    def next_interval_s(self) -> float:
        """Return the seconds to the next poll."""
        now = self._clock.monotonic()
        if self.touched:
            self.touched, self._last_touch = False, now
            self._factor = 1.0
        elif now - self._last_touch >= REST_AFTER_S:
            self._factor = min(self._factor * 2, MAX_FACTOR)
        self.is_resting = self._factor > 1.0
        return self.interval_s * self._factor

    def end(self) -> None:
        """Be awake again."""
        self.touched, self.is_resting = True, False
