"""The lock on the local state of a database: one process, and in it one `DB`, replicates with it at a time.

    <meta>/lock    locked while somebody replicates; it says who, and since when: {"pid": 4711, "since": "..."}
    <meta>/id      16 hex digits, random, made once

The system lets go of the lock when its holder dies. A child that was forked meanwhile would go on holding it, so it
closes what it has inherited. The file stays when the lock goes, for deleting it would let two in.

A lock has an id: that of this file, in this local state, on this machine since it was started. Whoever holds the lock
knows that everybody else with the same id is gone, which is what lets a lease be taken over at once
(`replication.lease`). So the id changes where that would not follow: in a copy of the directory, and on another machine
that mounts it. The Go program leaves both files alone, its `reset` too.
"""

import hashlib
import json
import os
import re
import secrets
import socket
import weakref
from pathlib import Path

from replication.clock import SYSTEM_CLOCK, Clock, format_instant
from replication.errors import LocalStateHeldError
from replication.forking import after_fork_in_child
from replication.sync.local_files import TEMPORARY_SUFFIX, inherit, local_errors, sync_directory

LOCK_NAME = "lock"
ID_NAME = "id"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ID = re.compile(r"[0-9a-f]{16}")
_MAX_HOLDER_SIZE = 1024  # bytes of the file that are read


class MetaLock:
    """Held from the beginning until it is closed; any thread may close it."""

    def __init__(self, meta_path: Path, database: Path, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Take the lock on a directory, which must be there.

        Raises:
            LocalStateHeldError: somebody else has it.
            DeniedError, UnavailableError: the directory cannot be used.

        """
        self._path = meta_path / LOCK_NAME
        with local_errors(self._path):
            # Not truncated: it says who holds the lock.
            self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
            _held.add(self)
            try:
                self._take(database, clock)
                self.id = self._make_id(database)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of the lock; a second time does nothing."""
        _held.discard(self)
        self._file.close()

    def _take(self, database: Path, clock: Clock) -> None:
        import fcntl  # noqa: PLC0415 - not on Windows

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = (
                f"expected that nobody else replicates {database} with the local state in {self._path.parent}, "
                f"got {_holder(self._file.read(_MAX_HOLDER_SIZE))}"
            )
            raise LocalStateHeldError(msg) from None
        if not os.fstat(self._file.fileno()).st_size:  # just made
            inherit(self._file.fileno(), database)
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), "since": format_instant(clock.now())}).encode())

    def _make_id(self, database: Path) -> str:
        found = os.fstat(self._file.fileno())
        text = f"{self._stored_id(database)} {_machine()} {found.st_dev} {found.st_ino}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _stored_id(self, database: Path) -> str:
        """Return the id of the local state, which is made if it is not there, or is none."""
        path = self._path.with_name(ID_NAME)
        try:
            found = path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            found = ""
        if _ID.fullmatch(found):
            return found
        new = secrets.token_hex(8)
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        with temporary.open("w", encoding="ascii") as file:
            file.write(new + "\n")
            file.flush()
            inherit(file.fileno(), database)
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
        return new


def _holder(data: bytes) -> str:
    """Say who holds a lock, by what its file says."""
    try:
        fields = json.loads(data)
        pid, since = int(fields["pid"]), str(fields["since"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "a process that has just begun"
    return f"process {pid}, since {since}"


def _machine() -> str:
    """Return what tells this machine from others, and on Linux also from itself before it was started anew."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


_held: weakref.WeakSet[MetaLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """Close what a forked child has inherited; its parent goes on holding the locks."""
    for lock in list(_held):
        lock.close()


after_fork_in_child(_let_go_in_child)
