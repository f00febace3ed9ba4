"""Whole files of a store that cannot read parts of them: fetched once, and kept for the reads to come.

Small files are kept in memory, larger ones in temporary files without a name, so that nothing stays behind. Each kind
has a bound in bytes; the file that was not read for longest goes first. A file larger than the bound is kept beside the
others, one at a time: otherwise each read of it would fetch it anew. So at most the bound and one file are on disk. A
file that somebody reads from stays readable when it is no longer kept.
"""

import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Protocol
from weakref import WeakSet

from replication.client.open_files import OpenFile
from replication.errors import LitestreamError, UnavailableError
from replication.forking import after_fork_in_child

SMALL_FILE_SIZE = 2**20  # bytes; larger files go to disk
MAX_MEMORY_SIZE = 16 * 2**20  # bytes of small files
DEFAULT_KEEP_SIZE = 256 * 2**20  # bytes on disk; so there are at most 256 open files

Write = Callable[[bytes], object]
Fetch = Callable[[Write], None]
"""Writes a whole file, piece by piece, or raises."""


class KeptFile(Protocol):
    """A whole file."""

    size: int

    def read(self, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` (exclusive), fewer at the end of the file."""


class KeptFiles:
    """The files read last, by a key that names one content for ever."""

    def __init__(self, keep_size: int = DEFAULT_KEEP_SIZE) -> None:
        """Keep nothing yet; `keep_size` bounds the bytes on disk."""
        self._keep_size = keep_size
        self.after_fork()
        _all.add(self)

    def after_fork(self) -> None:
        """Start anew in a forked child: a thread of the parent may have held the lock, in the middle of a change."""
        self._lock = Lock()
        self._memory = _Shelf(MAX_MEMORY_SIZE)  # guarded by _lock
        self._disk = _Shelf(self._keep_size)  # guarded by _lock
        self._fetching: dict[str, Future[KeptFile]] = {}  # guarded by _lock

    def __repr__(self) -> str:
        return f"<KeptFiles memory={self._memory.size} disk={self._disk.size}>"

    @property
    def memory_size(self) -> int:
        """How many bytes are kept in memory."""
        return self._memory.size

    @property
    def disk_size(self) -> int:
        """How many bytes are kept on disk, the file larger than the bound included."""
        return self._disk.size

    def get(self, key: str) -> KeptFile | None:
        """Return a file if it is kept."""
        with self._lock:
            return self._memory.get(key) or self._disk.get(key)

    def fetch(self, key: str, size: int, fetch: Fetch) -> KeptFile:
        """Return a file; those who ask for the same one at once wait for one call of `fetch`.

        Raises:
            UnavailableError: there is no place to keep it; and what `fetch` raises.

        """
        with self._lock:
            kept = self._memory.get(key) or self._disk.get(key)
            if kept is not None:
                return kept
            future = self._fetching.get(key)
            leads = future is None
            if future is None:
                future = self._fetching[key] = Future()
        if not leads:
            return future.result()
        try:
            kept = _in_memory(fetch) if size <= SMALL_FILE_SIZE else _on_disk(fetch)
        except BaseException as error:
            with self._lock:
                self._fetching.pop(key, None)
            # An interrupt is meant for the thread that it came to.
            future.set_exception(
                error if isinstance(error, Exception) else UnavailableError("the fetch was broken off")
            )
            raise
        with self._lock:
            self._fetching.pop(key, None)
            (self._memory if isinstance(kept, MemoryFile) else self._disk).put(key, kept)
        future.set_result(kept)
        return kept

    def clear(self) -> None:
        """Keep nothing more."""
        with self._lock:
            self._memory.clear()
            self._disk.clear()


class MemoryFile:
    """A whole file in memory."""

    __slots__ = ("_data", "size")

    def __init__(self, data: bytes) -> None:
        """Take the content."""
        self._data = data
        self.size = len(data)

    def read(self, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` (exclusive), fewer at the end of the file."""
        return self._data[start:end]


class _Shelf:
    """Files up to a number of bytes, and one that is larger."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._files: OrderedDict[str, KeptFile] = OrderedDict()
        self._files_size = 0
        self._large: tuple[str, KeptFile] | None = None

    @property
    def size(self) -> int:
        return self._files_size + (self._large[1].size if self._large else 0)

    def get(self, key: str) -> KeptFile | None:
        if self._large is not None and self._large[0] == key:
            return self._large[1]
        file = self._files.get(key)
        if file is not None:
            self._files.move_to_end(key)
        return file

    def put(self, key: str, file: KeptFile) -> None:
        if file.size > self._max_size:
            self._large = key, file
            return
        self._files[key] = file
        self._files_size += file.size
        while self._files_size > self._max_size:
            _, old = self._files.popitem(last=False)
            self._files_size -= old.size

    def clear(self) -> None:
        self._files.clear()
        self._files_size = 0
        self._large = None


def _in_memory(fetch: Fetch) -> KeptFile:
    data = bytearray()
    fetch(data.extend)
    return MemoryFile(bytes(data))


def _on_disk(fetch: Fetch) -> KeptFile:
    try:
        with tempfile.TemporaryFile(prefix="litestream-") as file:
            fetch(file.write)
            file.flush()
            return OpenFile.of_descriptor(os.dup(file.fileno()))
    except LitestreamError:
        raise  # the fetch's own; some are OSErrors too
    except OSError as error:
        msg = f"no place to keep a file in {tempfile.gettempdir()}: {error.strerror}"
        raise UnavailableError(msg) from error


_all: WeakSet[KeptFiles] = WeakSet()


def _after_fork() -> None:
    for files in _all:
        files.after_fork()


after_fork_in_child(_after_fork)
