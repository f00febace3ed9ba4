"""Several databases, and the work in the background that keeps their replicas small.

All databases share a few threads, and none has one of its own: some sync and upload (`replication.background`), others
compact and delete (`replication.upkeep_threads`).

Source: litestream 0.5.17, store.go.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from replication.background import Background
from replication.clock import SYSTEM_CLOCK, Clock
from replication.compaction_levels import (
    DEFAULT_COMPACTION_LEVELS,
    DEFAULT_L0_RETENTION_CHECK_INTERVAL_S,
    DEFAULT_L0_RETENTION_S,
    DEFAULT_SNAPSHOT_INTERVAL_S,
    DEFAULT_SNAPSHOT_RETENTION_S,
    CompactionLevel,
    as_levels,
)
from replication.db import DB
from replication.errors import UsageError
from replication.forking import check_process, is_other_process
from replication.heartbeat import DEFAULT_HEARTBEAT_INTERVAL_S, Heartbeat
from replication.levels import SNAPSHOT_LEVEL
from replication.log import LOGGER
from replication.ltx.file_info import FileInfo
from replication.parallel import in_parallel
from replication.position import MAX_TXID, NO_TXID, Pos
from replication.replica import Replica
from replication.retention import RetentionPolicy
from replication.shutdown import DEFAULT_SHUTDOWN_SYNC_INTERVAL_S, DEFAULT_SHUTDOWN_SYNC_TIMEOUT_S
from replication.upkeep import Upkeep
from replication.upkeep_threads import UpkeepThreads
from replication.validation import DEFAULT_VALIDATION_INTERVAL_S


class Store:
    """Databases with their replicas; its settings are attributes, to be changed before `open`."""

    def __init__(
        self,
        dbs: Iterable[DB] = (),
        levels: Iterable[CompactionLevel] = DEFAULT_COMPACTION_LEVELS,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Take the databases; nothing is opened yet.

        Raises:
            UsageError: the levels are not valid.

        """
        self.levels = as_levels(levels)
        self.snapshot_interval_s = DEFAULT_SNAPSHOT_INTERVAL_S
        self.snapshot_retention_s = DEFAULT_SNAPSHOT_RETENTION_S
        self.l0_retention_s = DEFAULT_L0_RETENTION_S
        self.l0_retention_check_interval_s = DEFAULT_L0_RETENTION_CHECK_INTERVAL_S
        self.compaction_monitor_enabled = True
        self.retention_enabled = True  # False: somebody else deletes from the replicas
        self.validation_interval_s = DEFAULT_VALIDATION_INTERVAL_S  # 0: replicas are not validated
        self.heartbeat_url = ""  # where to tell that all databases are replicated; empty: nowhere
        self.heartbeat_interval_s = DEFAULT_HEARTBEAT_INTERVAL_S
        self.shutdown_sync_timeout_s = DEFAULT_SHUTDOWN_SYNC_TIMEOUT_S
        self.shutdown_sync_interval_s = DEFAULT_SHUTDOWN_SYNC_INTERVAL_S
        self.logger = LOGGER
        self._clock = clock
        self._lock = threading.RLock()
        self._dbs: dict[Path, DB] = {}  # guarded by _lock
        self._upkeeps: dict[Replica, Upkeep] = {}  # guarded by _lock
        self._pid = os.getpid()  # of the process that opened it last
        self._is_open = False  # guarded by _lock
        self._upkeep_threads: UpkeepThreads | None = None  # guarded by _lock; there while the store is open
        self._background: Background | None = None  # guarded by _lock; there while the store is open
        for db in dbs:
            self.add_db(db)

    def __repr__(self) -> str:
        with self._lock:
            state = "open" if self._is_open else "closed"
            return f"<Store {state} dbs={len(self._dbs)} levels={self.levels.max_level()}>"

    def __enter__(self) -> Self:
        """Open the store, unless it is open already, as one that `replicate` returned is."""
        with self._lock:
            if not self._is_open:
                self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def open(self) -> None:
        """Open all databases, and begin the work in the background.

        Raises:
            UsageError: the store is open already, or the heartbeat's settings make no sense.
            LitestreamError: a database cannot be opened; then none is open.

        """
        with self._lock:
            if self._is_open:
                msg = "the store is open already"
                raise UsageError(msg)
            heartbeat = self._new_heartbeat()
            background = self._background = Background(self.logger, clock=self._clock)
            opened: list[DB] = []
            try:
                for db in self._dbs.values():
                    self._open_db(db)
                    opened.append(db)
            except BaseException:
                self._background = None
                try:
                    in_parallel([db.close for db in opened])
                finally:
                    background.close()
                raise
            self._pid, self._is_open = os.getpid(), True
            levels = [*self.levels[1:], self.snapshot_level()] if self.compaction_monitor_enabled else []
            upkeep_threads = UpkeepThreads(self, levels, heartbeat=heartbeat, clock=self._clock)
            self._upkeep_threads = upkeep_threads
        try:
            upkeep_threads.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the work in the background, and close all databases, each synced once more; nothing in a forked child.

        Raises:
            LitestreamError: the first of those that a database raised; all are closed all the same.

        """
        if is_other_process(self._pid):
            return  # it is not ours to close
        with self._lock:
            self._is_open = False
            upkeep_threads, self._upkeep_threads = self._upkeep_threads, None
            background, self._background = self._background, None
            dbs = self.dbs()
        if upkeep_threads is not None:
            upkeep_threads.close()
        if background is not None:
            try:
                in_parallel([db.close for db in dbs])
            finally:
                background.close()

    def stop_retrying(self) -> None:
        """Have a `close` that is under way on another thread try no more to upload what is left; see `DB`."""
        for db in self.dbs():
            db.stop_retrying()

    def sync(self, path: str | os.PathLike[str] | None = None) -> Pos:
        """Sync a database and upload to all of its replicas; what was committed before this call is stored then.

        Without a path this is done for all databases, several at once.

        Returns:
            The position of the database. Where there are several or none, and no path, they have none in common: zero.

        Raises:
            UsageError: there is no database of that path, or the store is not open, or was opened before a fork.
            LitestreamError: as `DB.sync_and_wait`, of the first that failed.

        """
        check_process(self._pid, "the store")
        with self._lock:
            if not self._is_open:
                msg = "expected an open store, call open() first"
                raise UsageError(msg)
            dbs = self.dbs() if path is None else [self._find(path)]
        if len(dbs) == 1:
            return dbs[0].sync_and_wait()
        in_parallel([db.sync_and_wait for db in dbs])
        return Pos(NO_TXID)

    def dbs(self) -> list[DB]:
        """Return the databases, sorted by path."""
        with self._lock:
            return [self._dbs[path] for path in sorted(self._dbs)]

    def add_db(self, db: DB) -> None:
        """Add a database, and open it if the store is open; one of a path that is there already is passed over.

        Raises:
            LitestreamError: it cannot be opened; then it is not added.

        """
        with self._lock:
            if db.path in self._dbs:
                return
            if self._is_open:
                self._open_db(db)
            self._dbs[db.path] = db

    def remove_db(self, path: str | os.PathLike[str]) -> None:
        """Close the database of a path, if there is one, and forget it.

        Raises:
            LitestreamError: as `DB.close`.

        """
        with self._lock:
            db = self._dbs.pop(Path(path).absolute(), None)
            is_open = self._is_open
        if db is None:
            return
        try:
            if is_open:
                db.close()
        finally:
            with self._lock:
                for replica in db.replicas:
                    self._upkeeps.pop(replica, None)

    def compact_db(self, db: DB, level: CompactionLevel, *, replica: Replica | None = None) -> FileInfo:
        """Compact a replica of a database, the first if none is named, into a level; or take a snapshot.

        Raises:
            CompactionTooEarlyError: that was done in the current interval already.
            NoCompactionError: there is nothing new.
            DBNotReadyError: nothing of the database was replicated yet.
            LitestreamError: as `compact_level` and `write_snapshot`.

        """
        return self._upkeep(db, replica).compact(level)

    def is_behind(self, db: DB, level: CompactionLevel, *, replica: Replica | None = None) -> bool:
        """Say whether a level of a replica, the first if none is named, missed an interval while nobody was there.

        Raises:
            LitestreamError: as `Upkeep.is_behind`.

        """
        return self._upkeep(db, replica).is_behind(level)

    def enforce_snapshot_retention(self, db: DB, *, replica: Replica | None = None) -> tuple[FileInfo, ...]:
        """Delete a replica's old snapshots, and what its levels hold before them; of the first if none is named.

        Raises:
            LitestreamError: as `enforce_snapshot_retention`.

        """
        return self._upkeep(db, replica).enforce_snapshot_retention(self._policy())

    def enforce_l0_retention(self, db: DB, *, replica: Replica | None = None) -> tuple[FileInfo, ...]:
        """Delete old files of level 0, in a replica, the first if none is named, and then locally.

        Local files stay as long as any replica of the database may need them.

        Raises:
            LitestreamError: as `enforce_level_0_retention`.

        """
        upkeep = self._upkeep(db, replica)
        others = [self._upkeep(db, other).held for other in db.replicas if other is not upkeep.replica]
        return upkeep.enforce_level_0_retention(self._policy(), held_elsewhere=min(others, default=MAX_TXID))

    def snapshot_level(self) -> CompactionLevel:
        """Return the level of the snapshots, with their interval."""
        return CompactionLevel(SNAPSHOT_LEVEL, self.snapshot_interval_s)

    def set_l0_retention(self, seconds: float) -> None:
        """Keep files of level 0 that long from now on."""
        with self._lock:
            self.l0_retention_s = seconds
            for upkeep in self._upkeeps.values():
                upkeep.forget()

    def set_shutdown_sync_timeout(self, seconds: float) -> None:
        """Try that long to upload what is left when a database is closed."""
        with self._lock:
            self.shutdown_sync_timeout_s = seconds
            for db in self._dbs.values():
                db.shutdown_sync_timeout_s = seconds

    def set_shutdown_sync_interval(self, seconds: float) -> None:
        """Pause that long between these tries."""
        with self._lock:
            self.shutdown_sync_interval_s = seconds
            for db in self._dbs.values():
                db.shutdown_sync_interval_s = seconds

    def _open_db(self, db: DB) -> None:
        """Open a database on the store's threads, as the holder of _lock."""
        db.shutdown_sync_timeout_s = self.shutdown_sync_timeout_s
        db.shutdown_sync_interval_s = self.shutdown_sync_interval_s
        if self._background is not None:
            db.open_with(self._background)

    def _new_heartbeat(self) -> Heartbeat | None:
        if not self.heartbeat_url:
            return None
        return Heartbeat(
            self.heartbeat_url, interval_s=self.heartbeat_interval_s, logger=self.logger, clock=self._clock
        )

    def _find(self, path: str | os.PathLike[str]) -> DB:
        """Return the database of a path, as the holder of _lock."""
        db = self._dbs.get(Path(path).absolute())
        if db is None:
            known = ", ".join(str(path) for path in sorted(self._dbs)) or "none"
            msg = f"expected the path of a database of this store ({known}), got {os.fspath(path)}"
            raise UsageError(msg)
        return db

    def _upkeep(self, db: DB, replica: Replica | None) -> Upkeep:
        replica = replica or db.replica
        if replica is None or replica not in db.replicas:
            msg = f"{db.path} has no {'replica' if replica is None else f'such replica: {replica!r}'}"
            raise UsageError(msg)
        with self._lock:
            upkeep = self._upkeeps.get(replica)
            if upkeep is None:
                upkeep = self._upkeeps[replica] = Upkeep(replica, clock=self._clock)
            return upkeep

    def _policy(self) -> RetentionPolicy:
        return RetentionPolicy(
            l0_retention_s=self.l0_retention_s,
            snapshot_retention_s=self.snapshot_retention_s,
            delete_remote=self.retention_enabled,
        )
