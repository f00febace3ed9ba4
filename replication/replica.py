"""One replica of a database: the level-0 files it lacks go up, in order, and its restores come back.

The position is the last TXID that level 0 of the replica holds. It is asked for once, and known from then on, so a
replica that is up to date makes no request. A database may have several replicas; each has a position of its own.

Source: litestream 0.5.17, replica.go.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from logging import Logger
from pathlib import Path

from replication.client.base import ReplicaClient
from replication.client.retry import RetryingClient
from replication.clock import SYSTEM_CLOCK, Clock
from replication.compaction import newest_file
from replication.errors import DBNotReadyError, PositionError, TxNotAvailableError
from replication.lease import Lease
from replication.levels import LEVELS
from replication.local import LocalDatabase
from replication.ltx.file_info import FileInfo
from replication.monitor import Monitor
from replication.position import NO_TXID, TXID, Pos, format_txid
from replication.restore.options import (
    DEFAULT_INTEGRITY_CHECK,
    DEFAULT_RESTORE_PARALLELISM,
    IntegrityCheck,
    Progress,
    RestoreOptions,
    RestoreResult,
)
from replication.restore.plan import check_instant
from replication.restore.restore import restore
from replication.retention import RetentionPolicy, enforce_level_0_retention, enforce_snapshot_retention
from replication.upload import MAX_BATCH_FILES, find_position, upload_files

DEFAULT_SYNC_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """The creation times of a replica's oldest and newest file."""

    created_at: datetime
    updated_at: datetime


