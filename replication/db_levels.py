"""What a database has done to the levels of its replica: compactions, snapshots, deletions, one by one.

A `Store` does all this in the background, and for every replica; these are for those who do it themselves.

Source: litestream 0.5.17, db.go.
"""

from abc import ABC, abstractmethod
from datetime import datetime
from functools import partial
from logging import Logger
from typing import BinaryIO

from replication.client.base import ReplicaClient
from replication.clock import Clock
from replication.compaction import compact_level, newest_file, write_snapshot
from replication.db_paths import DBPaths
from replication.errors import UsageError
from replication.levels import SNAPSHOT_LEVEL
from replication.local import open_local
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID, Pos
from replication.replica import Replica
from replication.retention import (
    RetentionPolicy,
    below_floor,
    enforce_level_0_retention,
    enforce_local_retention,
    expired_snapshots,
)


class DBLevels(DBPaths, ABC):
    """A database with replicas, of which the first counts here."""

    replicas: list[Replica]
    l0_retention_s: float
    logger: Logger
    _clock: Clock

    @abstractmethod
    def pos(self) -> Pos:
        """Return the position of the newest local level-0 file."""

    @abstractmethod
    def local_id(self) -> str:
        """Return the id of the lock on the local state, while it is held."""

    @abstractmethod
    def snapshot_reader(self) -> tuple[Pos, BinaryIO]:
        """Return a position, and a reader of the whole database there."""

    def snapshot(self) -> FileInfo:
        """Write the whole database to level 9 of the replica, and return the file.

        Raises:
            NoCompactionError: the newest snapshot is up to date.
            DBNotReadyError: nothing of the database was synced yet.
            LitestreamError: as for `sync` and the replica's storage.

        """
        client = self._client()
        return write_snapshot(client, self, replicate=self.replicas[0].sync)

    def compact(self, dst_level: int) -> FileInfo:
        """Merge what the level below `dst_level` (1 to 8) has beyond it into one file there; 9 takes a snapshot.

        Raises:
            NoCompactionError: there is nothing new.
            UsageError: there is no such level, or no replica.
            LitestreamError: as `compact_level`.

        """
        if dst_level == SNAPSHOT_LEVEL:
            return self.snapshot()
        client = self._client()
        opener = partial(open_local, self, position=self.replicas[0].pos().txid)
        return compact_level(client, dst_level, open_local=opener)

    def max_ltx_file_info(self, level: int) -> FileInfo | None:
        """Return the file of a level of the replica that leads furthest, or None if the level is empty.

        Raises:
            UsageError: there is no such level, or no replica.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        return newest_file(self._client(), level)

    def enforce_snapshot_retention(self, timestamp: datetime) -> TXID:
        """Delete the snapshots from before an instant but the last, and return the first TXID that a kept one is of.

        Raises:
            UsageError: there is no replica.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        client = self._client()
        files = list(client.ltx_files(SNAPSHOT_LEVEL))
        expired = expired_snapshots(files, before=timestamp).files
        if expired:
            client.delete_ltx_files(expired)
        return min((info.max_txid for info in files if info not in expired), default=NO_TXID)

    def enforce_retention_by_txid(self, level: int, txid: TXID) -> None:
        """Delete the files of a level that end before a TXID, but the newest.

        Raises:
            UsageError: there is no such level, or no replica.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        client = self._client()
        expired = below_floor(list(client.ltx_files(level)), txid)
        if expired:
            client.delete_ltx_files(expired)

    def enforce_l0_retention_by_time(self) -> None:
        """Delete the files of level 0 that are older than `l0_retention_s` and that level 1 holds, local ones too.

        Raises:
            UsageError: there is no replica.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        now, policy = self._clock.now(), RetentionPolicy(l0_retention_s=self.l0_retention_s)
        enforce_level_0_retention(self._client(), policy, now)
        level_1 = [newest_file(replica.retrying_client, 1) for replica in self.replicas]
        held = min(NO_TXID if info is None else info.max_txid for info in level_1)
        enforce_local_retention(self, policy, now, held=held)

    def _client(self) -> ReplicaClient:
        if not self.replicas:
            msg = f"{self.path} has no replica"
            raise UsageError(msg)
        return self.replicas[0].retrying_client
