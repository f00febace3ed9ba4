"""One replica of a database: the level-0 files it lacks go up, in order, and its restores come back.

The position is the last TXID that level 0 of the replica holds. It is asked for once, and known from then on, so a
replica that is up to date makes no request. A database may have several replicas; each has a position of its own.

A local file that is gone before the replica has it, as when a replica comes later, is replaced by a snapshot of what
the database is now; so is the beginning of a replica, where somebody has deleted it.

Source: litestream 0.5.17, replica.go.
"""

import random
import threading
from collections.abc import Callable
from contextlib import closing
from logging import Logger
from typing import BinaryIO

from replication.client.base import ReplicaClient
from replication.client.retry import RetryingClient
from replication.clock import SYSTEM_CLOCK, Clock
from replication.errors import DBNotReadyError, PositionError
from replication.lease import Lease
from replication.lease_reader import lease_reader
from replication.lease_stores import default_lease
from replication.levels import SNAPSHOT_LEVEL
from replication.local import LocalDatabase
from replication.position import NO_TXID, TXID, Pos, format_txid
from replication.replica_files import ReplicaFiles
from replication.scheduler import Scheduler, Task
from replication.upload import find_position, has_beginning, upload_files

DEFAULT_SYNC_INTERVAL_S = 1.0


class Replica(ReplicaFiles):
    """A database's copy in storage, which `sync` brings up to date, once or, by `start`, every so often."""

    def __init__(
        self,
        db: LocalDatabase,
        client: ReplicaClient,
        *,
        sync_interval_s: float = DEFAULT_SYNC_INTERVAL_S,
        monitor_enabled: bool = True,
        lease: Lease | bool = True,
        clock: Clock = SYSTEM_CLOCK,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Connect a database with a client; nothing is asked yet.

        Args:
            db: the database.
            client: the storage; calls are repeated while it is unavailable.
            sync_interval_s: the time from one upload in the background to the next, at the least.
            monitor_enabled: whether anything is uploaded in the background; if not, call `sync`.
            lease: keeps other writers of ours away; it is held while files are uploaded. True for one where the
                storage can keep it, False for none.
            clock: gives the time.
            chance: 0 to 1, spreads pauses after failures.

        """
        retrying = client if isinstance(client, RetryingClient) else RetryingClient(client)
        super().__init__(db, retrying, clock=clock)
        self.client = client
        self.sync_interval_s = sync_interval_s
        self.monitor_enabled = monitor_enabled
        self._lease = (
            lease if isinstance(lease, Lease) else default_lease(client, db.local_id, clock) if lease else None
        )
        self._chance = chance
        self._sync_lock = threading.Lock()  # held while files are uploaded, so that they are in order
        self._lock = threading.Lock()
        self._has_beginning = True  # guarded by _sync_lock; as far as known
        self._txid: TXID | None = None  # guarded by _lock; None until the replica was asked
        self._task: Task | None = None  # guarded by _lock
        self._scheduler: Scheduler | None = None  # guarded by _lock; one of its own, where the database lends none

    def __repr__(self) -> str:
        with self._lock:
            task, txid = self._task, self._txid
        known = "unknown" if txid is None else format_txid(txid)
        state = "monitored" if task is not None and not task.is_stopping else "idle"
        failed = f" failures={task.failures}" if task is not None and task.failures else ""
        return f"<Replica {self._db.path.name} txid={known} {state}{failed} {self.client!r}>"

    @property
    def logger(self) -> Logger:
        """Where background work tells of itself."""
        return self._db.logger

    @property
    def error(self) -> BaseException | None:
        """What the last sync in the background raised, or None."""
        with self._lock:
            return self._task.error if self._task else None

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
            LTXMissingError: a local file went while it was uploaded.
            UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        return self._sync(lambda: False)

    def start(self) -> None:
        """Look for new local files every `sync_interval_s` from now on, if monitoring is enabled.

        A `DB` does this for its replicas when it is opened, and wakes them when there are files.
        """
        if not self.monitor_enabled:
            return
        with self._lock:
            if self._task is None or self._task.is_stopping:
                self._scheduler = Scheduler("litestream-replica", max_threads=1, clock=self._clock)
                self._task = self._new_task(self._scheduler, interval_s=self.sync_interval_s)
                self._task.wake()

    def start_with(self, scheduler: Scheduler) -> None:
        """Upload when woken from now on, on the threads of others, if monitoring is enabled.

        The database wakes it first when it has the lock on its local state, which tells the lease of a predecessor.
        """
        if self.monitor_enabled:
            with self._lock:
                self._task = self._new_task(scheduler, interval_s=None)

    def wake(self) -> None:
        """Say that there are new local files."""
        with self._lock:
            task = self._task
        if task is not None:
            task.wake()

    def stop_monitor(self, *, wait: bool = True) -> None:
        """Upload nothing more in the background; what runs ends with the current file, and is waited for."""
        with self._lock:
            task = self._task
            scheduler, self._scheduler = self._scheduler, None
        if task is not None:
            task.stop(wait=wait)
        if scheduler is not None:
            scheduler.close(wait=wait)

    def stop(self, *, hard: bool = False) -> None:
        """Stop syncing, after the current file, let go of the lease and of connections; a hard stop waits for nothing.

        Raises:
            DeniedError, UnavailableError: the lease could not be let go of; it expires by itself.

        """
        self.stop_monitor(wait=not hard)
        if hard:
            return
        try:
            if self._lease is not None:
                self._lease.release()
        finally:
            self.client.close()

    def _new_task(self, scheduler: Scheduler, *, interval_s: float | None) -> Task:
        task = Task(
            scheduler,
            f"litestream-replica {self._db.path.name} {self.client.type}",
            lambda: self._sync(lambda: task.is_stopping),
            interval_s=interval_s,
            gap_s=self.sync_interval_s,
            logger=self._db.logger,
            chance=self._chance,
            clock=self._clock,
        )
        return task

    def _sync(self, is_stopping: Callable[[], bool]) -> Pos:
        with self._sync_lock:
            target = self._db.pos().txid  # not before: another sync may have gone further meanwhile
            if not target:
                msg = f"{self._db.path} has no position yet, so there is nothing to upload"
                raise DBNotReadyError(msg)
            if self.pos().txid != target:
                self._hold_lease()
            position = self._known_position()
            if position > target:
                msg = (
                    f"the replica is at TXID {format_txid(position)}, ahead of {self._db.path}, which is at "
                    f"{format_txid(target)}: it holds another history, or the database was put back"
                )
                raise PositionError(msg, expected=target, actual=position)
            first = TXID(position + 1)
            if not self._has_beginning:
                first = target = self._upload_snapshot("no file of the replica begins with TXID 1")
            elif first <= target and not self._db.ltx_path(0, first, first).exists():
                first = target = self._upload_snapshot(f"the local file of TXID {format_txid(first)} is gone")
            uploaded = upload_files(
                self._client, self._db, first, target, before_each=self._hold_lease, guarded=self._guarded
            )
            for position in uploaded:
                self._set_txid(position)
                if is_stopping():
                    break
            return Pos(position)

    def _upload_snapshot(self, reason: str) -> TXID:
        """Upload a snapshot, and return its TXID; that file is to follow, for level 0 says where a replica is."""
        self.logger.warning("%s: %s, uploading a snapshot", self._db.path, reason)
        pos, reader = self._db.snapshot_reader()
        with closing(reader):
            self._client.write_ltx_file(SNAPSHOT_LEVEL, TXID(1), pos.txid, self._guarded(reader))
        self._has_beginning = True
        return pos.txid

    def _hold_lease(self) -> None:
        """Have the lease, if there is one; under a new one the replica may have other files than were known."""
        if self._lease is not None and self._lease.hold():
            self._set_txid(None)

    def _guarded(self, reader: BinaryIO) -> BinaryIO:
        """Return a reader that keeps the lease, if there is one."""
        return reader if self._lease is None else lease_reader(reader, self._lease)

    def _known_position(self) -> TXID:
        """Return the position, asking for it once, as the holder of _sync_lock."""
        with self._lock:
            position = self._txid
        if position is None:
            position = find_position(self._client, self._db)
            self._has_beginning = not position or has_beginning(self._client)
            self._set_txid(position)
        return position

    def _set_txid(self, txid: TXID | None) -> None:
        with self._lock:
            self._txid = txid
