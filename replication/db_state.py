"""The state of a database that is replicated, and what is done to it under its lock.

Where nothing has changed since the last sync, which the WAL's size and time tell, a sync does nothing.
"""

import os
import threading
from contextlib import closing
from typing import BinaryIO

import apsw

from replication.clock import SYSTEM_CLOCK, Clock, to_timestamp_ms
from replication.compaction_levels import DEFAULT_L0_RETENTION_S
from replication.db_levels import DBLevels
from replication.errors import DBNotReadyError, UsageError
from replication.forking import check_process
from replication.log import LOGGER
from replication.ltx.checksum import crc64_iso
from replication.position import TXID, Pos
from replication.replica import Replica
from replication.sync.connected import Connected, ConnectSettings
from replication.sync.local_files import LocalFile, LocalFiles
from replication.sync.snapshot import HeldImage, open_snapshot
from replication.sync.syncer import DEFAULT_MAX_SYNC_WAL_BYTES
from replication.sync.tap import TappedConnection
from replication.sync.wal_state import WALState

DEFAULT_BUSY_TIMEOUT_S = 1.0
NEVER = float("inf")


class DBState(DBLevels):
    """What is known of a database, and what its WAL holds; any thread may call it."""

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Name the database; it need not exist yet."""
        super().__init__(path)
        self.replicas: list[Replica] = []
        self.max_sync_wal_bytes = DEFAULT_MAX_SYNC_WAL_BYTES
        self.busy_timeout_s = DEFAULT_BUSY_TIMEOUT_S
        self.l0_retention_s = DEFAULT_L0_RETENTION_S
        self.logger = LOGGER
        self._wal_name = str(self.wal_path)
        self._clock = clock
        self._lock = threading.RLock()  # held while anything is done with the database
        self._pid = os.getpid()  # of the process that opened it last
        self._is_open = False  # guarded by _lock
        self._connected: Connected | None = None  # guarded by _lock; None until the database was there at a sync
        self._is_missed = False  # guarded by _lock; whether it was told that the database is not there
        self._changed = threading.Event()  # guarded by _lock
        # These three are replaced as a whole, so read without a lock.
        self._newest: LocalFile | None = None
        self._seen: WALState | None = None  # as of before the last sync; None: another sync is due
        self._due_at = NEVER  # by the monotonic clock: a checkpoint is due then
        self._synced_at: float | None = None  # guarded by _lock; every replica had what was committed before then
        self._uploading: tuple[float, TXID] | None = None  # guarded by _lock; the next such time, once they have that

    @property
    def replica(self) -> Replica | None:
        """The first of the replicas; setting it makes it the only one."""
        return self.replicas[0] if self.replicas else None

    @replica.setter
    def replica(self, replica: Replica | None) -> None:
        self.replicas = [] if replica is None else [replica]

    @property
    def page_size(self) -> int:
        """The size of a page, in bytes; 0 before the first sync."""
        connected = self._connected
        return 0 if connected is None else connected.primary.page_size

    @property
    def file_info(self) -> os.stat_result | None:
        """What the system said of the database file at the first sync."""
        connected = self._connected
        return None if connected is None else connected.file_info

    @property
    def dir_info(self) -> os.stat_result | None:
        """What the system said of the directory of the database at the first sync."""
        connected = self._connected
        return None if connected is None else connected.dir_info

    @property
    def sqldb(self) -> apsw.Connection | None:
        """The connection that writes to the database; None before the first sync. It must not be in a transaction."""
        with self._lock:
            return None if self._connected is None else self._connected.primary.lend_writer()

    def pos(self) -> Pos:
        """Return the position of the newest level-0 file; zero if there is none."""
        newest = self._newest
        return Pos(self._local_files().max_txid() if newest is None else newest.txid)

    def last_synced_at(self) -> float | None:
        """Return when, by the monotonic clock, all that was committed was last known to be in every replica.

        None if it never was.
        """
        now = self._clock.monotonic()
        rests = self._seen is not None and self._seen == WALState.look(self._wal_name)
        with self._lock:
            self._note_synced(now if rests else None)
            return self._synced_at

    def local_id(self) -> str:
        """Return the id of the lock on the local state, which is held from the first sync on; else nothing."""
        connected = self._connected
        return "" if connected is None else connected.lock.id

    def max_ltx(self) -> tuple[TXID, TXID]:
        """Return the first and the last TXID of the newest level-0 file; zeros if there is none."""
        txid = self.pos().txid
        return txid, txid

    def notify(self) -> threading.Event:
        """Return an event that is set when the next level-0 file is there.

        Take it before you look at `pos()`, and wait for it after.
        """
        with self._lock:
            return self._changed

    def snapshot_reader(self) -> tuple[Pos, BinaryIO]:
        """Sync, and return the position and a reader of the whole database there as an LTX file, from TXID 1 on.

        The file is encoded while it is read; nobody waits for it. Close the reader, or read it to its end.

        Raises:
            DBNotReadyError: the database is not there yet.
            LitestreamError: as for `sync`.

        """
        held = self._hold()
        return Pos(held.newest.txid), open_snapshot(held, to_timestamp_ms(self._clock.now()))

    def crc64(self) -> tuple[int, Pos]:
        """Sync, and return the CRC-64/ISO of the bytes of the database, and the position.

        Raises:
            DBNotReadyError: the database is not there yet.
            LitestreamError: as for `sync`.

        """
        with closing(self._hold()) as held:
            crc = 0
            for _, page in held.image:
                crc = crc64_iso(page, crc)
            return crc, Pos(held.newest.txid)

    def _check_open(self) -> None:
        if not self._is_open:
            msg = f"expected that {self._path} is open, call open() first"
            raise UsageError(msg)

    def _check_closed(self) -> None:
        if self._is_open:
            msg = f"{self._path} is open already"
            raise UsageError(msg)

    def _sync(self) -> None:
        """Sync, as the holder of _lock."""
        begin = self._clock.monotonic()
        before = WALState.look(self._wal_name)  # what is written from here on shows at the next look
        if self._connected is not None and before == self._seen:
            return
        self._seen = None
        try:
            if self._connected is not None and not self._connected.is_at(self._path):
                self.logger.warning("%s was replaced by another file, or deleted", self._path)
                self._disconnect()
            is_new = self._connected is None
            if self._connected is None:
                self._connected = Connected.open(self._path, self.replicas, self._connect_settings())
                self._tell_missing()
            if self._connected is not None:
                try:
                    is_written = self._connected.syncer.sync()
                finally:
                    if not is_new:
                        self._connected.check_wal(self._path, before)  # which explains any other error
                if not is_written or is_new:
                    self._connected.primary.rest()  # nobody writes just now, as far as is known
                if before.is_settled(self._clock.now()) and not self._connected.syncer.has_more_frames():
                    self._seen = before
                self._note_synced(begin)
        finally:
            self._publish()

    def _tell_missing(self) -> None:
        """Tell once if the database is not there: the path may be a wrong one."""
        was_missed, self._is_missed = self._is_missed, self._connected is None
        if self._is_missed and not was_missed:
            self.logger.warning("%s is not there yet, so nothing is replicated until it is", self._path)

    def _note_synced(self, begin: float | None) -> None:
        """Note that a sync which began then is done, and whether the replicas have what one before it found."""
        if self._uploading is None and begin is not None:
            self._uploading = begin, self.pos().txid
        if self._uploading is not None:
            at, txid = self._uploading
            if all(replica.pos().txid >= txid for replica in self.replicas):
                self._synced_at, self._uploading = at, None

    def _connect_settings(self) -> ConnectSettings:
        return ConnectSettings(
            meta_path=self._meta_path,
            busy_timeout_s=self.busy_timeout_s,
            max_sync_wal_bytes=self.max_sync_wal_bytes,
            clock=self._clock,
            logger=self.logger,
        )

    def _disconnect(self) -> None:
        """Let go of the database, as the holder of _lock."""
        connected, self._connected = self._connected, None
        self._newest = self._seen = self._uploading = None
        self._due_at = NEVER
        if connected is not None:
            connected.close()

    def _publish(self) -> None:
        """Let others see the newest file, as the holder of _lock."""
        newest = None if self._connected is None else self._connected.syncer.newest
        if newest is self._newest:
            return
        self._newest = newest
        changed, self._changed = self._changed, threading.Event()
        changed.set()
        for replica in self.replicas:
            replica.wake()

    def _hold(self) -> HeldImage:
        """Sync, and return the database at the position."""
        check_process(self._pid, self._path)
        with self._lock:
            self._check_open()
            self._sync()
            if self._connected is None:
                msg = f"{self._path} is not there yet"
                raise DBNotReadyError(msg)
            tap = TappedConnection(str(self._path), busy_timeout_s=self.busy_timeout_s)
            try:
                tap.begin_read()
                self._sync()  # so that the position is not before what the transaction sees
                return HeldImage.of(tap, self._connected.syncer)
            except BaseException:
                tap.close()
                raise

    def _local_files(self) -> LocalFiles:
        return LocalFiles(str(self._meta_path), str(self._path))
