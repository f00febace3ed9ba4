"""The function that replicates a database: `replicate`."""

import os
from collections.abc import Iterable, Mapping
from logging import Logger

import apsw

from replication.client.base import ReplicaClient
from replication.client.url import replica_client
from replication.client.url_parse import is_url, shown_name
from replication.commit_hook import database_path
from replication.compaction_levels import (
    DEFAULT_COMPACTION_LEVELS,
    DEFAULT_L0_RETENTION_CHECK_INTERVAL_S,
    DEFAULT_L0_RETENTION_S,
    DEFAULT_SNAPSHOT_INTERVAL_S,
    DEFAULT_SNAPSHOT_RETENTION_S,
    CompactionLevel,
)
from replication.db import (
    DB,
    DEFAULT_CHECKPOINT_INTERVAL_S,
    DEFAULT_MIN_CHECKPOINT_PAGE_N,
    DEFAULT_MONITOR_INTERVAL_S,
    DEFAULT_TRUNCATE_PAGE_N,
)
from replication.db_state import DEFAULT_BUSY_TIMEOUT_S
from replication.errors import UsageError
from replication.replica import DEFAULT_SYNC_INTERVAL_S, Replica
from replication.store import Store

_NEVER_ZERO = ("snapshot_interval_s", "l0_retention_check_interval_s")


def replicate(
    source: str | os.PathLike[str] | apsw.Connection,
    *replicas: str | ReplicaClient,
    levels: Iterable[CompactionLevel] = DEFAULT_COMPACTION_LEVELS,
    meta_path: str | os.PathLike[str] | None = None,
    monitor_interval_s: float = DEFAULT_MONITOR_INTERVAL_S,
    sync_interval_s: float | None = None,
    checkpoint_interval_s: float = DEFAULT_CHECKPOINT_INTERVAL_S,
    min_checkpoint_page_n: int = DEFAULT_MIN_CHECKPOINT_PAGE_N,
    truncate_page_n: int = DEFAULT_TRUNCATE_PAGE_N,
    busy_timeout_s: float = DEFAULT_BUSY_TIMEOUT_S,
    snapshot_interval_s: float = DEFAULT_SNAPSHOT_INTERVAL_S,
    snapshot_retention_s: float = DEFAULT_SNAPSHOT_RETENTION_S,
    l0_retention_s: float = DEFAULT_L0_RETENTION_S,
    l0_retention_check_interval_s: float = DEFAULT_L0_RETENTION_CHECK_INTERVAL_S,
    retention_enabled: bool = True,
    lease: bool = True,
    logger: Logger | None = None,
) -> Store:
    """Replicate a database, in the background, until the store that is returned is closed.

    Given by path, the database is looked at every `monitor_interval_s`; it need not exist yet. Given by a connection,
    the connection's commits are heard of at once. `Store.sync` returns when everything committed before it is stored.

    What is wrong with the database or with a storage is met in the background, which logs it and tries again; `sync`
    and `close` raise it. Writers need a busy timeout, as by `connection.set_busy_timeout(5000)`: now and then they
    have to wait a moment.

    Args:
        source: the path of the database, or a connection that writes to it.
        replicas: one URL such as `s3://bucket/path` or `file:///path`, or a client, or several: each gets everything.
        levels: how often the files of a level are merged into the next.
        meta_path: the directory of the local state; beside the database if not given.
        monitor_interval_s: seconds between two looks for commits; 0 for none, and then nothing happens by itself.
        sync_interval_s: seconds from one upload to the next at the least; if not given none for replicas on this
            machine, and one for others, where each upload costs.
        checkpoint_interval_s: seconds from one checkpoint to the next; 0 for none because of time alone.
        min_checkpoint_page_n: pages of the WAL that are checkpointed without waiting for anybody.
        truncate_page_n: pages of the WAL that are checkpointed even if readers have to be waited for; 0 for never.
        busy_timeout_s: seconds to wait for other connections to the database.
        snapshot_interval_s: seconds from one snapshot to the next.
        snapshot_retention_s: seconds that snapshots, and what follows them, are kept.
        l0_retention_s: seconds that files of level 0 are kept after they were merged.
        l0_retention_check_interval_s: seconds between two looks for those to delete.
        retention_enabled: whether old files are deleted from the replicas.
        lease: whether other writers are kept away from the replicas, where the storage allows.
        logger: where the background tells of itself; `litestream.replication` if not given.

    Raises:
        UsageError: there is no replica, or one twice; a URL is none of a replica, the path none of a file, or a number
            out of range; the connection is closed, to no file, or cannot write.

    """
    if not replicas:
        msg = "expected the URL of a replica, or several, after the database"
        raise UsageError(msg)
    if len({replica if isinstance(replica, str) else id(replica) for replica in replicas}) < len(replicas):
        msg = "expected different replicas, got one of them twice"
        raise UsageError(msg)
    db_settings = {
        "monitor_interval_s": monitor_interval_s,
        "checkpoint_interval_s": checkpoint_interval_s,
        "min_checkpoint_page_n": min_checkpoint_page_n,
        "truncate_page_n": truncate_page_n,
        "busy_timeout_s": busy_timeout_s,
    }
    store_settings = {
        "snapshot_interval_s": snapshot_interval_s,
        "snapshot_retention_s": snapshot_retention_s,
        "l0_retention_s": l0_retention_s,
        "l0_retention_check_interval_s": l0_retention_check_interval_s,
    }
    _check_numbers({**db_settings, **store_settings, "sync_interval_s": sync_interval_s or 0.0})
    db = DB(_path(source))
    db.l0_retention_s = l0_retention_s
    db.replicas = [
        Replica(db, client, sync_interval_s=_upload_interval_s(client, sync_interval_s), lease=lease)
        for client in map(_client, replicas)
    ]
    if meta_path is not None:
        db.set_meta_path(meta_path)
    store = Store([db], levels)
    store.retention_enabled = retention_enabled
    db.logger, store.logger = logger or db.logger, logger or store.logger
    vars(db).update(db_settings)
    vars(store).update(store_settings)
    return _opened(store, db, source)


