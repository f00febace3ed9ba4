"""Which files a replica may lose, and deleting them.

What is true after every deletion, whoever made the files:
- The newest state can be restored, and so can every instant within the time that snapshots are kept for.
- What the files that are left end at can be restored, from the first snapshot that is kept on.
- No level loses a file from its middle, nor its last one, which says where the level goes on.

The rules, from the oldest file on:
- Level 0: files that were created before an instant and that level 1 holds, up to the first that is younger or not
  held. A file is held when one of level 1 covers it, or when it lies before level 1 begins, within a snapshot. What
  level 1 merged into one file goes together: its later parts alone lead nowhere. (The real program lets them go one
  by one, so that of the minutes which level 0 is kept for it cannot restore the oldest half minute.)
- Snapshots: those created before an instant, but the last of them: what happened after that instant is restored from
  it. (The real program keeps that one only while there is no younger one; so on the day it takes a new snapshot it can
  restore nothing from before, however long snapshots are to be kept.)
- Levels 1 to 8: files that end before the newest snapshot that is deleted (before that one, not before the first that
  is kept: a restore that planned with it may still be reading what follows it).

Source: litestream 0.5.17, db.go, "EnforceL0RetentionByTime" and "EnforceSnapshotRetention"; compactor.go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from replication.compaction_levels import DEFAULT_L0_RETENTION_S, DEFAULT_SNAPSHOT_RETENTION_S
from replication.levels import MAX_COMPACTION_LEVEL, SNAPSHOT_LEVEL
from replication.local import LocalDatabase
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID
from replication.restore.points import is_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How long files are kept beyond need, and whether the replica's are deleted by us at all.

    Without `delete_remote` somebody else deletes them, such as the bucket's lifecycle rules; local ones always go.
    """

    l0_retention_s: float = DEFAULT_L0_RETENTION_S
    snapshot_retention_s: float = DEFAULT_SNAPSHOT_RETENTION_S
    delete_remote: bool = True


@dataclass(frozen=True, slots=True)
class ExpiredSnapshots:
    """The snapshots to delete, and the TXID before which the levels below may forget."""

    files: tuple[FileInfo, ...]
    floor: TXID


def expired_level_0(
    files: Sequence[FileInfo], *, level_1: Sequence[FileInfo], snapshots: Sequence[FileInfo], before: datetime
) -> tuple[FileInfo, ...]:
    """Return the files of level 0 to delete, of a listing of levels 0, 1 and 9.

    Args:
        files: the files of level 0, sorted.
        level_1: those of level 1, sorted.
        snapshots: those of level 9.
        before: the instant before which a file was created to be old enough.

    """
    snapshot_ends = {info.max_txid for info in snapshots if is_whole(info)}
    level_1_begin = min((info.min_txid for info in level_1), default=NO_TXID)
    # What lies before level 1 is held by the snapshot that level 1 begins after.
    before_level_1 = level_1_begin - 1 if max(snapshot_ends, default=NO_TXID) + 1 >= level_1_begin else NO_TXID
    holders = sorted(level_1, key=lambda info: info.min_txid)
    expired: list[FileInfo] = []
    reach, next_holder = NO_TXID, 0  # how far the holders that start no later than the current file lead
    for info in files:
        while next_holder < len(holders) and holders[next_holder].min_txid <= info.min_txid:
            reach = max(reach, holders[next_holder].max_txid)
            next_holder += 1
        if info.created_at > before or info.max_txid > max(reach, before_level_1):
            break
        expired.append(info)
    ends = snapshot_ends | {info.max_txid for info in level_1}
    while expired and expired[-1].max_txid not in ends:
        expired.pop()
    return tuple(info for info in expired if info is not files[-1])


def expired_snapshots(files: Sequence[FileInfo], *, before: datetime) -> ExpiredSnapshots:
    """Return the snapshots to delete, of the sorted listing of level 9."""
    old = list(takewhile(lambda info: info.created_at < before, files))
    expired = old[:-1]
    return ExpiredSnapshots(tuple(expired), expired[-1].max_txid if expired else NO_TXID)


def below_floor(files: Sequence[FileInfo], floor: TXID) -> tuple[FileInfo, ...]:
    """Return the files of a level from 1 to 8 to delete, of its sorted listing, once snapshots up to `floor` are."""
    return tuple(takewhile(lambda info: info.max_txid < floor, files[:-1]))


def expired_local(files: Sequence[FileInfo], *, held: TXID, before: datetime) -> tuple[FileInfo, ...]:
    """Return the local files to delete, of their sorted listing.

    Args:
        files: the local files of level 0, sorted.
        held: the TXID up to which level 1 of every replica holds them, so that none needs them any more.
        before: the instant before which a file was created to be old enough.

    """
    return tuple(takewhile(lambda info: info.created_at <= before and info.max_txid <= held, files[:-1]))


def enforce_level_0_retention(
    client: ReplicaClient, policy: RetentionPolicy, now: datetime, *, files: Sequence[FileInfo] | None = None
) -> tuple[FileInfo, ...]:
    """Delete the files of level 0 that are old and held elsewhere, and return them.

    A replica where nothing is old costs one listing, or none if the caller gives the `files` of level 0.

    Raises:
        UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    if not policy.delete_remote:
        return ()
    before = now - timedelta(seconds=policy.l0_retention_s)
    if files is None:
        files = list(client.ltx_files(0))
    if len(files) <= 1 or files[0].created_at > before:
        return ()
    level_1 = list(client.ltx_files(1))
    is_before = bool(level_1) and files[0].max_txid < level_1[0].min_txid
    snapshots = list(client.ltx_files(SNAPSHOT_LEVEL)) if is_before else []
    expired = expired_level_0(files, level_1=level_1, snapshots=snapshots, before=before)
    if expired:
        client.delete_ltx_files(expired)
    return expired


def enforce_snapshot_retention(client: ReplicaClient, policy: RetentionPolicy, now: datetime) -> tuple[FileInfo, ...]:
    """Delete old snapshots, and what the levels 1 to 8 hold before them, and return all of it.

    The snapshots go first: in between, an old instant is refused. The other way round a restore would find the old
    snapshot and give its state, as if nothing had happened after it.

    Raises:
        UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    if not policy.delete_remote:
        return ()
    before = now - timedelta(seconds=policy.snapshot_retention_s)
    snapshots = expired_snapshots(list(client.ltx_files(SNAPSHOT_LEVEL)), before=before)
    if not snapshots.files:
        return ()
    deleted = list(snapshots.files)
    client.delete_ltx_files(snapshots.files)
    for level in range(1, MAX_COMPACTION_LEVEL + 1):
        expired = below_floor(list(client.ltx_files(level)), snapshots.floor)
        if expired:
            client.delete_ltx_files(expired)
            deleted += expired
    return tuple(deleted)


def enforce_local_retention(
    db: LocalDatabase, policy: RetentionPolicy, now: datetime, *, held: TXID
) -> tuple[FileInfo, ...]:
    """Delete the local files of level 0 that are old and that no replica needs any more, and return them.

    Args:
        db: the database.
        policy: how long they are kept.
        now: the wall time.
        held: the TXID up to which level 1 of every replica holds them.

    Raises:
        DeniedError, UnavailableError: the operating system refused, or did not answer.

    """
    before = now - timedelta(seconds=policy.l0_retention_s)
    local = FileReplicaClient(db.ltx_path(0, TXID(1), TXID(1)).parents[2])  # laid out as such a replica
    expired = expired_local(list(local.ltx_files(0)), held=held, before=before)
    local.delete_ltx_files(expired)
    return expired
