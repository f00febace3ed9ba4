"""A primary database: what is committed to it becomes level-0 files in a local directory, for replicas to take.

    db = DB("app.db")
    with db:                    # a thread syncs every `monitor_interval_s`
        ...
        db.sync()               # all that was committed before this call is in level-0 files now

The application goes on writing through any connection of any process. Its checkpoints do no harm, but while a `DB` is
open they cannot empty the WAL; the `DB` does that.

In the process that runs a `DB`, nothing may open and close the database file, `-wal` or `-shm` by other means than
APSW: not by `open()`, and not by the module sqlite3, which is another copy of SQLite. Closing a file drops the
process's locks on it (`replication.sync.tap`). That cannot be detected here.

Local state, the same as the Go program's but for the last two, which it leaves alone:

    .<name>-litestream/ltx/0/<txid>-<txid>.ltx    level-0 files; the newest is the position
    .<name>-litestream/sums                       the checksum of every page at the newest file
    .<name>-litestream/position                   where in the WAL it ends

Source: litestream 0.5.17, db.go.
"""

import logging
import os
import threading
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Self

import apsw

from replication.checkpoint import CHECKPOINT_MODE_PASSIVE, Checkpointer, parse_checkpoint_mode
from replication.clock import SYSTEM_CLOCK, Clock, to_timestamp_ms
from replication.compaction_levels import DEFAULT_L0_RETENTION_S
from replication.errors import DBNotReadyError, UsageError
from replication.ltx.checksum import crc64_iso
from replication.ltx.name import LTX_DIR, ltx_file_path, ltx_level_dir
from replication.monitor import Monitor
from replication.position import TXID, Pos
from replication.replica import Replica
from replication.shutdown import sync_last
from replication.sync.from_replica import fetch_newest
from replication.sync.local_files import LocalFile, LocalFiles
from replication.sync.primary import Primary
from replication.sync.snapshot import HeldImage, open_snapshot
from replication.sync.syncer import Syncer
from replication.sync.tap import TappedConnection

META_DIR_SUFFIX = "-litestream"

DEFAULT_MONITOR_INTERVAL_S = 1.0
DEFAULT_CHECKPOINT_INTERVAL_S = 60.0
DEFAULT_BUSY_TIMEOUT_S = 1.0
DEFAULT_MIN_CHECKPOINT_PAGE_N = 1000
DEFAULT_TRUNCATE_PAGE_N = 121_359  # 500 MB of pages of 4,096 bytes
DEFAULT_SHUTDOWN_SYNC_TIMEOUT_S = 30.0
DEFAULT_SHUTDOWN_SYNC_INTERVAL_S = 0.5


