"""A primary that is there: its connections, what reads its WAL, and what checkpoints it, opened and closed as one."""

import logging
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from replication.checkpoint import Checkpointer
from replication.clock import Clock
from replication.errors import UnavailableError, UsageError
from replication.sync.from_replica import ReplicaLink, fetch_newest
from replication.sync.guard import Guard
from replication.sync.local_files import LocalFiles
from replication.sync.meta_lock import MetaLock
from replication.sync.primary import Primary
from replication.sync.sqlite_errors import PrimaryUnavailableError
from replication.sync.syncer import Syncer
from replication.sync.wal_state import WALState


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectSettings:
    """How to work with a primary."""

    meta_path: Path
    busy_timeout_s: float
    max_sync_wal_bytes: int
    clock: Clock
    logger: logging.Logger


@dataclass(frozen=True, slots=True, eq=False)
class Connected:
    """An open primary; not for several threads at once."""

    file_info: os.stat_result
    dir_info: os.stat_result
    wal_inode: int
    lock: MetaLock
    guard: Guard
    primary: Primary
    syncer: Syncer
    checkpointer: Checkpointer

    @classmethod
    def open(cls, path: Path, links: Sequence[ReplicaLink], settings: ConnectSettings) -> Self | None:
        """Connect to the database at a path, or return None if there is none.

        Raises:
            UsageError: it is no file, cannot be in WAL mode, or another SQLite in this process has it open.
            LocalStateHeldError: somebody else replicates with this local state.
            PrimaryUnavailableError, PrimaryDeniedError, PrimaryCorruptError: SQLite failed.
            DeniedError, UnavailableError: no replica, or not the local directory, can be reached.

        """
        try:
            file_info = path.stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(file_info.st_mode):
            msg = (
                f"expected a database at {path}, got {'a directory' if stat.S_ISDIR(file_info.st_mode) else 'no file'}"
            )
            raise UsageError(msg)
        dir_info = path.parent.stat()
        files = LocalFiles(str(settings.meta_path), str(path))
        files.make_directories()
        with ExitStack() as opened:
            lock = opened.enter_context(closing(MetaLock(settings.meta_path, path, clock=settings.clock)))
            files.prepare()
            _fetch_newest(links, files, settings.logger)
            guard = opened.enter_context(closing(Guard(path, file_info, logger=settings.logger)))
            primary = opened.enter_context(closing(Primary(str(path), busy_timeout_s=settings.busy_timeout_s)))
            syncer = Syncer(
                primary,
                files,
                str(settings.meta_path),
                links=links,
                max_wal_bytes=settings.max_sync_wal_bytes,
                clock=settings.clock,
                logger=settings.logger,
            )
            checkpointer = Checkpointer(
                primary,
                syncer,
                busy_timeout_s=settings.busy_timeout_s,
                clock=settings.clock,
                logger=settings.logger,
            )
            wal_inode = WALState.look(f"{path}-wal").inode
            opened.pop_all()
        return cls(file_info, dir_info, wal_inode, lock, guard, primary, syncer, checkpointer)

    def is_at(self, path: Path) -> bool:
        """Say whether the file at a path is still the one that was opened."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (self.file_info.st_dev, self.file_info.st_ino)

    def check_wal(self, path: Path, found: WALState) -> None:
        """Check that the WAL at a path is the one that was opened: SQLite keeps it as long as anybody has it open.

        Opening the database anew does not help while others go on with the old one.

        Raises:
            PrimaryUnavailableError: it was deleted, and is another one by now, or none.

        """
        if found.inode != self.wal_inode:
            msg = (
                f"primary database {path}: its WAL was deleted while it was open, so what others commit from now on is "
                "not replicated; everybody has to close the database, this program too, and to open it again"
            )
            raise PrimaryUnavailableError(msg)

    def close(self) -> None:
        """Let go of the database, and of the local state."""
        with closing(self.lock), closing(self.guard):
            self.primary.close()


def _fetch_newest(links: Sequence[ReplicaLink], files: LocalFiles, logger: logging.Logger) -> None:
    """Catch up with the replica that is furthest ahead.

    Of several replicas those that do not answer are passed over, as long as one does.
    """
    unavailable: UnavailableError | None = None
    answers = 0
    for link in links:
        try:
            fetch_newest(link, files, logger)
            answers += 1
        except UnavailableError as error:
            logger.warning("%r does not answer: %s", link, error)
            unavailable = error
    if unavailable is not None and not answers:
        raise unavailable
