"""The functions that open replicas: `connect`, and registering by name."""

from datetime import datetime
from logging import Logger

import apsw

from replication.client.base import ReplicaClient
from replication.clock import format_instant
from replication.errors import UsageError
from replication.position import TXID, format_txid, parse_txid
from vfs.names import READ_REPLICAS, check_source
from vfs.read_replica import ReadReplica
from vfs.uri import (
    DEFAULT_CACHE_SIZE,
    DEFAULT_POLL_INTERVAL_S,
    DEFAULT_PREFETCH,
    DEFAULT_TIMEOUT_S,
    Options,
    build_uri,
)

READ_ONLY_URI = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def connect(
    replica: str | ReplicaClient,
    *,
    name: str | None = None,
    time: str | datetime | None = None,
    txid: TXID | int | str | None = None,
    poll_interval_s: float = DEFAULT_POLL_INTERVAL_S,
    cache_size: int = DEFAULT_CACHE_SIZE,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    max_staleness_s: float | None = None,
    prefetch: bool | int = DEFAULT_PREFETCH,
    cache_dir: str | None = None,
    hydration_enabled: bool = False,
    hydration_path: str | None = None,
    logger: Logger | None = None,
) -> apsw.Connection:
    """Open a replica, given by URL or client, as a read-only database that follows the primary.

    Connections with the same replica and options share one poller, one page index and one page cache; the last one to
    close ends them. `time` or `txid` opens the replica as it was then, and it stays so.

    Args:
        replica: a URL such as `s3://bucket/path` or `file:///path`, or a client.
        name: the name to open it as again, with `file:NAME?vfs=litestream`; the URL if not given.
        time: an aware instant, or what `PRAGMA litestream_time` understands.
        txid: a TXID; text is read as hexadecimal.
        poll_interval_s: seconds between two looks for newer files.
        cache_size: bytes of pages to hold, 0 for the default, negative for none.
        timeout_s: seconds that opening, or a read, may take.
        max_staleness_s: seconds since the last successful poll after which reads fail; None for no limit.
        prefetch: whether pages are fetched ahead of their use, or how many bytes of them at most.
        cache_dir: not supported yet.
        hydration_enabled: not supported yet.
        hydration_path: not supported yet.
        logger: where trouble in the background is logged; `litestream.vfs` if not given.

    Raises:
        apsw.Error: the replica cannot be opened; our error is its cause.
        UsageError: an option is out of range, or the name is taken.

    """
    options = Options(
        poll_interval_s=poll_interval_s,
        cache_size=cache_size,
        timeout_s=timeout_s,
        max_staleness_s=max_staleness_s,
        prefetch=prefetch,
        cache_dir=cache_dir,
        hydration_enabled=hydration_enabled,
        hydration_path=hydration_path,
    )
    parameters = _target(time, txid)
    check_source(replica)
    default_name = replica if isinstance(replica, str) else f"{replica.type}-{id(replica):x}"
    read_replica = READ_REPLICAS.reserve(name or default_name, replica, options, logger, exact=name is not None)
    try:
        return apsw.Connection(build_uri(read_replica.name, parameters), flags=READ_ONLY_URI)
    finally:
        read_replica.unreserve()


def register_read_replica(
    name: str,
    replica: str | ReplicaClient,
    *,
    poll_interval_s: float = DEFAULT_POLL_INTERVAL_S,
    cache_size: int = DEFAULT_CACHE_SIZE,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    max_staleness_s: float | None = None,
    prefetch: bool | int = DEFAULT_PREFETCH,
    cache_dir: str | None = None,
    hydration_enabled: bool = False,
    hydration_path: str | None = None,
    logger: Logger | None = None,
) -> ReadReplica:
    """Give a replica a name, so that any connection of this process can open `file:NAME?vfs=litestream`.

    Nothing is asked of the storage before the first use. The options are those of `connect`.

    Raises:
        UsageError: the name is taken, the URL is none of a replica, or an option is out of range.

    """
    options = Options(
        poll_interval_s=poll_interval_s,
        cache_size=cache_size,
        timeout_s=timeout_s,
        max_staleness_s=max_staleness_s,
        prefetch=prefetch,
        cache_dir=cache_dir,
        hydration_enabled=hydration_enabled,
        hydration_path=hydration_path,
    )
    return READ_REPLICAS.register(name, replica, options, logger)


def unregister_read_replica(name: str) -> None:
    """Take a name away and stop following for it; connections that are open stay so.

    Raises:
        UsageError: there is no such name.

    """
    READ_REPLICAS.get(name).close()


def read_replica(name: str) -> ReadReplica:
    """Return the read replica of a name.

    Raises:
        UsageError: there is none.

    """
    return READ_REPLICAS.get(name)


def _target(time: str | datetime | None, txid: TXID | int | str | None) -> dict[str, str]:
    """Return the URI parameters that say where to stand still."""
    if time is not None and txid is not None:
        msg = "expected one of time and txid, got both"
        raise UsageError(msg)
    if isinstance(time, datetime):
        if time.tzinfo is None:
            msg = f"expected a time with a zone, got the naive {time.isoformat()}"
            raise UsageError(msg)
        time = format_instant(time)
    if txid is not None:
        number = parse_txid(txid) if isinstance(txid, str) else txid
        if not 0 < number < 2**64:
            msg = f"expected a TXID from 1 to ffffffffffffffff, got {number:x}"
            raise UsageError(msg)
        return {"txid": format_txid(number)}
    if time is None:
        return {}
    text: object = time
    if not isinstance(text, str):
        msg = f"expected a time as text or an aware datetime, got {time!r}"
        raise UsageError(msg)
    return {"time": text}
