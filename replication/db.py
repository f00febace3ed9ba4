"""A primary database: what is committed to it becomes level-0 files in a local directory, for replicas to take.

    db = DB("app.db")
    db.replica = Replica(db, client)
    with db:                    # looked at every `monitor_interval_s`, synced and uploaded when it has changed
        ...
        db.sync()               # all that was committed before this call is in level-0 files now
        db.sync_and_wait()      # and stored in the replica too

The application goes on writing through any connection of any process. Its checkpoints do no harm, but while a `DB` is
open they cannot empty the WAL; the `DB` does that.

In the process that runs a `DB`, nothing may open and close the database file, `-wal` or `-shm` by other means than
APSW: not by `open()`, and not by the module sqlite3, which is another copy of SQLite. Closing a file drops the
process's locks on it (`replication.sync.tap`).

What is done when. Something tells that there may be new commits: the look at the WAL, or a commit of a connection in
this process (`replication.commit_hook`). That wakes the sync; a sync that made a level-0 file wakes the replicas. Where
nothing has changed a sync does nothing.

Source: litestream 0.5.17, db.go.
"""

import os
import threading
from pathlib import Path
from typing import Self

import apsw

from replication.background import Background
from replication.checkpoint import CHECKPOINT_MODE_PASSIVE, parse_checkpoint_mode
from replication.clock import SYSTEM_CLOCK, Clock
from replication.commit_hook import CommitHook, database_path
from replication.db_state import DBState
from replication.errors import LocalStateHeldError, UsageError
from replication.forking import check_process, is_other_process
from replication.parallel import in_parallel
from replication.position import Pos
from replication.scheduler import Task
from replication.shutdown import (
    DEFAULT_SHUTDOWN_SYNC_INTERVAL_S,
    DEFAULT_SHUTDOWN_SYNC_TIMEOUT_S,
    Patience,
    finish_replicas,
)
from replication.sync.wal_state import WALState

DEFAULT_MONITOR_INTERVAL_S = 1.0
DEFAULT_CHECKPOINT_INTERVAL_S = 60.0
DEFAULT_MIN_CHECKPOINT_PAGE_N = 1000
DEFAULT_TRUNCATE_PAGE_N = 121_359  # 500 MB of pages of 4,096 bytes

WAKE_GAP_S = 0.01
"""The time from one sync to the next, however fast commits wake it: what comes meanwhile shares a level-0 file."""


