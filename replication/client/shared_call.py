"""One call for all who want its result at once, and never an older result than a caller may expect.

Whoever comes while the call is being made waits for the next one: the one that runs may have passed what the caller has
just changed. All who wait get the result of that next one, or its error.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Lock
from typing import Generic, TypeVar

from replication.errors import UnavailableError

T = TypeVar("T")


class SharedCall(Generic[T]):
    """A function that is called by one thread at a time, for itself and for those that wait."""

    def __init__(self, function: Callable[[], T]) -> None:
        """Take the function."""
        self._function = function
        self._lock = Lock()
        self._running: Future[T] | None = None  # guarded by _lock; done when nobody calls the function
        self._next: Future[T] | None = None  # guarded by _lock; has a thread that will call the function

    def __call__(self) -> T:
        """Return what the function gives in a call that began after this one.

        Raises:
            UnavailableError: the thread that called it was interrupted; and what the function raises.

        """
        with self._lock:
            future, before = self._next, self._running
            leads = future is None
            if future is None:
                future = self._next = Future()
        if not leads:
            return future.result()
        try:
            if before is not None:
                wait([before])
            with self._lock:
                self._running, self._next = future, None
            result = self._function()
        except BaseException as error:
            self._give_up(future, error)
            raise
        future.set_result(result)
        return result

    def _give_up(self, future: "Future[T]", error: BaseException) -> None:
        with self._lock:
            if self._next is future:
                self._next = None
        if isinstance(error, Exception):
            future.set_exception(error)
        else:  # an interrupt is meant for the thread that it came to
            future.set_exception(UnavailableError("the call was broken off"))
