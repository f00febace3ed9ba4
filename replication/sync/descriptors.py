"""How many descriptors of a file this process has, and how many of them are not those of APSW's SQLite.

Only the numbers of the descriptors are read, and what the system says of each. No file is opened here but through
SQLite, for closing one drops the process's locks on it (`replication.sync.tap`).

SQLite opens the file of a database once for each connection. While any of its connections holds a lock on the file, it
does not close the descriptor of one that is closed, but keeps it for the next that opens the file. Those descriptors
belong to no connection, and can be told from those of somebody else in one way only: open the file through SQLite, and
see whether there are more of them then.

Source: SQLite's os_unix.c, "setPendingFd" and "findReusableFd".
"""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Self

import apsw

from replication.sync.sqlite_errors import sqlite_errors

MAX_KEPT_COUNT = 64
"""Where there are more that may be kept, all count as those of somebody else."""

_READONLY = apsw.SQLITE_OPEN_READONLY
_DIRECTORIES = ("/proc/self/fd", "/dev/fd")  # Linux, others


class FileId(NamedTuple):
    """Which file it is, whatever its name."""

    device: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """Return the file that the system told of."""
        return cls(found.st_dev, found.st_ino)


def file_id(path: str) -> FileId | None:
    """Return which file is at a path, or None if there is none, or none that can be looked at."""
    try:
        return FileId.of(os.stat(path))  # noqa: PTH116 - called for each name that APSW gives
    except (OSError, ValueError):  # the latter for a name that no file can have
        return None


def open_files() -> Counter[FileId]:
    """Return how many descriptors of each file this process has; nothing where the system does not tell."""
    counts: Counter[FileId] = Counter()
    for number in _numbers():
        with suppress(OSError):  # closed meanwhile, as the one that listed them
            counts[FileId.of(os.fstat(number))] += 1
    return counts


def foreign_descriptors(path: str, file: FileId) -> int:
    """Return how many descriptors of the database at `path` are not APSW's; 0 also when that cannot be told.

    While other threads open and close connections, the answer may be wrong.

    Raises:
        PrimaryUnavailableError, PrimaryDeniedError: SQLite cannot open the file.

    """
    apsws = _APSWConnections.of(file, apsw.connections())
    foreign = _access_counts(file) - apsws.counts
    if foreign.total() > apsws.busy_count and apsws.has_lock:
        foreign -= Counter({access: _kept_count(path, file, access, count) for access, count in foreign.items()})
        return max(0, foreign.total() - apsws.busy_count)
    # Without a lock SQLite keeps none, and what was opened to try would be closed, and drop the locks of others.
    return 0 if apsws.busy_count else foreign.total()


def _access_counts(file: FileId) -> Counter[int]:
    """Return how many descriptors of a file there are for reading, and how many for writing too, in SQLite's words."""
    import fcntl  # noqa: PLC0415 - not on Windows

    counts: Counter[int] = Counter()
    for number in _numbers():
        with suppress(OSError):  # closed meanwhile
            if FileId.of(os.fstat(number)) == file:
                flags = fcntl.fcntl(number, fcntl.F_GETFL)
                counts[_READONLY if flags & os.O_ACCMODE == os.O_RDONLY else apsw.SQLITE_OPEN_READWRITE] += 1
    return counts


@dataclass(frozen=True, slots=True)
class _APSWConnections:
    """What APSW's connections have to do with a file."""

    counts: Counter[int]  # how many descriptors of it they have, by access
    busy_count: int  # how many connections are at work in other threads, and do not say what they have open
    has_lock: bool

    @classmethod
    def of(cls, file: FileId, connections: Iterable[apsw.Connection]) -> Self:
        counts: Counter[int] = Counter()
        busy_count = 0
        has_lock = False
        for connection in connections:
            try:
                for schema in connection.db_names():
                    if file_id(connection.db_filename(schema) or "") == file:
                        counts[_READONLY if connection.readonly(schema) else apsw.SQLITE_OPEN_READWRITE] += 1
                        has_lock = has_lock or _is_locked(connection, schema)
            except apsw.ConnectionClosedError:
                continue
            except apsw.Error:  # at work in another thread, or being changed by it
                busy_count += 1
        return cls(counts, busy_count, has_lock)


def _is_locked(connection: apsw.Connection, schema: str) -> bool:
    import ctypes  # noqa: PLC0415 - rarely needed

    level = ctypes.c_int(0)
    connection.file_control(schema, apsw.SQLITE_FCNTL_LOCKSTATE, ctypes.addressof(level))
    return level.value > apsw.SQLITE_LOCK_NONE


def _kept_count(path: str, file: FileId, access: int, limit: int) -> int:
    """Return how many descriptors of an access SQLite keeps for connections to come, `limit` at most.

    It must have a lock on the file. What is opened in vain is kept too, so there is an end to trying.
    """
    if limit > MAX_KEPT_COUNT:
        return 0
    # A symbolic link is an error to APSW where a file is opened by itself.
    name = os.path.realpath(path)
    opened: list[apsw.VFSFile] = []
    try:
        for kept_count in range(limit):
            before = open_files()[file]
            with sqlite_errors(path):
                opened.append(apsw.VFSFile("", name, [apsw.SQLITE_OPEN_MAIN_DB | access, 0]))
            if open_files()[file] > before:
                return kept_count
        return limit
    finally:
        for vfs_file in opened:
            vfs_file.xClose()


def _numbers() -> list[int]:
    for directory in _DIRECTORIES:
        try:
            return [int(name) for name in os.listdir(directory)]  # noqa: PTH208 - names, not paths
        except OSError:
            continue
    return []