class Replica:
    """A database's copy in storage, which `sync` brings up to date, once or, by `start`, every so often."""

    def __init__(
        self,
        db: LocalDatabase,
        client: ReplicaClient,
        *,
        sync_interval_s: float = DEFAULT_SYNC_INTERVAL_S,
        monitor_enabled: bool = True,
        lease: Lease | None = None,
        clock: Clock = SYSTEM_CLOCK,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Connect a database with a client; nothing is asked yet.

        Args:
            db: the database.
            client: the storage; calls are repeated while it is unavailable.
            sync_interval_s: how often the monitor looks for new local files.
            monitor_enabled: whether `start` starts a monitor; without one, call `sync`.
            lease: keeps other writers of ours away; it is held while files are uploaded.
            clock: gives the time.
            chance: 0 to 1, spreads pauses after failures.

        """
        self.client = client
        self.sync_interval_s = sync_interval_s
        self.monitor_enabled = monitor_enabled
        self._db = db
        self._client = client if isinstance(client, RetryingClient) else RetryingClient(client)
        self._clock = clock
        self._lease = lease
        self._chance = chance
        self._sync_lock = threading.Lock()  # held while files are uploaded, so that they are in order
        self._lock = threading.Lock()
        self._txid: TXID | None = None  # guarded by _lock; None until the replica was asked
        self._monitor: Monitor | None = None  # guarded by _lock

    def __repr__(self) -> str:
        with self._lock:
            monitor, txid = self._monitor, self._txid
        known = "unknown" if txid is None else format_txid(txid)
        state = "monitored" if monitor is not None and monitor.is_running else "idle"
        failed = f" failures={monitor.failures}" if monitor is not None and monitor.failures else ""
        return f"<Replica {self._db.path.name} txid={known} {state}{failed} {self.client!r}>"

    @property
    def db(self) -> LocalDatabase:
        """The database."""
        return self._db

    @property
    def logger(self) -> Logger:
        """Where background work tells of itself."""
        return self._db.logger

    @property
    def error(self) -> Exception | None:
        """What the monitor's last sync raised, or None."""
        with self._lock:
            return self._monitor.error if self._monitor else None

    def pos(self) -> Pos:
        """Return the last position the replica is known to hold; zero before the first sync."""
        with self._lock:
            return Pos(self._txid or NO_TXID)

    def set_pos(self, pos: Pos) -> None:
        """Say which position the replica holds; a zero one means that it is to be asked again."""
        with self._sync_lock:
            self._set_txid(pos.txid or None)

    def sync(self) -> Pos:
        """Upload what the database had when this was called, and return the replica's position.

        One sync runs at a time; a second one waits for it. After a failure the next one goes on where it stopped.

        Raises:
            DBNotReadyError: the database has no position yet.
            ConflictError, LeaseError: another writer is at work on the replica.
            PositionError: the replica is ahead of the database.
            LTXMissingError: a local file is gone.
            UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        return self._sync(lambda: False)

    def start(self) -> None:
        """Sync every so often from now on, if monitoring is enabled."""
        if not self.monitor_enabled:
            return
        with self._lock:
            if self._monitor is None:
                self._monitor = self._new_monitor()
            self._monitor.start()

    def stop(self, *, hard: bool = False) -> None:
        """Stop syncing, after the current batch, and let go of the lease; a hard stop waits for nothing.

        Raises:
            DeniedError, UnavailableError: the lease could not be let go of; it expires by itself.

        """
        with self._lock:
            monitor = self._monitor
        if monitor is not None:
            monitor.stop(wait=not hard)
        if self._lease is not None and not hard:
            self._lease.release()

    def max_ltx_file_info(self, level: int) -> FileInfo | None:
        """Return the file of a level that leads furthest, or None if the level is empty.

        Raises:
            UsageError: there is no such level.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        return newest_file(self._client, level)

    def time_bounds(self) -> TimeBounds | None:
        """Return when the replica's oldest and newest files were created, or None if there are none.

        Raises:
            UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        times = [info.created_at for level in LEVELS for info in self._client.ltx_files(level)]
        return TimeBounds(min(times), max(times)) if times else None

    def created_at(self) -> datetime | None:
        """Return when the replica's oldest file was created, or None if there are none.

        Raises:
            UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        bounds = self.time_bounds()
        return bounds.created_at if bounds else None

    def calc_restore_target(self, timestamp: datetime | None = None) -> datetime | None:
        """Return when the replica was last updated, or None if it is empty, having checked that it has an instant.

        Raises:
            UsageError: the instant has no time zone.
            TxNotAvailableError: the instant is before the replica's oldest file, or after its newest.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        bounds = self.time_bounds()
        if timestamp is not None:
            check_instant(timestamp)
            if bounds is None or not bounds.created_at <= timestamp <= bounds.updated_at:
                known = f"from {bounds.created_at} to {bounds.updated_at}" if bounds else "no files"
                msg = f"expected an instant the replica has, which is {known}, got {timestamp.isoformat()}"
                raise TxNotAvailableError(msg)
        return bounds.updated_at if bounds else None

    def restore(
        self,
        output: Path | None = None,
        *,
        txid: TXID | None = None,
        timestamp: datetime | None = None,
        parallelism: int = DEFAULT_RESTORE_PARALLELISM,
        integrity_check: IntegrityCheck = DEFAULT_INTEGRITY_CHECK,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> RestoreResult:
        """Restore the replica to a file, or to the database's own path if no other is given.

        Raises:
            LitestreamError: as `replication.restore.restore`.

        """
        options = RestoreOptions(
            txid=txid,
            timestamp=timestamp,
            parallelism=parallelism,
            integrity_check=integrity_check,
            overwrite=overwrite,
            progress=progress,
        )
        return restore(self._client, self._db.path if output is None else output, options, clock=self._clock)

    def enforce_retention(self, policy: RetentionPolicy | None = None) -> tuple[FileInfo, ...]:
        """Delete what the replica need not hold any more, and return it; local files stay.

        Raises:
            UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        policy = policy or RetentionPolicy()
        now = self._clock.now()
        deleted = enforce_snapshot_retention(self._client, policy, now)
        return deleted + enforce_level_0_retention(self._client, policy, now)

    def _new_monitor(self) -> Monitor:
        monitor = Monitor(
            f"litestream-replica {self._db.path.name} {self.client.type}",
            lambda: self._sync(lambda: monitor.is_stopping),
            interval_s=self.sync_interval_s,
            logger=self._db.logger,
            chance=self._chance,
        )
        return monitor

    def _sync(self, is_stopping: Callable[[], bool]) -> Pos:
        target = self._db.pos().txid
        if not target:
            msg = f"{self._db.path} has no position yet, so there is nothing to upload"
            raise DBNotReadyError(msg)
        with self._sync_lock:
            if self.pos().txid != target:
                self._hold_lease()
            position = self._known_position()
            if position > target:
                msg = (
                    f"the replica is at TXID {format_txid(position)}, ahead of {self._db.path}, which is at "
                    f"{format_txid(target)}: it holds another history, or the database was put back"
                )
                raise PositionError(msg, expected=target, actual=position)
            while position < target and not is_stopping():
                first, last = TXID(position + 1), TXID(min(position + MAX_BATCH_FILES, target))
                for position in upload_files(self._client, self._db, first, last, before_each=self._hold_lease):
                    self._set_txid(position)
            return Pos(position)

    def _hold_lease(self) -> None:
        """Have the lease, if there is one; under a new one the replica may have other files than were known."""
        if self._lease is not None and self._lease.hold():
            self._set_txid(None)

    def _known_position(self) -> TXID:
        """Return the position, asking for it once, as the holder of _sync_lock."""
        with self._lock:
            position = self._txid
        if position is None:
            position = find_position(self._client, self._db)
            self._set_txid(position)
        return position

    def _set_txid(self, txid: TXID | None) -> None:
        with self._lock:
            self._txid = txid
