"""The thread that polls a replica: at intervals, at once when it is woken or pushed, until it is stopped.

Whoever wakes it waits for news, so it polls whatever it did before. Pushes may come as fast as files do: one poll
answers all that came since the last one began, and between a poll and a pushed one there is a gap, as long as the poll
before took, or longer if `gap_s` says so. Pushes put off no poll that is due.

The garbage collector closes forgotten connections on any thread and between any two steps, so whoever stops the poller
may be the poller itself, in the middle of anything. Stopping therefore takes no lock that somebody could hold: it sets
a flag, and `SimpleQueue.put` may be called inside itself. What ending needs locks for is left to the end of the thread,
where it is in the middle of nothing.
"""

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread, current_thread

from replication.clock import SYSTEM_CLOCK
from replication.errors import UnavailableError
from vfs.schedule import Cause
from vfs.threads import start_thread

LEAST_GAP_S = 0.01
"""The shortest time from the end of a poll to a pushed one, in seconds."""


def _nothing() -> None:
    """Begin with nothing to do."""


class Poller:
    """Calls `poll` again and again with why; on its thread, `began` comes before all that and `ended` after."""

    def __init__(
        self,
        name: str,
        interval_s: float,
        poll: Callable[[Cause], None],
        *,
        began: Callable[[], None] = _nothing,
        ended: Callable[[], None],
    ) -> None:
        """Start no thread yet."""
        self.gap_s = LEAST_GAP_S
        self._interval_s = interval_s
        self._name = name
        self._poll = poll
        self._began = began
        self._ended = ended
        self._signals: SimpleQueue[None] = SimpleQueue()  # says that the interval or one of the next three was set
        self._woken = False
        self._pushed = False
        self._stopped = False
        self._thread: Thread | None = None

    @property
    def interval_s(self) -> float:
        """Seconds from a poll to the next one that is due; a change counts at once."""
        return self._interval_s

    @interval_s.setter
    def interval_s(self, interval_s: float) -> None:
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            self._signal()

    @property
    def is_pushed(self) -> bool:
        """Whether there was a push since the last poll began."""
        return self._pushed

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether this runs on the thread."""
        return self._thread is current_thread()

    def is_stopped(self) -> bool:
        """Say whether `stop` was called; a poll under way should end then."""
        return self._stopped

    def start(self) -> None:
        """Start the thread; a second call does nothing.

        Raises:
            UnavailableError: it cannot be started; it can be tried again.

        """
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            try:
                start_thread(self._thread)
            except UnavailableError:
                self._thread = None
                raise

    def wake(self) -> None:
        """Poll at once."""
        self._woken = True
        self._signal()

    def push(self) -> None:
        """Poll soon, because the store says that a file may have come."""
        self._pushed = True
        self._signal()

    def stop(self) -> None:
        """Let the thread end, soon."""
        self._stopped = True
        self._signal()

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended, but at most so many seconds; on the thread itself, not at all."""
        if self._thread is not None and not self.is_current:
            self._thread.join(timeout_s)

    def _signal(self) -> None:
        if self._signals.empty():  # one is enough
            self._signals.put(None)

    def _run(self) -> None:
        now = SYSTEM_CLOCK.monotonic
        interval_began = polled = now()
        took_s = 0.0
        self._began()
        while (cause := self._wait(interval_began, polled, took_s)) is not None:
            begin = now()
            self._poll(cause)
            polled = now()
            took_s = polled - begin
            if cause is not Cause.PUSHED:
                interval_began = polled
        self._ended()

    def _wait(self, interval_began: float, polled: float, took_s: float) -> Cause | None:
        """Wait for the next poll, and return its cause; None if there is to be none any more."""
        while not self._stopped:
            now, due = SYSTEM_CLOCK.monotonic(), interval_began + self._interval_s
            gap_ends = polled + max(self.gap_s, took_s)
            if self._woken:
                self._woken = self._pushed = False
                return Cause.ASKED
            if self._pushed and now >= gap_ends:
                self._pushed = False
                return Cause.PUSHED
            if now >= due:
                return Cause.DUE  # which may look elsewhere than a pushed one
            with suppress(Empty):
                self._signals.get(timeout=(min(due, gap_ends) if self._pushed else due) - now)
        return None
