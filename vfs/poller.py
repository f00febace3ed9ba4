"""The thread that polls a replica: at intervals, at once when it is woken, until it is stopped.

The garbage collector closes forgotten connections on any thread and between any two steps, so whoever stops the poller
may be the poller itself, in the middle of anything. Stopping therefore takes no lock that somebody could hold: it sets
a flag, and `SimpleQueue.put` may be called inside itself. What ending needs locks for is left to the end of the thread,
where it is in the middle of nothing.
"""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread, current_thread

from replication.errors import UnavailableError
from vfs.threads import start_thread


class Poller:
    """Calls `poll` again and again, and says whether it was woken for it; at the end it calls `ended`."""

    def __init__(self, name: str, interval_s: float, poll: Callable[[bool], None], ended: Callable[[], None]) -> None:
        """Start no thread yet."""
        self.interval_s = interval_s
        self._name = name
        self._poll = poll
        self._ended = ended
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._thread: Thread | None = None
        self._stopped = False

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
        if self._wakes.empty():  # one is enough
            self._wakes.put(None)

    def stop(self) -> None:
        """Let the thread end, soon."""
        self._stopped = True
        self.wake()

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended, but at most so many seconds; on the thread itself, not at all."""
        if self._thread is not None and not self.is_current:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        woken = self._wait()
        while not self._stopped:
            self._poll(woken)
            woken = self._wait()
        self._ended()

    def _wait(self) -> bool:
        """Wait for the next interval, and say whether that was cut short."""
        try:
            self._wakes.get(timeout=self.interval_s)
            while not self._wakes.empty():
                self._wakes.get_nowait()
        except Empty:
            return False
        return True
