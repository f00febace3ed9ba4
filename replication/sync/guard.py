"""Keeps other copies of SQLite in this process away from the databases that are replicated.

Closing any descriptor of a file drops all locks that the process has on it (`replication.sync.tap`). So while a `Guard`
lives, nobody in the process may have its database open but APSW. What is seen, and what is not:

- The module sqlite3 has it open already, or another library: `replication.sync.other_sqlite` looks for them once.
- `sqlite3.connect` is called for it later: Python tells of the call before it is done, and it is refused.
- The database or its -shm are opened by `open` or `os.open`: Python tells of that too, and it is logged, once for each
  file, for whoever opens it may leave it open. On the WAL SQLite has no locks.
- Not seen: later on, ATTACH in a connection of the module sqlite3, and libraries with an SQLite of their own.

Python tells of such events through an audit hook, which can never be removed. It is added with the first guard of the
process, and from then on costs 0.2 µs at each event of any kind that Python tells of.

A forked child does not replicate, and has no locks to lose: in it nothing is guarded.

Source: PEP 578; docs.python.org/3/library/audit_events.html.
"""

import itertools
import os
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import NoReturn

from replication.clock import SYSTEM_CLOCK
from replication.errors import UsageError
from replication.forking import after_fork_in_child
from replication.sync.descriptors import FileId, file_id, open_files
from replication.sync.other_sqlite import ADVICE, check_no_other_sqlite, has_own_sqlite
from replication.sync.sqlite_names import possible_files

_SUFFIXES = ("", "-shm")  # of the files that SQLite has locks on

SCAN_LIFE_S = 1.0
"""How long it counts that a file was not open. A process may open thousands of databases, one after the other."""


class Guard:
    """Keeps others from one database until it is closed; any thread may close it."""

    def __init__(self, path: Path, file_info: os.stat_result, *, logger: Logger) -> None:
        """Guard a database that is about to be opened through APSW, and of which the system told this.

        Raises:
            UsageError: another copy of SQLite has it open in this process.

        """
        self._path = path
        self._logger = logger
        self._told: set[str] = set()  # of the two files, those that a warning told of
        real = os.path.realpath(path)
        paths = [real + suffix for suffix in _SUFFIXES]
        file = FileId.of(file_info)
        # All three kinds in one table: a name has no slash, and a path has one.
        self._keys: list[object] = [file, *paths, *(os.path.basename(one) for one in paths)]  # noqa: PTH119
        _guarded.add(self, self._keys)
        try:  # whoever comes from here on is refused
            if has_own_sqlite() and _scans.has(file):
                check_no_other_sqlite(str(path), file, logger)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others have the database; a second time does nothing."""
        keys, self._keys = self._keys, []
        _guarded.remove(self, keys)

    def refuse(self, database: object) -> NoReturn:
        """Refuse a call of `sqlite3.connect`."""
        msg = f"{self._path} is replicated in this process, got sqlite3.connect({database!r}); {ADVICE}"
        raise UsageError(msg)

    def tell_opened(self, path: str) -> None:
        """Tell that a file was opened, the first time."""
        if path not in self._told:
            self._told.add(path)
            self._logger.warning(
                "%s is opened in this process by other means than APSW while %s is replicated: when it is closed, the "
                "locks of APSW are dropped, and another process may delete the live WAL",
                path,
                self._path,
            )


class _Guarded:
    """What is guarded, by which file it is, by path, and by name."""

    def __init__(self) -> None:
        self.guards: dict[object, tuple[Guard, ...]] = {}  # written under _lock, read without
        self._lock = threading.Lock()
        self._is_told = False  # guarded by _lock; whether the audit hook is there

    def add(self, guard: Guard, keys: list[object]) -> None:
        with self._lock:
            for key in keys:
                self.guards[key] = (*self.guards.get(key, ()), guard)
            if not self._is_told:
                sys.addaudithook(_audit)
                self._is_told = True

    def remove(self, guard: Guard, keys: list[object]) -> None:
        with self._lock:
            for key in keys:
                left = tuple(one for one in self.guards.get(key, ()) if one is not guard)
                if left:
                    self.guards[key] = left
                else:
                    self.guards.pop(key, None)

    def forget(self) -> None:
        """Guard nothing: in a forked child, where the lock may be held by a thread that is not there."""
        self._lock = threading.Lock()
        self.guards.clear()


@dataclass(frozen=True, slots=True)
class _Scan:
    """A look at the descriptors of the process."""

    files: Counter[FileId]
    made_at: float  # by the monotonic clock
    sqlite3_calls: int  # that there were before


class _Scans:
    """The last look, for files that nobody has open."""

    def __init__(self) -> None:
        self.sqlite3_calls = 0  # written by the audit hook: another number after each call of sqlite3.connect
        self._last: _Scan | None = None  # replaced as a whole

    def has(self, file: FileId) -> bool:
        """Say whether the process has a file open; if not, it may be a while ago that it had not.

        But no connection of the module sqlite3 has been made since.
        """
        now, calls = SYSTEM_CLOCK.monotonic(), self.sqlite3_calls
        scan = self._last
        if scan is None or scan.sqlite3_calls != calls or now >= scan.made_at + SCAN_LIFE_S:
            self._last = scan = _Scan(open_files(), now, calls)
        return file in scan.files


_guarded = _Guarded()
_scans = _Scans()
_numbers = itertools.count(1)
after_fork_in_child(_guarded.forget)


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    """Look at an event; called for all there are in this process, in any thread."""
    if event == "open":
        path = arguments[0] if arguments else None
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, str) and path.rpartition("/")[2] in _guarded.guards:
            _look_at_opened(path)
    elif event == "sqlite3.connect":  # before the database is opened
        if _guarded.guards and arguments and has_own_sqlite():
            _look_at_connect(arguments[0])
    elif event == "sqlite3.connect/handle":  # after
        _scans.sqlite3_calls = next(_numbers)


def _look_at_opened(path: str) -> None:
    real = _real_path(path)
    for guard in _guarded.guards.get(real, ()):
        guard.tell_opened(real)


def _look_at_connect(database: object) -> None:
    for path in possible_files(database):
        # Also by path: where the file was deleted, SQLite would make it.
        for key in (file_id(path), _real_path(path)):
            for guard in _guarded.guards.get(key, ()):
                guard.refuse(database)


def _real_path(path: str) -> str:
    """Return the path without symbolic links, or nothing for what no path can be."""
    try:
        return os.path.realpath(path)
    except ValueError:
        return ""
