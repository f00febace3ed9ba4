"""From the configuration to a store of databases and replicas, not open yet."""

from collections.abc import Iterable
from dataclasses import fields

from litestream.config import Config
from litestream.config_db import DBConfig, DBSettings
from replication.compaction_levels import DEFAULT_COMPACTION_LEVELS, CompactionLevels
from replication.db import DB
from replication.replica import DEFAULT_SYNC_INTERVAL_S, Replica
from replication.store import Store

L0_KEPT_S = 100 * 365 * 24 * 3600.0
"""What stands for ever where `l0-retention: 0s` switches the deletion of level-0 files off."""


def build_store(config: Config, databases: Iterable[DBConfig], *, once: bool) -> Store:
    """Return a store of the databases; with `once`, nothing happens in the background.

    Raises:
        UsageError: a storage is not supported yet, or a setting of it is wrong.

    """
    levels = DEFAULT_COMPACTION_LEVELS
    if config.level_intervals_s is not None:
        levels = CompactionLevels.of(*config.level_intervals_s)
    store = Store([_build_db(one, once=once) for one in databases], levels)
    settings = {
        "snapshot_interval_s": config.snapshot.interval_s,
        "snapshot_retention_s": config.snapshot.retention_s,
        "l0_retention_s": L0_KEPT_S if config.l0_retention_s == 0 else config.l0_retention_s,
        "l0_retention_check_interval_s": config.l0_retention_check_interval_s,
        "validation_interval_s": config.validation_interval_s,
        "heartbeat_interval_s": config.heartbeat_interval_s,
        "shutdown_sync_timeout_s": config.shutdown_sync_timeout_s,
        "shutdown_sync_interval_s": config.shutdown_sync_interval_s,
    }
    for name, value in settings.items():
        if value is not None:
            setattr(store, name, value)
    store.heartbeat_url = config.heartbeat_url
    store.retention_enabled = config.retention_enabled
    store.compaction_monitor_enabled = not once
    return store


def sync_interval_s(given: float | None) -> float:
    """Return the time from one upload to the next, the default if none is given."""
    return DEFAULT_SYNC_INTERVAL_S if given is None else given


def _build_db(config: DBConfig, *, once: bool) -> DB:
    db = DB(config.path)
    if config.meta_path is not None:
        db.set_meta_path(config.meta_path)
    _apply(config.settings, db)
    if once:
        db.monitor_interval_s = 0.0
    db.replicas = [
        Replica(
            db,
            replica.client(),
            sync_interval_s=sync_interval_s(replica.sync_interval_s),
            monitor_enabled=not once,
        )
        for replica in config.replicas
    ]
    return db


def _apply(settings: DBSettings, db: DB) -> None:
    for one in fields(settings):
        value = getattr(settings, one.name)
        if value is not None:
            setattr(db, one.name, value)