class DB:
    """One primary; its settings are attributes, to be changed before `open`. Any thread may call it."""

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Name the database; it need not exist yet."""
        if not os.fspath(path):
            msg = "expected the path of a database, got nothing"
            raise UsageError(msg)
        self.min_checkpoint_page_n = DEFAULT_MIN_CHECKPOINT_PAGE_N
        self.truncate_page_n = DEFAULT_TRUNCATE_PAGE_N
        self.checkpoint_interval_s = DEFAULT_CHECKPOINT_INTERVAL_S
        self.monitor_interval_s = DEFAULT_MONITOR_INTERVAL_S  # 0: no thread; call `sync`
        self.busy_timeout_s = DEFAULT_BUSY_TIMEOUT_S
        self.l0_retention_s = DEFAULT_L0_RETENTION_S
        self.shutdown_sync_timeout_s = DEFAULT_SHUTDOWN_SYNC_TIMEOUT_S
        self.shutdown_sync_interval_s = DEFAULT_SHUTDOWN_SYNC_INTERVAL_S
        self.replica: Replica | None = None
        self.logger = logging.getLogger("litestream.replication")
        self._path = Path(path).absolute()
        self._meta_path = self._path.with_name(f".{self._path.name}{META_DIR_SUFFIX}")
        self._clock = clock
        self._lock = threading.RLock()  # held while anything is done with the database
        self._is_open = False  # guarded by _lock
        self._primary: Primary | None = None  # guarded by _lock; None until the database was there at a sync
        self._syncer: Syncer | None = None  # guarded by _lock, as is _checkpointer; there when _primary is
        self._checkpointer: Checkpointer | None = None
        self._file_info: os.stat_result | None = None
        self._dir_info: os.stat_result | None = None
        self._monitor: Monitor | None = None
        self._change_lock = threading.Lock()
        self._changed = threading.Event()  # guarded by _change_lock
        self._newest: LocalFile | None = None  # replaced as a whole, so read without a lock

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed"
        return f"<DB {self._path.name} {state} txid={self.pos().txid:016x}>"

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where the database is."""
        return self._path

    @property
    def wal_path(self) -> Path:
        """Where its WAL is."""
        return Path(f"{self._path}-wal")

    @property
    def meta_path(self) -> Path:
        """The directory of the local state."""
        return self._meta_path

    def set_meta_path(self, path: str | os.PathLike[str]) -> None:
        """Keep the local state in another directory.

        Raises:
            UsageError: the database is open.

        """
        with self._lock:
            if self._is_open:
                msg = "expected a closed database: its local state cannot move while it is open"
                raise UsageError(msg)
            self._meta_path = Path(path).absolute()

    @property
    def ltx_dir(self) -> Path:
        """The directory of the levels of local files."""
        return self._meta_path / LTX_DIR

    def ltx_level_dir(self, level: int) -> Path:
        """Return the directory of the local files of a level; there are files of level 0 only."""
        return Path(ltx_level_dir(str(self._meta_path), level))

    def ltx_path(self, level: int, min_txid: TXID, max_txid: TXID) -> Path:
        """Return where the local file of that name is, or would be."""
        return Path(ltx_file_path(str(self._meta_path), level, min_txid, max_txid))

    @property
    def page_size(self) -> int:
        """The size of a page, in bytes; 0 before the first sync."""
        primary = self._primary
        return 0 if primary is None else primary.page_size

    @property
    def file_info(self) -> os.stat_result | None:
        """What the system said of the database file at the first sync."""
        return self._file_info

    @property
    def dir_info(self) -> os.stat_result | None:
        """What the system said of the directory of the database at the first sync."""
        return self._dir_info

    @property
    def sqldb(self) -> apsw.Connection | None:
        """The connection that writes to the database; None before the first sync. It must not be in a transaction."""
        primary = self._primary
        return None if primary is None else primary.writer

    def pos(self) -> Pos:
        """Return the position of the newest level-0 file; zero if there is none."""
        newest = self._newest
        return Pos(self._local_files().max_txid() if newest is None else newest.txid)

    def max_ltx(self) -> tuple[TXID, TXID]:
        """Return the first and the last TXID of the newest level-0 file; zeros if there is none."""
        txid = self.pos().txid
        return txid, txid

    def notify(self) -> threading.Event:
        """Return an event that is set when the next level-0 file is there.

        Take it before you look at `pos()`, and wait for it after.
        """
        with self._change_lock:
            return self._changed

    def open(self) -> None:
        """Begin to watch the database; a database that is not there yet is waited for.

        Raises:
            UsageError: it is open already.
            DeniedError, UnavailableError: the local directory cannot be used.

        """
        with self._lock:
            if self._is_open:
                msg = f"{self._path} is open already"
                raise UsageError(msg)
            self._is_open = True
            if self.monitor_interval_s > 0:
                self._monitor = Monitor(
                    f"litestream-db {self._path.name}",
                    self.sync,
                    interval_s=self.monitor_interval_s,
                    logger=self.logger,
                )
                self._monitor.start()
            if self.replica is not None:
                self.replica.start()

    def close(self) -> None:
        """Sync once more, to the replica too, and let go of the database.

        Raises:
            LitestreamError: the last sync failed; the database is closed all the same, and nothing is lost: the next
                start goes on from where it ended.

        """
        with self._lock:
            monitor, self._monitor = self._monitor, None
            was_open, self._is_open = self._is_open, False
        if monitor is not None:
            monitor.stop()
        if not was_open:
            return
        try:
            with self._lock:
                self._sync()
        finally:
            try:
                if self.replica is not None:
                    self.replica.stop()
                    sync_last(
                        self.replica,
                        timeout_s=self.shutdown_sync_timeout_s,
                        interval_s=self.shutdown_sync_interval_s,
                        clock=self._clock,
                        logger=self.logger,
                    )
            finally:
                with self._lock:
                    self._disconnect()

    def sync(self) -> Pos:
        """Write what was committed before this call to level-0 files, checkpoint if due, and return the position.

        Raises:
            UsageError: the database is not open.
            PrimaryUnavailableError, PrimaryDeniedError, PrimaryCorruptError: SQLite failed.
            DeniedError, UnavailableError: the local directory failed; nothing is half-written, so call again.

        """
        with self._lock:
            self._check_open()
            self._sync()
            if self._checkpointer is not None:
                try:
                    self._checkpointer.run_if_due(self)
                finally:
                    self._publish()
            return self.pos()

    def checkpoint(self, mode: str = CHECKPOINT_MODE_PASSIVE) -> None:
        """Sync, and copy the WAL to the database file, so that the WAL can be used anew.

        Modes beyond PASSIVE wait for readers, at most the busy timeout; writers wait as long.

        Raises:
            UsageError: there is no such mode, or the database is not open.
            PrimaryUnavailableError: a writer was at work for longer than the busy timeout, and the like.

        """
        parsed = parse_checkpoint_mode(mode)
        with self._lock:
            self._check_open()
            self._sync()
            if self._checkpointer is not None:
                try:
                    self._checkpointer.run(parsed)
                finally:
                    self._publish()

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

    def _sync(self) -> None:
        """Sync, as the holder of _lock."""
        try:
            if self._primary is not None and not self._is_same_file():
                self.logger.warning("%s was replaced by another file, or deleted", self._path)
                self._disconnect()
            if self._syncer is None:
                self._connect()
            if self._syncer is not None:
                self._syncer.sync()
        finally:
            self._publish()

    def _connect(self) -> None:
        """Connect to the database if it is there, as the holder of _lock."""
        try:
            self._file_info = self._path.stat()
        except FileNotFoundError:
            return
        self._dir_info = self._path.parent.stat()
        files = self._local_files()
        files.prepare()
        link = self.replica
        if link is not None:
            fetch_newest(link, files, self.logger)
        primary = Primary(str(self._path), busy_timeout_s=self.busy_timeout_s)
        try:
            syncer = Syncer(primary, files, str(self._meta_path), link=link, clock=self._clock, logger=self.logger)
            self._checkpointer = Checkpointer(
                primary, syncer, busy_timeout_s=self.busy_timeout_s, clock=self._clock, logger=self.logger
            )
        except BaseException:
            primary.close()
            raise
        self._primary, self._syncer = primary, syncer

    def _disconnect(self) -> None:
        """Let go of the database, as the holder of _lock."""
        primary, self._primary = self._primary, None
        self._syncer = self._checkpointer = self._newest = None
        if primary is not None:
            primary.close()

    def _is_same_file(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        known = self._file_info
        return known is not None and (found.st_dev, found.st_ino) == (known.st_dev, known.st_ino)

    def _publish(self) -> None:
        """Let others see the newest file, as the holder of _lock."""
        newest = None if self._syncer is None else self._syncer.newest
        if newest is self._newest:
            return
        self._newest = newest
        with self._change_lock:
            changed, self._changed = self._changed, threading.Event()
        changed.set()

    def _hold(self) -> HeldImage:
        """Sync, and return the database at the position."""
        with self._lock:
            self._check_open()
            self._sync()
            syncer = self._ready()
            tap = TappedConnection(str(self._path), busy_timeout_s=self.busy_timeout_s)
            try:
                tap.begin_read()
                self._sync()  # so that the position is not before what the transaction sees
                return HeldImage.of(tap, syncer)
            except BaseException:
                tap.close()
                raise

    def _ready(self) -> Syncer:
        if self._syncer is None:
            msg = f"{self._path} is not there yet"
            raise DBNotReadyError(msg)
        return self._syncer

    def _local_files(self) -> LocalFiles:
        return LocalFiles(str(self._meta_path), str(self._path))
