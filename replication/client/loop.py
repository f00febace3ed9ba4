"""One asyncio loop for the clients whose libraries need one, on a thread of its own.

The loop is made at its first use and shared by all clients of the process; a forked child makes its own. Callers wait
for a coroutine, for a bounded time: when that is over the coroutine is cancelled, and its caller goes on at once.
"""

import asyncio
import atexit
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from replication.errors import UnavailableError
from replication.forking import after_fork_in_child
from replication.log import LOGGER

THREAD_NAME = "litestream-loop"
STOP_TIMEOUT_S = 2.0  # how long the end of the process waits for what still runs

T = TypeVar("T")


def call(coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """Run a coroutine on the loop, and return what it returns; its errors are raised as they are.

    Raises:
        UnavailableError: it did not end within `timeout_s`, or the loop came to its end before.

    """
    thread = _running()
    if threading.get_ident() == thread.ident:
        coroutine.close()
        msg = "a coroutine of the loop waits for another one by await, not by call()"
        raise RuntimeError(msg)
    future = asyncio.run_coroutine_threadsafe(coroutine, thread.loop)
    try:
        return future.result(timeout_s)
    except CancelledError:
        msg = "the call was broken off"
        raise UnavailableError(msg) from None
    except TimeoutError:
        if future.done() and not future.cancelled():
            raise  # the coroutine's own
        msg = f"no answer within {timeout_s:g} s"
        raise UnavailableError(msg) from None
    finally:
        future.cancel()  # without effect on what has ended


class _LoopThread(threading.Thread):
    """A thread that runs a loop until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(name=THREAD_NAME, daemon=True)
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(_log)

    def run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def stop(self) -> None:
        """Cancel what runs, and end the thread."""
        future = asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop)
        future.add_done_callback(lambda _done: self.loop.call_soon_threadsafe(self.loop.stop))
        self.join(STOP_TIMEOUT_S)
        if not self.is_alive():
            self.loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _log(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell the log what nobody waits for; asyncio itself would write it to the standard error."""
    LOGGER.debug("in the background: %s: %r", context.get("message"), context.get("exception"))


def _is_of_others(record: logging.LogRecord) -> bool:
    """Take what asyncio logs on this thread into our own log, for the same reason."""
    if record.threadName != THREAD_NAME:
        return True
    LOGGER.debug("asyncio: %s", record.getMessage())
    return False


logging.getLogger("asyncio").addFilter(_is_of_others)

_lock = threading.Lock()
_thread: _LoopThread | None = None  # guarded by _lock
_of_parents: list[_LoopThread] = []  # never let go of: closing one would disturb the parent's connections


def _running() -> _LoopThread:
    """Return the thread of this process, started if there is none."""
    global _thread  # noqa: PLW0603 - one for the process
    with _lock:
        if _thread is None:
            _thread = _LoopThread()
            _thread.start()
            atexit.register(_stop)
        return _thread


def _stop() -> None:
    """End the thread at the end of the process; a call after that makes another one."""
    global _thread
    with _lock:
        thread, _thread = _thread, None
    if thread is not None:
        thread.stop()


def _after_fork() -> None:
    """Forget the parent's thread, which does not run here, and the lock, which it may have held."""
    global _lock, _thread  # noqa: PLW0603 - one for the process
    _lock = threading.Lock()
    if _thread is not None:
        _of_parents.append(_thread)
        _thread = None


after_fork_in_child(_after_fork)
