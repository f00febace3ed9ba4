"""Files of Litestream 0.3 in a directory."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from replication.client.open_files import OpenFile
from replication.client.v3 import GENERATIONS_DIR, V3File, parse_v3_path
from replication.clock import from_timestamp_ms

Errors = Callable[[Path], AbstractContextManager[None]]
"""Gives what the operating system says of a path one of our classes."""


class FileV3Files:
    """The files below the root of a file replica."""

    def __init__(self, root: Path, errors: Errors) -> None:
        """Name the root; nothing is opened yet."""
        self._directory = root / GENERATIONS_DIR
        self._errors = errors

    def list(self) -> Iterator[V3File]:
        """Yield the files of all generations; their times are the mtimes."""
        with self._errors(self._directory), suppress(FileNotFoundError):
            for path in self._directory.glob("*/*/*.lz4"):
                with suppress(FileNotFoundError):  # deleted since the directory was read
                    found = path.stat()
                    created_at = from_timestamp_ms(found.st_mtime_ns // 1_000_000)
                    file = parse_v3_path(path.relative_to(self._directory).as_posix(), found.st_size, created_at)
                    if file is not None:
                        yield file

    def read(self, file: V3File, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file."""
        path = self._directory / file.path
        with self._errors(path):
            return OpenFile(path).read(start, end)
