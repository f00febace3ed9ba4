"""From a replica client to a restore plan, with as few requests as exact times allow.

A store that lists the times of uploads (S3) gives the header's time of a file only for a request of its own. For a
plan before an instant few of those matter: a header is written before its file is uploaded, so a file listed well
before the instant was created before it, and within one level times rise with the TXIDs, so a binary search settles
the rest.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from operator import attrgetter

from replication.client.base import ReplicaClient
from replication.client.fetch import fetch_ltx_header
from replication.clock import from_timestamp_ms
from replication.errors import LTXMissingError, UsageError
from replication.levels import LEVELS
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from replication.restore.plan import check_instant, earliest_whole, not_that_old, plan_reachable, plan_restore

MAX_CLOCK_SKEW = timedelta(minutes=15)  # S3 itself refuses requests signed by a clock that is further off
MAX_LISTINGS = 3  # files may vanish between a listing and a look at their headers


def list_levels(client: ReplicaClient, executor: Executor | None = None) -> dict[int, tuple[FileInfo, ...]]:
    """Return the listing of each level, with one request where that can tell, else side by side in the executor.

    Raises:
        UsageError, DeniedError, UnavailableError: as the client's listing.

    """

    def list_all(client: ReplicaClient) -> Mapping[int, Sequence[FileInfo]] | None:
        return client.ltx_levels()

    def list_level(level: int) -> tuple[FileInfo, ...]:
        return tuple(client.ltx_files(level))

    (found,) = executor.map(list_all, [client]) if executor else (list_all(client),)
    if found is not None:
        return {level: tuple(found.get(level, ())) for level in LEVELS}
    listings = executor.map(list_level, LEVELS) if executor else map(list_level, LEVELS)
    return dict(zip(LEVELS, listings, strict=True))


def calc_restore_plan(
    client: ReplicaClient,
    txid: TXID | None = None,
    timestamp: datetime | None = None,
    *,
    executor: Executor | None = None,
    header_times: MutableMapping[FileInfo, datetime] | None = None,
) -> tuple[FileInfo, ...]:
    """Return the files to apply, in order, for the database at a TXID, before an instant, or as new as possible.

    Args:
        client: the replica.
        txid: the TXID to reach exactly.
        timestamp: use only files whose header was written before this instant (exclusive).
        executor: runs the requests, those of different levels at the same time.
        header_times: what headers said before; what they say now is added, so that a next call need not ask. With an
            executor, several threads use it at once; it may be cleared meanwhile.

    Raises:
        UsageError, NoSnapshotsError, TxNotAvailableError, PositionError: as `plan_restore`.
        LTXMissingError: files kept vanishing while their headers were read.
        LTXError: the header of a file is broken, or that of another file.
        DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    if timestamp is None or client.accurate_list_times:
        return plan_restore(list_levels(client, executor=executor), txid=txid, timestamp=timestamp)
    if txid is not None:
        msg = "expected a TXID or an instant to restore, got both"
        raise UsageError(msg)
    check_instant(timestamp)
    header_times = {} if header_times is None else header_times
    missing: LTXMissingError | None = None
    for _ in range(MAX_LISTINGS):
        try:
            return _plan_before(client, timestamp, executor, header_times)
        except LTXMissingError as error:
            missing = error
    msg = f"files vanished while their headers were read, {MAX_LISTINGS} times in a row: {missing}"
    raise LTXMissingError(msg) from missing


def files_before(
    files: Sequence[FileInfo], timestamp: datetime, created_at: Callable[[FileInfo], datetime]
) -> tuple[FileInfo, ...]:
    """Return the files of one level created before an instant, asking for exact times only where that may matter.

    Args:
        files: the listing of a level, whose times may be later than the exact ones, and earlier by a clock's error.
        timestamp: the instant (exclusive).
        created_at: gives the exact time of a file; it rises with the TXIDs.

    """
    ordered = sorted(files, key=attrgetter("max_txid", "min_txid"))
    surely = [index for index, info in enumerate(ordered) if info.created_at + MAX_CLOCK_SKEW < timestamp]
    first = surely[-1] + 1 if surely else 0
    return tuple(ordered[: bisect_left(ordered, timestamp, lo=first, key=created_at)])


def _plan_before(
    client: ReplicaClient,
    timestamp: datetime,
    executor: Executor | None,
    header_times: MutableMapping[FileInfo, datetime],
) -> tuple[FileInfo, ...]:
    def created_at(info: FileInfo) -> datetime:
        time = header_times.get(info)
        if time is None:
            time = header_times[info] = from_timestamp_ms(fetch_ltx_header(client, info).timestamp_ms)
        return time

    def settle(infos: Sequence[FileInfo]) -> tuple[FileInfo, ...]:
        return files_before(infos, timestamp, created_at)

    listing = list_levels(client, executor=executor)
    if not any(listing.values()):
        return plan_restore(listing)  # raises
    settled = executor.map(settle, listing.values()) if executor else map(settle, listing.values())
    chain = plan_reachable(dict(zip(listing, settled, strict=True)))
    if not chain:
        earliest = earliest_whole(listing)
        raise not_that_old(timestamp, created_at(earliest) if earliest else None)
    return chain
