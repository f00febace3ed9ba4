"""A reader whose reads are repeated; it stands on readers that keep their position when a read raises."""

import io
import os
from collections.abc import Callable
from typing import BinaryIO, cast

from replication.client.reader import identity_of

Retry = Callable[[Callable[[], bytes]], bytes]


class RetryingReader(io.BufferedIOBase):
    """Forwards to another reader, and reads again when that was unavailable."""

    def __init__(self, inner: BinaryIO, retry: Retry) -> None:
        """Wrap a reader, which is closed with this one."""
        self._inner = inner
        self._retry = retry

    def __repr__(self) -> str:
        return f"<RetryingReader of {self._inner!r}>"

    @property
    def identity(self) -> str:
        """The identity of the file, as the inner reader knows it."""
        return identity_of(self._inner)

    def close(self) -> None:
        """Close both."""
        self._inner.close()
        super().close()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say whether the inner reader can seek."""
        return self._inner.seekable()

    def tell(self) -> int:
        """Return the inner reader's position."""
        return self._inner.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the inner reader."""
        return self._inner.seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; all that is left when negative or None."""
        return self._retry(lambda: self._inner.read(-1 if size is None else size))

    def read1(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes."""
        return self.read(size)


def retrying_reader(inner: BinaryIO, retry: Retry) -> BinaryIO:
    """Return a reader around another one."""
    return cast("BinaryIO", RetryingReader(inner, retry))  # it has every method of one, and is not declared to be one