def _opened(store: Store, db: DB, source: object) -> Store:
    """Open a store of one database, and hear of the commits of the connection it was given by."""
    store.open()
    if isinstance(source, apsw.Connection):
        try:
            db.wake_on_commit(source)
        except BaseException:
            store.close()
            raise
    return store


def _path(source: object) -> str | os.PathLike[str]:
    """Return where the database is."""
    if isinstance(source, apsw.Connection):
        return database_path(source)
    if not isinstance(source, str | os.PathLike) or isinstance(os.fspath(source), bytes):
        kind = f"{type(source).__module__}.{type(source).__qualname__}"
        msg = f"expected the path of a database as text, or an apsw.Connection, got {kind}"
        raise UsageError(msg)
    name = os.fspath(source)
    if name.startswith((":memory:", "file:")) or is_url(name):
        msg = f"expected the path of a database, got {shown_name(name)!r}"
        raise UsageError(msg)
    return source


def _client(replica: object) -> ReplicaClient:
    if isinstance(replica, ReplicaClient):
        return replica
    if isinstance(replica, str):
        return replica_client(replica)
    hint = ""
    if isinstance(replica, os.PathLike):
        hint = f"; did you mean file://{os.path.abspath(os.fsdecode(replica))}?"  # noqa: PTH100 - any kind of path
    msg = f"expected the URL of a replica, or a client, got {type(replica).__qualname__}{hint}"
    raise UsageError(msg)


def _check_numbers(settings: Mapping[str, object]) -> None:
    """Check seconds and pages: none is negative, and what happens every so often does not happen all the time."""
    for name, value in settings.items():
        least = "more than 0" if name in _NEVER_ZERO else "0 or more"
        if not isinstance(value, int | float) or not 0 <= value < float("inf") or (value == 0 and name in _NEVER_ZERO):
            msg = f"expected {name} to be a finite number, {least}, got {value!r}"
            raise UsageError(msg)


def _upload_interval_s(client: ReplicaClient, given: float | None) -> float:
    if given is not None:
        return given
    return 0.0 if client.is_local else DEFAULT_SYNC_INTERVAL_S
