"""Keeping the levels of one replica: compactions, snapshots, and deleting what is not needed any more.

It remembers the newest file of each level it has seen or written, so that a replica to which nothing is added costs
no request: a level is asked for only when the one below is known to hold more.
"""

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from replication.clock import SYSTEM_CLOCK, Clock
from replication.compaction import check_due, compact_level, newest_file, write_snapshot
from replication.compaction_levels import CompactionLevel
from replication.errors import DBNotReadyError, NoCompactionError
from replication.levels import SNAPSHOT_LEVEL
from replication.local import open_local
from replication.ltx.file_info import FileInfo
from replication.position import MAX_TXID, NO_TXID, TXID, format_txid
from replication.replica import Replica
from replication.retention import (
    RetentionPolicy,
    enforce_level_0_retention,
    enforce_local_retention,
    enforce_snapshot_retention,
)

MAX_COMPACTIONS = 100
"""How many files one call writes to a level, to work off a backlog."""


class Upkeep:
    """The levels of one replica; any thread may call it, each level being compacted by one at a time."""

    def __init__(self, replica: Replica, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Take a replica; nothing is asked yet."""
        self.replica = replica
        self._client = replica.retrying_client
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: dict[int, FileInfo] = {}  # guarded by _lock; by level, as far as known
        self._settled = NO_TXID  # guarded by _lock; at this position level 0 has nothing more to lose
        self._oldest: datetime | None = None  # guarded by _lock; of level 0, when it was listed last

    def __repr__(self) -> str:
        with self._lock:
            levels = " ".join(f"{level}:{format_txid(info.max_txid)}" for level, info in sorted(self._newest.items()))
        return f"<Upkeep {self.replica.db.path.name} {levels or 'nothing known'}>"

    def compact(self, level: CompactionLevel) -> FileInfo:
        """Compact into a level, or take a snapshot if it is theirs, and return the last file written.

        Raises:
            CompactionTooEarlyError: that was done in the current interval already.
            NoCompactionError: there is nothing new.
            DBNotReadyError: nothing of the database was replicated yet.
            LitestreamError: as `compact_level`, `write_snapshot` and `Replica.sync`.

        """
        position = self._position()
        newest = self._find_newest(level.level)
        check_due(level, newest, self._clock.now())
        if level.level == SNAPSHOT_LEVEL:
            return self._compacted(write_snapshot(self._client, self.replica.db, replicate=self.replica.sync))
        below = self._known(level.level - 1, position)
        if newest is not None and newest.max_txid >= below > NO_TXID:
            msg = f"level {level.level} holds all of level {level.level - 1}, up to TXID {format_txid(below)}"
            raise NoCompactionError(msg)
        opener = partial(open_local, self.replica.db, position=position)
        for _ in range(MAX_COMPACTIONS):
            known = newest.max_txid if newest else NO_TXID
            written = self._compacted(compact_level(self._client, level.level, known=known, open_local=opener))
            if written.level == SNAPSHOT_LEVEL or written.max_txid >= below:
                break
            newest = written
        return written

    def is_behind(self, level: CompactionLevel) -> bool:
        """Say whether a level missed an interval while nobody was there; one that is still empty did not.

        A first snapshot comes with the first compaction, so another one before it would be one too many.

        Raises:
            UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        newest = self._find_newest(level.level)
        return newest is not None and newest.created_at <= level.prev_compaction_at(self._clock.now())

    def enforce_snapshot_retention(self, policy: RetentionPolicy) -> tuple[FileInfo, ...]:
        """Delete old snapshots and what lies before them, and return it.

        Raises:
            UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        return enforce_snapshot_retention(self._client, policy, self._clock.now())

    @property
    def held(self) -> TXID:
        """The last TXID that level 1 is known to hold."""
        return self._known(1, NO_TXID)

    def enforce_level_0_retention(
        self, policy: RetentionPolicy, *, held_elsewhere: TXID = MAX_TXID
    ) -> tuple[FileInfo, ...]:
        """Delete old files of level 0, the replica's and then the local ones, and return the former.

        Args:
            policy: how long they are kept.
            held_elsewhere: the last TXID that level 1 of every other replica of the database holds.

        Raises:
            UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        position = self.replica.pos().txid
        with self._lock:
            level_1, oldest = self._newest.get(1), self._oldest
            if position == self._settled:
                return ()
        now = self._clock.now()
        if oldest is not None and oldest > now - timedelta(seconds=policy.l0_retention_s):
            return ()  # files go from the oldest on, and that is too young
        files = list(self._client.ltx_files(0)) if policy.delete_remote else []
        deleted = enforce_level_0_retention(self._client, policy, now, files=files)
        with self._lock:
            self._oldest = next((info.created_at for info in files if info not in deleted), None)
        if level_1 is None:
            return deleted
        held = min(level_1.max_txid, held_elsewhere)
        enforce_local_retention(self.replica.db, policy, now, held=held)
        is_old = (now - level_1.created_at).total_seconds() > policy.l0_retention_s
        if is_old and held >= position:
            with self._lock:
                self._settled = position
        return deleted

    def forget(self) -> None:
        """Ask anew from now on; the policy changed, or somebody else wrote to the replica."""
        with self._lock:
            self._newest.clear()
            self._oldest = None
            self._settled = NO_TXID

    def _position(self) -> TXID:
        position = self.replica.pos().txid
        if not position:
            msg = f"nothing of {self.replica.db.path} was replicated yet"
            raise DBNotReadyError(msg)
        return position

    def _known(self, level: int, position: TXID) -> TXID:
        """Return the last TXID that a level is known to hold, 0 if nothing is known of it."""
        if level == 0:
            return position
        with self._lock:
            newest = self._newest.get(level)
        return newest.max_txid if newest else NO_TXID

    def _find_newest(self, level: int) -> FileInfo | None:
        with self._lock:
            newest = self._newest.get(level)
        if newest is None and (newest := newest_file(self._client, level)) is not None:
            self._remember(newest)
        return newest

    def _compacted(self, info: FileInfo) -> FileInfo:
        """Remember a file as one of now: its own time, that of its last input, is of the interval before."""
        self._remember(replace(info, created_at=max(info.created_at, self._clock.now())))
        return info

    def _remember(self, info: FileInfo) -> FileInfo:
        with self._lock:
            known = self._newest.get(info.level)
            if known is None or known.max_txid < info.max_txid:
                self._newest[info.level] = info
        return info
