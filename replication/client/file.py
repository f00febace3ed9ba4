"""Replicas in a directory: `<root>/ltx/<level>/<min>-<max>.ltx`.

A file is written beside its place under a name that no listing shows, synced, given its header's time and renamed, so
a name that can be seen is whole, lasting and dated. The identity is inode, mtime and size. (The Go program sets the
mtime after the rename: what was listed in that instant is found changed once, and the reader plans again.)

What a writer that was killed left half-written is deleted by the next one, at its first write to a level, once nobody
has touched it for so long that its writer cannot be alive. (If it is, it gets an error, and writes the file again.)

Source: litestream 0.5.17, file/replica_client.go.
"""

import errno
import itertools
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from replication.client.base import ReplicaClient
from replication.client.file_lease import FileLeaseStore
from replication.client.file_v3 import FileV3Files
from replication.client.open_files import OpenFile, OpenFiles
from replication.client.reader import Chunk, open_range_reader, read_upload_head
from replication.client.v3 import V3Files
from replication.clock import SYSTEM_CLOCK, Clock, from_timestamp_ms
from replication.errors import (
    DeniedError,
    LitestreamError,
    LTXExistsError,
    LTXMissingError,
    UnavailableError,
    UsageError,
)
from replication.ltx.file_info import FileInfo
from replication.ltx.name import LTXName, ltx_dir, ltx_file_path, ltx_level_dir, parse_ltx_name
from replication.position import NO_TXID, TXID

if TYPE_CHECKING:
    from replication.client.file_watch import FileWatch

LEFTOVER_AGE_S = 3600.0
"""How long a temporary file is let alone after its last change."""

_COPY_SIZE = 2**20  # bytes
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}  # of file systems without hard links
_FULL = {errno.ENOSPC, errno.EDQUOT}
_TEMPORARY = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.ltx(\.\d+-\d+)?\.tmp")  # ours, and the Go program's
_temporary_numbers = itertools.count(1)


