"""How many descriptors of a file this process has, and how many of them are not those of APSW's connections.

Only the numbers of the descriptors are read, and what the system says of each. No file is opened, for closing one drops
the process's locks on it (`replication.sync.tap`).

SQLite opens the file of a database once for each connection. While any of its connections holds a lock on the file, it
does not close the descriptor of one that is closed, but keeps it for the next that opens the file. Such descriptors
belong to no connection, and cannot be told from those of somebody else.

Source: SQLite's os_unix.c, "setPendingFd" and "findReusableFd".
"""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Self

import apsw

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


@dataclass(frozen=True, slots=True)
class ForeignDescriptors:
    """The descriptors of a database that belong to no connection of APSW.

    While other threads open and close connections, there may seem to be some.
    """

    count: int
    is_kept: bool  # whether they may be those that APSW's SQLite keeps for connections to come

    @classmethod
    def of(cls, file: FileId) -> Self:
        """Look for them."""
        before = _APSWConnections.of(file, apsw.connections())
        count = open_files()[file]
        after = _APSWConnections.of(file, apsw.connections())
        known = max(before.count + before.busy_count, after.count + after.busy_count)
        return cls(max(0, count - known), before.may_lock or after.may_lock)


@dataclass(frozen=True, slots=True)
class _APSWConnections:
    """What APSW's connections have to do with a file."""

    count: int  # how many descriptors of it they have
    busy_count: int  # how many connections are at work in other threads, and do not say what they have open
    may_lock: bool  # whether one may have a lock on it

    @classmethod
    def of(cls, file: FileId, connections: Iterable[apsw.Connection]) -> Self:
        count = busy_count = 0
        has_lock = False
        for connection in connections:
            try:
                for schema in connection.db_names():
                    if file_id(connection.db_filename(schema) or "") == file:
                        count += 1
                        has_lock = has_lock or _is_locked(connection, schema)
            except apsw.ConnectionClosedError:
                continue
            except apsw.Error:  # at work in another thread, or being changed by it
                busy_count += 1
        return cls(count, busy_count, has_lock or busy_count > 0)


def _is_locked(connection: apsw.Connection, schema: str) -> bool:
    import ctypes  # noqa: PLC0415 - rarely needed

    level = ctypes.c_int(0)
    connection.file_control(schema, apsw.SQLITE_FCNTL_LOCKSTATE, ctypes.addressof(level))
    return level.value > apsw.SQLITE_LOCK_NONE


def _numbers() -> list[int]:
    for directory in _DIRECTORIES:
        try:
            return [int(name) for name in os.listdir(directory)]  # noqa: PTH208 - names, not paths
        except OSError:
            continue
    return []
