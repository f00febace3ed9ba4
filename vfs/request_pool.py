"""Threads that run requests to the storage, started as they are needed and kept until the pool is closed.

They are daemons: a request that never ends must keep neither `close` nor the end of the program waiting. Whoever
closes the pool waits for requests under way, but only so long.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Any, TypeVar

from replication.clock import SYSTEM_CLOCK
from replication.errors import LitestreamError, UnavailableError, UsageError
from vfs.threads import start_thread

MAX_WAITING = 100_000
"""How many calls may wait for a thread: more than any plan has files, so that only storage that is stuck gets there."""

T = TypeVar("T")

_Job = tuple[Future[Any], Callable[[], Any]]


class RequestPool(Executor):
    """Runs calls, at most `max_threads` at once, in the order in which they come."""

    def __init__(self, max_threads: int, name: str) -> None:
        """Start no thread yet."""
        self._max_threads = max_threads
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()  # None ends a thread
        self._unfinished: set[Future[Any]] = set()  # no lock: what is done with it is one step each
        self._lock = Lock()
        self._threads: list[Thread] = []  # guarded by _lock
        self._free = 0  # threads without a job, less the jobs without a thread; guarded by _lock
        self._closed = False  # guarded by _lock

    @property
    def is_current(self) -> bool:
        """Whether this runs on one of the threads; it takes no lock, so that the garbage collector may ask."""
        return current_thread() in self._threads

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401
        """Run a call on one of the threads.

        Raises:
            UsageError: the pool is closed.
            UnavailableError: too many calls wait, or no thread can be started.

        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise _closed()
            if -self._free >= MAX_WAITING:
                msg = f"the storage does not keep up: {MAX_WAITING} requests wait already"
                raise UnavailableError(msg)
            if self._free < 1 and len(self._threads) < self._max_threads:
                self._add_thread()
            self._free -= 1
            self._unfinished.add(future)
            self._jobs.put((future, lambda: fn(*args, **kwargs)))
        future.add_done_callback(self._unfinished.discard)
        return future

    def settle(self, timeout_s: float) -> None:
        """Wait until no call is waiting or under way, but at most so many seconds."""
        wait(list(self._unfinished), timeout_s)

    def close(self, timeout_s: float) -> None:
        """Refuse the calls that wait and end the threads; wait for calls under way, but at most so many seconds."""
        deadline = SYSTEM_CLOCK.monotonic() + timeout_s
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, []
        try:
            while True:
                job = self._jobs.get_nowait()
                if job is not None and job[0].set_running_or_notify_cancel():
                    job[0].set_exception(_closed())
        except Empty:
            pass
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join(max(0.0, deadline - SYSTEM_CLOCK.monotonic()))

    def _add_thread(self) -> None:
        name = f"{self._name}_{len(self._threads)}"
        thread = Thread(target=_work, args=(self._jobs, self._finished), name=name, daemon=True)
        start_thread(thread)
        self._threads.append(thread)
        self._free += 1

    def _finished(self) -> None:
        with self._lock:
            self._free += 1


def _work(jobs: "SimpleQueue[_Job | None]", finished: Callable[[], None]) -> None:
    while (job := jobs.get()) is not None:
        future, call = job
        del job
        if future.set_running_or_notify_cancel():
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                future.set_exception(_as_ours(error))
            else:
                future.set_result(result)
                del result
        del future, call  # else they would live until the next call
        finished()


def _closed() -> UsageError:
    return UsageError("the replica is closed")


def _as_ours(error: BaseException) -> BaseException:
    """Return one of our errors; a client of somebody else's may raise anything."""
    if isinstance(error, LitestreamError) or not isinstance(error, Exception):
        return error
    ours = LitestreamError(f"the replica client failed with {type(error).__name__}")  # its text may hold secrets
    ours.__cause__ = error
    return ours
