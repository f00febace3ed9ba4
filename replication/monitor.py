"""A thread that does one thing again and again, and waits longer while it fails."""

import random
import threading
from collections.abc import Callable
from logging import Logger

from replication.errors import ConflictError, DBNotReadyError, LitestreamError

MAX_BACKOFF_S = 300.0


def backoff_s(failures: int, interval_s: float, chance: float) -> float:
    """Return the pause after a number of failures in a row: it doubles, and chance (0 to 1) spreads it.

    >>> [backoff_s(failures, 1.0, 1.0) for failures in (0, 1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 8.0, 300.0]
    """
    if failures == 0:
        return interval_s
    doubled: float = interval_s * 2.0 ** min(failures, 60)
    return max(interval_s, min(doubled, MAX_BACKOFF_S) * (0.5 + chance / 2))


class Monitor:
    """Calls a function every so often on a thread of its own, from `start` until `stop`.

    What cannot heal by itself ends it; anything else is logged and tried again. `error` is the last call's.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[], object],
        *,
        interval_s: float,
        logger: Logger,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the function; nothing runs yet."""
        self.name = name
        self._function = function
        self._interval_s = interval_s
        self._logger = logger
        self._chance = chance
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None  # guarded by _lock
        self._stopped = threading.Event()
        self._failures = 0  # written by the thread only
        self._error: Exception | None = None  # written by the thread only

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"<Monitor {self.name} {state} failures={self._failures}>"

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        with self._lock:
            return self._thread is not None and self._thread.is_alive()

    @property
    def failures(self) -> int:
        """How often the function failed in a row."""
        return self._failures

    @property
    def error(self) -> Exception | None:
        """What the last call raised, or None."""
        return self._error

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called, so that a long call may end early."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Begin, unless it runs already."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive() and not self._stopped.is_set():
                return
            self._stopped = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stopped,), name=self.name, daemon=True)
            self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """Begin no other call, and wait for the one that runs, unless told not to."""
        with self._lock:
            self._stopped.set()
            thread = self._thread
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(backoff_s(self._failures, self._interval_s, self._chance())):
            try:
                self._function()
            except DBNotReadyError:
                continue  # it will be, and that is no failure
            except ConflictError as error:
                self._error = error
                self._failures += 1
                self._logger.error("%s ends: %s", self.name, error)  # noqa: TRY400 - the message says it all
                return
            except LitestreamError as error:
                self._fail(error)
            except Exception as error:
                self._fail(error)
                self._logger.exception("%s met an error that nobody expected", self.name)
            else:
                self._failures, self._error = 0, None

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._failures += 1
        self._logger.warning("%s failed, %d in a row: %s", self.name, self._failures, error)
