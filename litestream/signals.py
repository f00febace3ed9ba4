"""Waiting for a signal, or for work on another thread to end, whichever comes first.

Everything comes as a byte through a pair of sockets. Python's own handlers of signals run on the main thread between
two steps of it, and one that comes just before that thread begins to wait would not end the waiting.
"""

import signal
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_ENDED = b"\0"  # no signal has the number 0


class Work:
    """A function that runs on a thread of its own; an event when it has ended."""

    def __init__(self, name: str, function: Callable[[], object], events: "Events") -> None:
        """Start the thread."""
        self.error: BaseException | None = None
        self._function = function
        self._events = events
        threading.Thread(target=self._run, name=f"litestream-{name}", daemon=True).start()

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001 - whoever waits for it raises it
            self.error = error
        self._events.put(self)


class Events:
    """Signals that ask the process to end, and work that has ended, in their order.

    A context manager that puts the handlers of signals back; only the main thread may enter it. A signal that is
    ignored, as a shell does with SIGINT for what runs in the background, stays ignored.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)  # as Python asks of what it writes to when a signal comes
        self._ended: deque[Work] = deque()
        self._before: dict[signal.Signals, Any] = {}
        self._fd_before = -1

    def __enter__(self) -> Self:
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno())
        for number in _STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop_listening()
        self._writer.close()
        self._reader.close()

    def stop_listening(self) -> None:
        """Leave signals from now on to what they did before."""
        while self._before:
            signal.signal(*self._before.popitem())
        signal.set_wakeup_fd(self._fd_before)

    def put(self, work: Work) -> None:
        """Say that work has ended."""
        self._ended.append(work)
        with suppress(OSError):  # nobody waits any more
            self._writer.send(_ENDED)

    def wait(self) -> signal.Signals | Work:
        """Return the next event."""
        while True:
            byte = self._reader.recv(1)
            if byte == _ENDED:
                return self._ended.popleft()
            if byte[0] in self._before:
                return signal.Signals(byte[0])
