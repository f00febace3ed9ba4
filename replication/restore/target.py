"""The file a restore writes: beside its place under another name, and there at once when it is whole.

The name `<output>.tmp` is locked while it is written, so that two restores of one output do not mix; what a killed one
left behind is no obstacle to the next. Nobody has ever seen the output half written: it is synced, then renamed.

A descriptor is closed when nobody has it any more, so a thread that still writes while the restore is given up writes
to a file without a name, and never to another one.

Source: litestream 0.5.17, cmd/litestream/restore.go.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from replication.errors import DeniedError, LitestreamError, UnavailableError, UsageError

SIBLING_SUFFIXES = ("-wal", "-shm", "-journal")
TEMPORARY_SUFFIX = ".tmp"

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DIRECTORY_MODE = 0o700  # as the Go program makes them

_seeking = Lock()


def _seek_and_write(descriptor: int, data: bytes | memoryview, offset: int) -> int:
    """Do what `os.pwrite` does where there is none, on Windows."""
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.write(descriptor, data)


_pwrite: Callable[[int, bytes | memoryview, int], int] = getattr(os, "pwrite", _seek_and_write)


def check_output(output: Path, *, overwrite: bool) -> None:
    """Check that a database may be written there.

    Raises:
        UsageError: there is something already that must not be overwritten, or a directory.

    """
    with writing(output):
        if output.is_dir():
            msg = f"expected the path of a file to restore to, got the directory {output}"
            raise UsageError(msg)
        if overwrite:
            return
        if output.exists() and output.stat().st_size > 0:
            msg = f"{output} already exists and is not empty; it stays as it is unless told to overwrite it"
            raise UsageError(msg)
        for sibling in _siblings(output):
            if sibling.exists():
                msg = f"{sibling} already exists, and SQLite would read it as part of the restored database"
                raise UsageError(msg)


class OutputFile:
    """The temporary file; a context manager that removes it unless `publish` was called.

    Raises:
        UsageError: another restore writes it.
        DeniedError, UnavailableError: the operating system refuses, or the disk is full.

    """

    def __init__(self, output: Path) -> None:
        """Make the file, empty, and the directories it lies in."""
        self._output = output
        self.path = output.with_name(output.name + TEMPORARY_SUFFIX)
        with writing(output):
            output.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            self._file = _open_locked(self.path)
            os.truncate(self._file.number, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._file.published:
            with suppress(OSError):
                self.path.unlink()

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write all the data at an offset; any thread may."""
        with writing(self._output):
            view = memoryview(data)
            while view:
                written = _pwrite(self._file.number, view, offset)
                view, offset = view[written:], offset + written

    def truncate(self, size: int) -> None:
        """Set the size, in bytes; what was never written is a hole."""
        with writing(self._output):
            os.truncate(self._file.number, size)

    def sync(self) -> None:
        """Make what was written last."""
        with writing(self._output):
            os.fsync(self._file.number)

    def publish(self, *, overwrite: bool) -> None:
        """Put the file in its place, for good."""
        check_output(self._output, overwrite=overwrite)
        with writing(self._output):
            # Before the rename: an older database's WAL must never lie beside the new one.
            for sibling in _siblings(self._output):
                sibling.unlink(missing_ok=True)
            self.path.replace(self._output)
            self._file.published = True
            _sync_directory(self._output.parent)


class _Descriptor:
    """A file descriptor that is closed with the object."""

    __slots__ = ("number", "published")

    def __init__(self, path: Path) -> None:
        self.number = -1
        self.published = False
        self.number = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)


def _open_locked(path: Path) -> _Descriptor:
    while True:
        file = _Descriptor(path)
        if not _lock(file.number):
            msg = f"another restore writes {path}"
            raise UsageError(msg)
        # Who held the lock before may have renamed or removed the file since it was opened here.
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.number)):
                return file


def _lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; say whether nobody else had it."""
    try:
        import fcntl  # noqa: PLC0415 - Windows has none
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _siblings(output: Path) -> list[Path]:
    return [output.with_name(output.name + suffix) for suffix in SIBLING_SUFFIXES]


def _sync_directory(directory: Path) -> None:
    with suppress(PermissionError):  # Windows cannot open directories
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Give what the operating system says while writing `output` one of our classes."""
    try:
        yield
    except LitestreamError:
        raise
    except PermissionError as error:
        msg = f"no permission to write {error.filename or output}: {error.strerror}"
        raise DeniedError(msg) from error
    except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        msg = f"cannot write {output}: {error.strerror}: {error.filename or output}"
        raise UsageError(msg) from error
    except OSError as error:
        reason = "no space left on the device" if error.errno in _FULL else error.strerror or str(error)
        msg = f"cannot write {output}: {reason}"
        raise UnavailableError(msg) from error
