"""What a replica says of itself, what is restored from it, and what it may lose.

Source: litestream 0.5.17, replica.go.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from replication.client.retry import RetryingClient
from replication.clock import Clock
from replication.compaction import newest_file
from replication.errors import TxNotAvailableError
from replication.levels import LEVELS
from replication.local import LocalDatabase
from replication.ltx.file_info import FileInfo
from replication.position import TXID
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


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """The creation times of a replica's oldest and newest file."""

    created_at: datetime
    updated_at: datetime


class ReplicaFiles:
    """The files of the replica of a database."""

    def __init__(self, db: LocalDatabase, client: RetryingClient, *, clock: Clock) -> None:
        """Connect a database with a client; nothing is asked yet."""
        self._db = db
        self._client = client
        self._clock = clock

    @property
    def db(self) -> LocalDatabase:
        """The database."""
        return self._db

    @property
    def retrying_client(self) -> RetryingClient:
        """The storage, each call being repeated while it is unavailable."""
        return self._client

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
