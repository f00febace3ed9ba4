"""Waiting for storage: with a time limit, and so that `Connection.interrupt()` or closing ends it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

from replication.clock import SYSTEM_CLOCK, Clock
from replication.errors import LitestreamError, UnavailableError

CHECK_INTERVAL_S = 0.05
"""How often a wait looks whether it was interrupted."""

T = TypeVar("T")


class InterruptedReadError(LitestreamError):
    """Nothing to do: the caller itself ended this read."""


def never() -> bool:
    """Say that nobody interrupts."""
    return False


class Waiter:
    """A time limit for one piece of work, and a question asked while waiting for it: was it interrupted?"""

    def __init__(self, timeout_s: float, interrupted: Callable[[], bool] = never, clock: Clock = SYSTEM_CLOCK) -> None:
        """Start the time limit now."""
        self._timeout_s = timeout_s
        self._clock = clock
        self._deadline = clock.monotonic() + timeout_s
        self._interrupted = interrupted

    @property
    def remaining_s(self) -> float:
        """How many seconds are left, 0 or more."""
        return max(0.0, self._deadline - self._clock.monotonic())

    def result(self, future: Future[T]) -> T:
        """Return a future's result.

        Raises:
            UnavailableError: the time limit passed first.
            InterruptedReadError: the wait was interrupted.

        """
        while True:
            try:
                return future.result(timeout=min(CHECK_INTERVAL_S, self.remaining_s))
            except FutureTimeoutError:
                if future.done():
                    return future.result()
                self.check()

    def results(self, futures: Iterable[Future[T]]) -> Iterator[T]:
        """Yield the results of futures in their order; nobody else may wait for them.

        What was not begun when the wait is given up, or one of them fails, is not begun any more.
        """
        waiting = tuple(futures)
        try:
            for future in waiting:
                yield self.result(future)
        finally:
            for future in waiting:
                future.cancel()

    def check(self) -> None:
        """Raise if the time limit has passed or the wait was interrupted.

        Raises:
            UnavailableError: the time limit has passed.
            InterruptedReadError: the wait was interrupted.

        """
        self.check_interrupted()
        if not self.remaining_s:
            msg = f"the storage did not answer within {self._timeout_s:g} s"
            raise UnavailableError(msg)

    def check_interrupted(self) -> None:
        """Raise if the wait was interrupted.

        Raises:
            InterruptedReadError: it was.

        """
        if self._interrupted():
            msg = "interrupted while waiting for the storage"
            raise InterruptedReadError(msg)
