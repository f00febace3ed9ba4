"""A few threads that do many things in the background, each when it is due.

A task is a function that is called again and again: when it is woken, every so often if it has an interval, and after
pauses that double while it fails. It is never called twice at once, nor before the pause after its last call is over.
A task that nobody wakes costs nothing, so there may be thousands.

The threads come as they are needed, up to a limit, and stay until the scheduler is closed. One of those that have
nothing to do waits for the next instant at which a call is due, the others wait for that one to find work.
"""

import heapq
import itertools
import random
import threading
from collections.abc import Callable
from logging import Logger
from typing import Self

from replication.clock import SYSTEM_CLOCK, Clock
from replication.errors import ConflictError, DBNotReadyError, LeaseHeldError, LitestreamError, LocalStateHeldError

MAX_BACKOFF_S = 300.0
MIN_BACKOFF_S = 1.0
"""The pause that doubles after each failure begins with this, where a task has no longer one."""

STANDBY_PAUSE_S = 10.0
"""How long to pause at most while another process replicates the same database."""


def backoff_s(failures: int, interval_s: float, chance: float) -> float:
    """Return the pause after a number of failures in a row: it doubles, and chance (0 to 1) spreads it.

    >>> [backoff_s(failures, 1.0, 1.0) for failures in (0, 1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 8.0, 300.0]
    """
    if failures == 0:
        return interval_s
    doubled: float = interval_s * 2.0 ** min(failures, 60)
    return max(interval_s, min(doubled, MAX_BACKOFF_S) * (0.5 + chance / 2))