class FileReplicaClient(ReplicaClient):
    """A replica in a local directory."""

    type: ClassVar[str] = "file"
    accurate_list_times: ClassVar[bool] = True
    is_local: ClassVar[bool] = True

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Name the root directory; nothing is opened or created yet."""
        if not os.fspath(path):
            msg = "a file replica needs the path of a directory"
            raise UsageError(msg)
        self._root = Path(path).absolute()
        self._clock = clock
        self._open_files = OpenFiles()
        self._cleaned: set[Path] = set()  # level directories; only added to

    def __repr__(self) -> str:
        missing = "" if self._root.is_dir() else " missing"
        return f"<FileReplicaClient {self._root}{missing}>"

    @property
    def path(self) -> Path:
        """The root directory."""
        return self._root

    @property
    def v3_files(self) -> V3Files:
        """The files of Litestream 0.3 that lie there too."""
        return FileV3Files(self._root, _errors)

    def lease_store(self) -> FileLeaseStore:
        """Return where the replica's lease is."""
        return FileLeaseStore(self._root)

    def watch(self, on_change: Callable[[], None]) -> "FileWatch":
        """Call `on_change` soon after a file may have appeared, from a thread of the watch, until that is closed.

        Raises:
            UsageError: watchfiles is not installed.
            UnavailableError: there can be no more watches in this process.

        """
        from replication.client.file_watch import FileWatch  # noqa: PLC0415 - only readers watch

        return FileWatch(self._root, on_change)

    def init(self) -> None:
        """Check that the root, if there is one, is a directory."""
        with _errors(self._root):
            if self._root.exists() and not self._root.is_dir():
                msg = f"expected a directory for a file replica, got the file {self._root}"
                raise UsageError(msg)

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level from `seek` on; their times are always the headers'."""
        del use_metadata  # mtime is the header's time
        directory = Path(ltx_level_dir(str(self._root), level))
        infos: list[FileInfo] = []
        with _errors(directory), suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in entries:
                name = parse_ltx_name(entry.name)
                if name is None or name.min_txid < seek:
                    continue
                with suppress(FileNotFoundError):  # deleted since the directory was read
                    found = entry.stat()
                    if stat.S_ISREG(found.st_mode):
                        infos.append(_file_info(level, name, found))
        infos.sort(key=lambda info: (info.min_txid, info.max_txid))
        return iter(infos)

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end.

        A file read from lately is still open, and readable even if its name is gone by now.
        """
        if end is None or not info.identity:
            file = self._open(info)
        else:
            key = (info.level, info.min_txid, info.max_txid, info.identity)
            file = self._open_files.get(key, lambda: self._open(info))
        try:
            return file.read(start, file.size if end is None else end)
        except OSError as error:
            with _errors(self._file_path(info.level, info.min_txid, info.max_txid)):
                raise error from None

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader; it keeps the file readable even when it is deleted meanwhile."""
        path = self._file_path(level, min_txid, max_txid)
        with _errors(path):
            if size == 0 and offset == 0:
                return path.open("rb")
            file = OpenFile(path)

        def read_chunk(_identity: str, start: int, end: int) -> Chunk:
            with _errors(path):
                return Chunk(file.read(start, end))

        return open_range_reader(read_chunk, offset=offset, size=size)

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store a file, synced to disk when this returns."""
        path = self._file_path(level, min_txid, max_txid)
        head = read_upload_head(reader)
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{next(_temporary_numbers)}.tmp")
        with _errors(path, missing=UnavailableError):  # somebody deletes the directory meanwhile
            _make_directories(path.parent)
            self._clean(path.parent)
            try:
                with temporary.open("xb") as file:
                    file.write(head.data)
                    shutil.copyfileobj(reader, file, _COPY_SIZE)
                    file.flush()
                    timestamp_ns = head.timestamp_ms * 1_000_000
                    os.utime(temporary, ns=(timestamp_ns, timestamp_ns))
                    os.fsync(file.fileno())
                    written = os.fstat(file.fileno())
                if if_absent:
                    _name_if_absent(temporary, path)
                else:
                    temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync_directory(path.parent)
        return _file_info(level, LTXName(min_txid, max_txid), written)

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files; those already gone are no error."""
        self._open_files.close()
        for info in infos:
            path = self._file_path(info.level, info.min_txid, info.max_txid)
            with _errors(path), suppress(FileNotFoundError):
                path.unlink()

    def delete_all(self) -> None:
        """Delete the directory `ltx` with all that is in it, and nothing beside it."""
        self._open_files.close()
        directory = Path(ltx_dir(str(self._root)))
        with _errors(directory), suppress(FileNotFoundError):
            shutil.rmtree(directory)

    def close(self) -> None:
        """Close the files kept open; the client may be used again afterwards."""
        self._open_files.close()

    def _clean(self, directory: Path) -> None:
        """Delete what writers that are gone left half-written in the directory of a level, once."""
        if directory in self._cleaned:
            return
        self._cleaned.add(directory)
        oldest = self._clock.now().timestamp() - LEFTOVER_AGE_S
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]
        for name in names:
            with suppress(FileNotFoundError):  # finished, or deleted by another writer
                if (directory / name).stat().st_ctime < oldest:
                    (directory / name).unlink()

    def _open(self, info: FileInfo) -> OpenFile:
        path = self._file_path(info.level, info.min_txid, info.max_txid)
        with _errors(path):
            file = OpenFile(path)
            if info.identity and info.identity != _identity(os.fstat(file.descriptor)):
                msg = f"{path} was replaced by another file since it was listed"
                raise LTXMissingError(msg)
            return file

    def _file_path(self, level: int, min_txid: TXID, max_txid: TXID) -> Path:
        return Path(ltx_file_path(str(self._root), level, min_txid, max_txid))


def _file_info(level: int, name: LTXName, found: os.stat_result) -> FileInfo:
    return FileInfo(
        level=level,
        min_txid=name.min_txid,
        max_txid=name.max_txid,
        size=found.st_size,
        created_at=from_timestamp_ms(found.st_mtime_ns // 1_000_000),
        identity=_identity(found),
    )


def _identity(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def _make_directories(directory: Path) -> None:
    """Make a directory and its parents, each of them synced into its own parent."""
    if directory.is_dir():
        return
    _make_directories(directory.parent)
    directory.mkdir(exist_ok=True)
    _sync_directory(directory.parent)


def _name_if_absent(temporary: Path, path: Path) -> None:
    """Give a file its name unless that is taken.

    Raises:
        LTXExistsError: it is taken.
        OSError: as `os.link`.

    """
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise _exists(path) from error
        temporary.replace(path)
    else:
        temporary.unlink()


def _exists(path: Path) -> LTXExistsError:
    return LTXExistsError(f"{path} is there already")


def _sync_directory(directory: Path) -> None:
    """Make the names in a directory last."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _errors(path: Path, missing: type[LitestreamError] = LTXMissingError) -> Iterator[None]:
    """Give what the operating system says of `path` one of our classes."""
    try:
        yield
    except LitestreamError:
        raise
    except FileNotFoundError as error:
        msg = f"{path} is not there"
        raise missing(msg) from error
    except PermissionError as error:
        msg = f"no permission for {error.filename or path}: {error.strerror}"
        raise DeniedError(msg) from error
    except OSError as error:
        reason = "no space left on the device" if error.errno in _FULL else error.strerror or str(error)
        msg = f"{path}: {reason}"
        raise UnavailableError(msg) from error
