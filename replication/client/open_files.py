"""A few files kept open for reading, so that reading a page does not open its file anew.

An open file stays readable when its name is deleted, and it never turns into another file. A descriptor is closed when
nobody has it any more, so one that is dropped here while a thread reads from it stays valid until that read is done.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Self
from weakref import WeakSet

from replication.forking import after_fork_in_child

MAX_OPEN_FILES = 32


_seeking = Lock()


def _seek_and_read(descriptor: int, size: int, offset: int) -> bytes:
    """Do what `os.pread` does where there is none, on Windows."""
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


_pread: Callable[[int, int, int], bytes] = getattr(os, "pread", _seek_and_read)


class OpenFile:
    """A descriptor that is closed with the object."""

    __slots__ = ("descriptor", "size")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open for reading.

        Raises:
            OSError: as `os.open`.

        """
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = os.fstat(self.descriptor).st_size

    @classmethod
    def of_descriptor(cls, descriptor: int) -> Self:
        """Take over an open file, which need not have a name any more."""
        file = cls.__new__(cls)
        file.descriptor = descriptor
        file.size = os.fstat(descriptor).st_size
        return file

    def read(self, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` (exclusive), fewer at the end of the file.

        Raises:
            OSError: as `os.pread`.

        """
        end = min(end, self.size)
        data = _pread(self.descriptor, max(0, end - start), start)
        if len(data) >= end - start:
            return data
        parts = [data]
        while data and (start := start + len(data)) < end:  # one call gives at most 2 GiB
            data = _pread(self.descriptor, end - start, start)
            parts.append(data)
        return b"".join(parts)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class OpenFiles:
    """The files last read from, by a key that names one content for ever."""

    def __init__(self) -> None:
        """Have none open."""
        self._lock = Lock()
        self._files: OrderedDict[object, OpenFile] = OrderedDict()  # guarded by _lock
        _all.add(self)

    def get(self, key: object, open_file: Callable[[], OpenFile]) -> OpenFile:
        """Return the open file of a key, opened by `open_file` if there is none."""
        with self._lock:
            file = self._files.get(key)
            if file is not None:
                self._files.move_to_end(key)
                return file
        file = open_file()
        with self._lock:
            self._files[key] = file
            if len(self._files) > MAX_OPEN_FILES:
                self._files.popitem(last=False)
        return file

    def close(self) -> None:
        """Keep none open."""
        with self._lock:
            self._files.clear()

    def after_fork(self) -> None:
        """Start anew in a forked child: a thread of the parent may have held the lock, in the middle of a change."""
        self._lock = Lock()
        self._files = OrderedDict()


_all: WeakSet[OpenFiles] = WeakSet()


def _after_fork() -> None:
    for files in _all:
        files.after_fork()


after_fork_in_child(_after_fork)
