"""Which files to apply, in which order, to reach a TXID or an instant: pure, from listings to a plan.

A plan is a chain: its first file holds the whole database (it starts at TXID 1), and each next one starts no later
than the TXID after the position reached so far and ends beyond it. Overlaps do no harm, because a page of a newer file
always wins. Files of all levels count, and those that lead furthest are taken, so a plan is short.

Source: litestream 0.5.17, replica.go, "CalcRestorePlan".
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from replication.clock import format_instant
from replication.errors import NoSnapshotsError, PositionError, TxNotAvailableError, UsageError
from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID, format_txid
from replication.restore.points import is_whole, restore_points, usable

Preference = Callable[[FileInfo], tuple[int, int, int]]


def plan_restore(
    files: Mapping[int, Sequence[FileInfo]], *, txid: TXID | None = None, timestamp: datetime | None = None
) -> tuple[FileInfo, ...]:
    """Return the files to apply, in order, for the database at a TXID, before an instant, or as new as possible.

    Args:
        files: the listing of each level; a level may be missing.
        txid: the TXID to reach exactly.
        timestamp: use only files created before this instant (exclusive).

    Raises:
        UsageError: both targets are given, or the instant has no time zone.
        NoSnapshotsError: there is no file, or none that holds the whole database.
        TxNotAvailableError: the files do not reach the target.
        PositionError: no target is given, and files lie beyond a gap.

    """
    if txid is not None and timestamp is not None:
        msg = "expected a TXID or an instant to restore, got both"
        raise UsageError(msg)
    if not any(files.values()):
        msg = "no files to restore from: the replica is empty, or it is not there"
        raise NoSnapshotsError(msg)
    if txid is not None:
        return _plan_txid(files, txid)
    if timestamp is not None:
        return _plan_before(files, timestamp)
    return _plan_latest(files)


def plan_reachable(files: Mapping[int, Sequence[FileInfo]]) -> tuple[FileInfo, ...]:
    """Return the chain that leads furthest, empty if no file holds the whole database; gaps are no error."""
    snapshots = [info for info in files.get(SNAPSHOT_LEVEL, ()) if is_whole(info)]
    start = snapshots[-1:]
    position = start[-1].max_txid if start else NO_TXID
    others = (info for level, infos in files.items() if level != SNAPSHOT_LEVEL for info in infos)
    return (*start, *_chain(others, position, _restore_preference))


def plan_from(files: Mapping[int, Sequence[FileInfo]], position: TXID) -> tuple[FileInfo, ...]:
    """Return the files to apply, in order, on top of a position; empty when nothing is newer.

    A file that holds the whole database comes into it only where no other one follows: a follower has those pages.
    Where files follow but end at a gap, the plan ends there too, and the next call says more.

    Args:
        files: the listing of each level; a level may be missing.
        position: the last TXID already applied.

    Raises:
        PositionError: there are newer files, but none that follows.

    """
    newer = [info for info in usable(files) if info.max_txid > position]
    if not newer:
        return ()
    parts = [info for info in newer if not is_whole(info)]
    chain = _chain(parts, position, _follow_preference)
    if chain:
        return tuple(chain)
    wholes = [info for info in newer if is_whole(info)]
    if wholes:
        whole = max(wholes, key=_restore_preference)
        return (whole, *_chain(parts, whole.max_txid, _follow_preference))
    raise _gap(position, parts)


def earliest_whole(files: Mapping[int, Sequence[FileInfo]]) -> FileInfo | None:
    """Return the file history starts with: of those that hold the whole database, the first to end."""
    return min(
        (info for info in usable(files) if is_whole(info)), key=attrgetter("max_txid", "created_at"), default=None
    )


def not_that_old(timestamp: datetime, earliest: datetime | None) -> TxNotAvailableError:
    """Return the error for an instant before history."""
    if earliest is None:
        known = "no file of the replica holds the whole database"
    else:
        known = f"the earliest instant to restore is just after {format_instant(earliest)}"
    return TxNotAvailableError(f"no files were created before {format_instant(timestamp)} to restore from: {known}")


def check_instant(timestamp: datetime) -> datetime:
    """Return the instant if it has a time zone.

    Raises:
        UsageError: it has none.

    """
    if timestamp.tzinfo is None:
        msg = f"expected an instant with a time zone, got {timestamp.isoformat()}"
        raise UsageError(msg)
    return timestamp


def _plan_txid(files: Mapping[int, Sequence[FileInfo]], txid: TXID) -> tuple[FileInfo, ...]:
    chain = plan_reachable(
        {level: [info for info in infos if info.max_txid <= txid] for level, infos in files.items()},
    )
    if not chain or chain[-1].max_txid != txid:
        msg = f"TXID {format_txid(txid)} cannot be restored: {_nearest(files, txid)}"
        raise TxNotAvailableError(msg)
    return chain


def _plan_before(files: Mapping[int, Sequence[FileInfo]], timestamp: datetime) -> tuple[FileInfo, ...]:
    check_instant(timestamp)
    chain = plan_reachable(
        {level: [info for info in infos if info.created_at < timestamp] for level, infos in files.items()},
    )
    if not chain:
        earliest = earliest_whole(files)
        raise not_that_old(timestamp, earliest.created_at if earliest else None)
    return chain


def _plan_latest(files: Mapping[int, Sequence[FileInfo]]) -> tuple[FileInfo, ...]:
    chain = plan_reachable(files)
    beyond = [info for info in usable(files) if info.min_txid > (chain[-1].max_txid if chain else NO_TXID) + 1]
    if not chain:
        first = min(beyond, key=attrgetter("min_txid"), default=None)
        starts = f"the first one starts at TXID {format_txid(first.min_txid)}" if first else "there is no usable file"
        msg = f"no file holds the whole database: {starts}"
        raise NoSnapshotsError(msg)
    if beyond:
        raise _gap(chain[-1].max_txid, beyond)
    return chain


def _chain(infos: Iterable[FileInfo], position: TXID, preference: Preference) -> list[FileInfo]:
    """Return the files that lead furthest from a position, the preferred one at each step."""
    waiting = sorted(infos, key=attrgetter("min_txid"), reverse=True)
    chain: list[FileInfo] = []
    while True:
        following: list[FileInfo] = []
        while waiting and waiting[-1].min_txid <= position + 1:
            following.append(waiting.pop())
        best = max(following, key=preference, default=None)
        # A file passed over ends no later than the one taken, so it is never needed again.
        if best is None or best.max_txid <= position:
            return chain
        chain.append(best)
        position = best.max_txid


def _restore_preference(info: FileInfo) -> tuple[int, int, int]:
    """Furthest end, then the most transactions, then the level that is kept longest."""
    return info.max_txid, -info.min_txid, info.level


def _follow_preference(info: FileInfo) -> tuple[int, int, int]:
    """Furthest end, then the least that is known already, then the level that is kept longest."""
    return info.max_txid, info.min_txid, info.level


def _gap(position: TXID, beyond: Iterable[FileInfo]) -> PositionError:
    expected, actual = position + 1, min(info.min_txid for info in beyond)
    return PositionError(
        f"the files have a gap: expected one that starts at TXID {format_txid(expected)} or before, "
        f"got {format_txid(actual)}",
        expected=expected,
        actual=actual,
    )


def _nearest(files: Mapping[int, Sequence[FileInfo]], txid: TXID) -> str:
    txids = [point.txid for point in restore_points(files)]
    if not txids:
        return "no file of the replica holds the whole database"
    place = bisect_left(txids, txid)
    around = [format_txid(near) for near in txids[max(place - 1, 0) : place + 1]]
    return f"the nearest available {'is' if len(around) == 1 else 'are'} {' and '.join(around)}"
