"""A link of so many bytes a second, which all connections of a server share.

A piece of a body is through at its instant: the link carries one piece after the other, in the order in which they are
announced, and whoever sends one sleeps until it is through before it sends it. A body announces its next piece only
then, so that bodies take turns. That piece counts as ready when the one before was through, and not when its sender has
woken: otherwise each late waking would be an idle link.
"""

import threading
import time
from collections.abc import Callable

PIECE_SIZE = 64 * 2**10  # bytes
LATE_S = 0.01  # that a sender may wake and send too late; beyond it, it is the other side that does not read


class Link:
    """A link of `bytes_s` bytes a second, unlimited if that is 0; used by many threads."""

    def __init__(
        self, bytes_s: float, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.bytes_s = bytes_s
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free = now()  # the instant from which the link has nothing to carry; guarded by _lock

    def piece_size(self, left: int) -> int:
        """Return how many of the bytes that are left of a body are its next piece."""
        return min(left, PIECE_SIZE) if self.bytes_s else left

    def announce(self, size: int, after: float | None = None) -> float:
        """Return the instant at which a piece of so many bytes is through.

        Args:
            size: in bytes.
            after: when the piece before it of the same body was through; None for the first piece.

        """
        now = self._now()
        if not self.bytes_s:
            return now
        ready = now if after is None else max(after, now - LATE_S)
        with self._lock:
            self._free = max(self._free, ready) + size / self.bytes_s
            return self._free

    def carry(self, size: int, after: float | None = None) -> float:
        """Wait until the piece is through, and return that instant; see `announce`."""
        through = self.announce(size, after)
        wait_s = through - self._now()
        if wait_s > 0:
            self._sleep(wait_s)
        return through