class DB(DBState):
    """One primary; its settings are attributes, to be changed before `open`. Any thread may call it."""

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Name the database; it need not exist yet.

        Raises:
            UsageError: the path is empty.

        """
        super().__init__(path, clock=clock)
        self.min_checkpoint_page_n = DEFAULT_MIN_CHECKPOINT_PAGE_N
        self.truncate_page_n = DEFAULT_TRUNCATE_PAGE_N
        self.checkpoint_interval_s = DEFAULT_CHECKPOINT_INTERVAL_S
        self.monitor_interval_s = DEFAULT_MONITOR_INTERVAL_S  # 0: nothing happens by itself; call `sync`
        self.shutdown_sync_timeout_s = DEFAULT_SHUTDOWN_SYNC_TIMEOUT_S
        self.shutdown_sync_interval_s = DEFAULT_SHUTDOWN_SYNC_INTERVAL_S
        self._background: Background | None = None  # guarded by _lock
        self._owns_background = False  # guarded by _lock
        self._task: Task | None = None  # guarded by _lock
        self._give_up = threading.Event()
        self._hooks: list[CommitHook] = []  # guarded by _lock

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed"
        return f"<DB {self._path.name} {state} txid={self.pos().txid:016x}>"

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

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
    def error(self) -> BaseException | None:
        """What the last sync in the background raised, or None."""
        task = self._task
        return None if task is None else task.error

    def open(self) -> None:
        """Begin to watch the database; a database that is not there yet is waited for.

        Raises:
            UsageError: it is open already.

        """
        with self._lock:
            self._check_closed()
            self._owns_background = True
            self.open_with(Background(self.logger, clock=self._clock))

    def open_with(self, background: Background) -> None:
        """Open on threads that others use too, and that are closed after it.

        Raises:
            LitestreamError: as for `open`.

        """
        with self._lock:
            self._check_closed()
            self._pid, self._is_open, self._seen, self._background = os.getpid(), True, None, background
            self._give_up.clear()
            if self.monitor_interval_s > 0:
                self._task = Task(
                    background.syncs,
                    f"litestream-db {self._path.name}",
                    self.sync,
                    gap_s=min(WAKE_GAP_S, self.monitor_interval_s),
                    logger=self.logger,
                    clock=self._clock,
                )
                background.watch(self)
            for replica in self.replicas:
                replica.start_with(background.uploads)

    def close(self) -> None:
        """Sync once more, to the replicas too, and let go of the database; in a forked child, do nothing.

        Raises:
            LitestreamError: the last sync failed; the database is closed all the same, and nothing is lost: the next
                start goes on from where it ended.

        """
        if is_other_process(self._pid):
            return  # it is not ours to close
        with self._lock:
            background, self._background = self._background, None
            task, self._task = self._task, None
            owns_background, self._owns_background = self._owns_background, False
        if background is None:
            return
        background.unwatch(self)
        if task is not None:
            task.stop()
        is_ours = True
        try:
            with self._lock:
                self._sync()
        except LocalStateHeldError:
            is_ours = False
            raise
        finally:
            try:
                if is_ours:
                    patience = Patience(
                        timeout_s=self.shutdown_sync_timeout_s,
                        interval_s=self.shutdown_sync_interval_s,
                        give_up=self._give_up,
                    )
                    finish_replicas(self.replicas, patience, clock=self._clock, logger=self.logger)
                else:  # whoever holds the local state uploads it
                    in_parallel([replica.stop for replica in self.replicas])
            finally:
                if owns_background:
                    background.close()
                self._let_go()

    def _let_go(self) -> None:
        """Let go of the database, which stayed open until its replicas were done: one may have needed a snapshot."""
        with self._lock:
            self._is_open = False
            hooks, self._hooks = self._hooks, []
            for hook in hooks:
                hook.close()
            self._disconnect()

    def stop_retrying(self) -> None:
        """Have `close` try no more to upload what is left, after the try that is under way has ended.

        What is not uploaded stays here, and the next start uploads it.
        """
        self._give_up.set()

    def look(self) -> None:
        """Have the database synced soon if it may have changed, or something is due."""
        seen = self._seen
        is_same = seen is not None and seen == WALState.look(self._wal_name)
        if not is_same or self._clock.monotonic() >= self._due_at:
            self.wake()

    def wake_on_commit(self, connection: apsw.Connection) -> None:
        """Be woken by the commits of a connection in this process, until the database is closed.

        The connection no longer checkpoints by itself, for that passes to the `DB`.

        Raises:
            UsageError: it is a connection to another database, or cannot write.

        """
        path = database_path(connection)
        if not self._path.samefile(path):
            msg = f"expected a connection to {self._path}, got one to {path}"
            raise UsageError(msg)
        with self._lock:
            self._check_open()
            self._hooks.append(CommitHook(connection, self.wake))

    def wake(self) -> None:
        """Have the database synced soon: somebody has committed."""
        task = self._task
        if task is not None:
            task.wake()

    def sync(self) -> Pos:
        """Write what was committed before this call to level-0 files, checkpoint if due, and return the position.

        Raises:
            UsageError: the database is not open, or this process is a fork of the one that opened it.
            PrimaryUnavailableError, PrimaryDeniedError, PrimaryCorruptError: SQLite failed.
            DeniedError, UnavailableError: the local directory failed; nothing is half-written, so call again.

        """
        check_process(self._pid, self._path)
        with self._lock:
            self._check_open()
            self._sync()
            connected = self._connected
            if connected is not None:
                try:
                    connected.checkpointer.run_if_due(self)
                finally:
                    self._publish()
                self._due_at = connected.checkpointer.due_at(self)
            return self.pos()

    def sync_and_wait(self) -> Pos:
        """Sync, upload to every replica, and return the position, which all of them hold then.

        Raises:
            LitestreamError: as `sync`, and `Replica.sync` of the first that failed.

        """
        pos = self.sync()
        if pos.txid:
            in_parallel([replica.sync for replica in self.replicas])
        return pos

    def checkpoint(self, mode: str = CHECKPOINT_MODE_PASSIVE) -> None:
        """Sync, and copy the WAL to the database file, so that the WAL can be used anew.

        Modes beyond PASSIVE wait for readers, at most the busy timeout; writers wait as long.

        Raises:
            UsageError: there is no such mode, or the database is not open.
            PrimaryUnavailableError: a writer was at work for longer than the busy timeout, and the like.

        """
        parsed = parse_checkpoint_mode(mode)
        check_process(self._pid, self._path)
        with self._lock:
            self._check_open()
            self._sync()
            if self._connected is not None:
                try:
                    self._connected.checkpointer.run(parsed)
                finally:
                    self._publish()
