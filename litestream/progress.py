"""How far something is, on one line of a terminal that is written over and over."""

import sys
from types import TracebackType
from typing import Self, TextIO

from litestream.columns import format_size

_CLEAR = "\r\x1b[K"  # to the start of the line, and clear to its end


class TerminalProgress:
    """Shows bytes done of bytes in all, where the stream is a terminal; a context manager that clears the line."""

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        """Say what is being done; without a stream it is told on standard error."""
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._is_shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_shown:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def __call__(self, done: int, total: int) -> None:
        """Show the line."""
        if not self._stream.isatty():
            return
        percent = 100 * done // total if total else 100
        self._stream.write(f"{_CLEAR}{self._what}: {percent} % of {format_size(total)}")
        self._stream.flush()
        self._is_shown = True
