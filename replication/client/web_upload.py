"""What is uploaded to a web server: bytes of a known size, since many servers take no upload in chunks.

A source that cannot tell its size is copied to a temporary file first, in memory while it is small.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from replication.client.reader import read_fully
from replication.errors import UnavailableError

SPOOL_SIZE = 4 * 2**20  # bytes kept in memory at most
_COPY_SIZE = 2**18  # bytes


class Upload:
    """Bytes read already, and a source of the rest; each iteration gives all of them, from the begin."""

    def __init__(self, head: bytes, source: BinaryIO, rest_size: int) -> None:
        """Take the source where it stands; it must be able to go back to there."""
        self.size = len(head) + rest_size
        self._head = head
        self._source = source
        self._start = source.tell()
        self._rest_size = rest_size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in parts of bounded size.

        Raises:
            UnavailableError: the source has fewer bytes by now.

        """
        self._source.seek(self._start)
        yield self._head
        missing = self._rest_size
        while missing > 0:
            data = self._source.read(min(missing, _COPY_SIZE))
            if not data:
                msg = f"expected {self.size} bytes to upload, got {self.size - missing}"
                raise UnavailableError(msg)
            missing -= len(data)
            yield data


@contextmanager
def open_upload(head: bytes, reader: BinaryIO) -> Iterator[Upload]:
    """Give what is to be uploaded: `head`, which was read already, and what the reader still has.

    Raises:
        UnavailableError: there is no space for a copy.

    """
    size = _size_left(reader)
    if size is not None:
        yield Upload(head, reader, size)
        return
    with SpooledTemporaryFile(max_size=SPOOL_SIZE, prefix="litestream-") as file:
        copy = cast("BinaryIO", file)  # it has every method of one, and is not declared to be one
        while data := read_fully(reader, _COPY_SIZE):
            try:
                copy.write(data)
            except OSError as error:
                msg = f"no copy of an upload can be kept in the directory of temporary files: {error.strerror}"
                raise UnavailableError(msg) from error
        size = copy.tell()
        copy.seek(0)
        yield Upload(head, copy, size)


def _size_left(reader: BinaryIO) -> int | None:
    """Return how many bytes a reader still has, or None if it cannot tell, or cannot go back."""
    if not reader.seekable():
        return None
    here = reader.tell()
    try:
        end = reader.seek(0, os.SEEK_END)
    except io.UnsupportedOperation:
        return None
    reader.seek(here)
    return end - here