class Scheduler:
    """The threads; a context manager that closes."""

    def __init__(self, name: str, *, max_threads: int, clock: Clock = SYSTEM_CLOCK) -> None:
        """Name the threads; none is started before there is something to do."""
        self.name = name
        self._max_threads = max_threads
        self._clock = clock
        self._lock = threading.Lock()
        self._timer = threading.Condition(self._lock)  # the thread that waits for the next instant
        self._idle = threading.Condition(self._lock)  # the others that have nothing to do
        self._has_timer = False  # guarded by _lock
        self._idle_count = 0  # guarded by _lock
        self._threads: list[threading.Thread] = []  # guarded by _lock
        self._heap: list[tuple[float, int, Task]] = []  # guarded by _lock; entries of old times are passed over
        self._numbers = itertools.count()
        self._is_closed = False  # guarded by _lock

    def __repr__(self) -> str:
        with self._lock:
            state = "closed" if self._is_closed else "open"
            return f"<Scheduler {self.name} {state} threads={len(self._threads)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self, *, wait: bool = True) -> None:
        """Begin no other call, and wait for those that run, unless told not to."""
        with self._lock:
            self._is_closed = True
            self._timer.notify_all()
            self._idle.notify_all()
            threads = [thread for thread in self._threads if thread is not threading.current_thread()]
        for thread in threads if wait else ():
            thread.join()

    def set_due(self, task: "Task", due: float) -> None:
        """Have a task called then; its lock is held."""
        with self._lock:
            task.due = due
            heapq.heappush(self._heap, (due, next(self._numbers), task))
            if self._heap[0][2] is not task:
                return
            if self._has_timer:
                self._timer.notify()
            else:
                self._add_thread()

    def _add_thread(self) -> None:
        """Let another thread look for work, as the holder of _lock; where all are busy, the first that is free does."""
        if self._is_closed:
            return
        if self._idle_count:
            self._idle.notify()
        elif len(self._threads) < self._max_threads:
            thread = threading.Thread(target=self._run, name=f"{self.name}-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (task := self._take()) is not None:
            task.run()

    def _take(self) -> "Task | None":
        """Wait for the next task that is due, or for the end."""
        with self._lock:
            while not self._is_closed:
                now = self._clock.monotonic()
                while self._heap and self._heap[0][2].due != self._heap[0][0]:
                    heapq.heappop(self._heap)
                if self._heap and self._heap[0][0] <= now:
                    task = heapq.heappop(self._heap)[2]
                    if self._heap and not self._has_timer:
                        self._add_thread()
                    return task
                if self._has_timer:
                    self._idle_count += 1
                    self._idle.wait()
                    self._idle_count -= 1
                else:
                    self._has_timer = True
                    self._timer.wait(self._heap[0][0] - now if self._heap else None)
                    self._has_timer = False
        return None


_NEVER = float("inf")


class Task:
    """One function that a scheduler calls. What cannot heal by itself ends it; anything else is logged and tried again.

    `error` is what the last call raised.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        function: Callable[[], object],
        *,
        logger: Logger,
        interval_s: float | None = None,
        gap_s: float = 0.0,
        chance: Callable[[], float] = random.random,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Take the function; it is not called before it is woken.

        Args:
            scheduler: the threads.
            name: what log messages call it.
            function: what is called.
            logger: where failures are told.
            interval_s: seconds from the end of a call to the next one that comes by itself; None for none.
            gap_s: seconds from the begin of a call to the next one at the earliest, however often it is woken.
            chance: 0 to 1, spreads pauses after failures.
            clock: gives the time.

        """
        self.name = name
        self.due = _NEVER  # guarded by the scheduler's lock; when it is called next
        self._scheduler = scheduler
        self._function = function
        self._logger = logger
        self._interval_s = interval_s
        self._gap_s = gap_s
        self._chance = chance
        self._clock = clock
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._is_stopped = False  # guarded by _lock
        self._runner: threading.Thread | None = None  # guarded by _lock; the thread that calls it just now
        self._is_woken = False  # guarded by _lock; during a call
        self._not_before = -_NEVER  # guarded by _lock
        self._failures = 0  # written by the call that runs only
        self._error: BaseException | None = None  # written by the call that runs only

    def __repr__(self) -> str:
        state = "stopped" if self.is_stopping else "active"
        return f"<Task {self.name} {state} failures={self._failures}>"

    @property
    def failures(self) -> int:
        """How often the function failed in a row."""
        return self._failures

    @property
    def error(self) -> BaseException | None:
        """What the last call raised, or None."""
        return self._error

    @property
    def is_stopping(self) -> bool:
        """Whether it is not called any more, so that a long call may end early."""
        with self._lock:
            return self._is_stopped

    def wake(self) -> None:
        """Have the function called as soon as its pause is over, once more if it runs just now."""
        with self._lock:
            if self._is_stopped:
                return
            if self._runner is not None:
                self._is_woken = True
                return
            due = max(self._clock.monotonic(), self._not_before)
            if due < self.due:
                self._scheduler.set_due(self, due)

    def stop(self, *, wait: bool = True) -> None:
        """Begin no other call, and wait for the one that runs, unless told not to."""
        with self._lock:
            self._is_stopped = True
            while wait and self._runner not in (None, threading.current_thread()):
                self._settled.wait()

    def run(self) -> None:
        """Call the function; for the scheduler only."""
        with self._lock:
            self.due = _NEVER
            if self._is_stopped:
                return
            self._runner, self._is_woken = threading.current_thread(), False
            self._not_before = self._clock.monotonic() + self._gap_s
        pause_s = self._call()
        with self._lock:
            self._runner = None
            now = self._clock.monotonic()
            if pause_s is None:
                self._is_stopped = True
            elif self._failures:
                self._not_before = now + pause_s
            self._settled.notify_all()
            if self._is_stopped:
                return
            due = _NEVER if pause_s is None else now + pause_s
            if self._is_woken or self._failures:
                due = min(due, max(now, self._not_before))
            if due < _NEVER:
                self._scheduler.set_due(self, due)

    def _call(self) -> float | None:
        """Call the function once, and return how long to pause; None if it is to be called no more."""
        try:
            self._function()
        except DBNotReadyError:
            self._failures, self._error = 0, None  # it will be, and that is no failure
        except ConflictError as error:
            self._error = error
            self._failures += 1
            self._logger.error("%s ends: %s", self.name, error)  # noqa: TRY400 - the message says it all
            return None
        except LitestreamError as error:
            return self._fail(error)
        except BaseException as error:  # a panic of native code is no Exception
            pause_s = self._fail(error)
            self._logger.exception("%s met an error that nobody expected", self.name)
            return pause_s
        else:
            self._failures, self._error = 0, None
        return _NEVER if self._interval_s is None else self._interval_s

    def _fail(self, error: BaseException) -> float:
        self._error = error
        self._failures += 1
        self._logger.warning("%s failed, %d in a row: %s", self.name, self._failures, error)
        pause_s = self._interval_s if self._interval_s is not None else max(self._gap_s, MIN_BACKOFF_S)
        pause_s = backoff_s(self._failures, pause_s, self._chance())
        if isinstance(error, LeaseHeldError):
            # It ends at a known time, and whoever stands by should not come minutes after.
            left_s = (error.expires_at - self._clock.now()).total_seconds()
            pause_s = min(pause_s, max(left_s, MIN_BACKOFF_S))
        elif isinstance(error, LocalStateHeldError):
            pause_s = min(pause_s, STANDBY_PAUSE_S)  # until the process that holds it ends
        return pause_s
