"""Goal: what the configuration says reaches the store. Method: a configuration that says everything, and a store of it.

Bug planted to try these tests: a duration of 0 counts as not given.
"""

from pathlib import Path

from litestream.config import Config, parse_config
from litestream.config_store import build_store
from replication.compaction_levels import DEFAULT_COMPACTION_LEVELS
from replication.db import DB
from replication.replica import DEFAULT_SYNC_INTERVAL_S
from replication.store import Store


def store_of(text: str, *, once: bool = False) -> Store:
    config = parse_config(text, environ={})
    return build_store(config, config.databases(), once=once)


def test_every_setting_reaches_the_store(tmp_path: Path) -> None:
    store = store_of(
        f"""
        levels: [{{interval: 10s}}, {{interval: 1m}}]
        snapshot: {{interval: 6h, retention: 168h}}
        validation: {{interval: 12h}}
        l0-retention: 1m
        l0-retention-check-interval: 5s
        retention: {{enabled: false}}
        heartbeat-url: https://status.example.com/ping
        heartbeat-interval: 2m
        shutdown-sync-timeout: 0s
        shutdown-sync-interval: 250ms
        dbs:
          - path: {tmp_path}/app.db
            meta-path: {tmp_path}/meta
            monitor-interval: 500ms
            checkpoint-interval: 0s
            busy-timeout: 3s
            min-checkpoint-page-count: 500
            truncate-page-n: 2000
            max-sync-wal-bytes: 16MiB
            replicas:
              - {{path: {tmp_path}/one, sync-interval: 100ms}}
              - {{path: {tmp_path}/two}}
        """
    )
    (db,) = store.dbs()
    assert [level.interval_s for level in store.levels] == [0.0, 10.0, 60.0]
    assert (store.snapshot_interval_s, store.snapshot_retention_s) == (6 * 3600.0, 168 * 3600.0)
    assert (store.validation_interval_s, store.retention_enabled) == (12 * 3600.0, False)
    assert (store.l0_retention_s, store.l0_retention_check_interval_s) == (60.0, 5.0)
    assert (store.heartbeat_url, store.heartbeat_interval_s) == ("https://status.example.com/ping", 120.0)
    assert (store.shutdown_sync_timeout_s, store.shutdown_sync_interval_s) == (0.0, 0.25)
    assert (db.path, db.meta_path) == (tmp_path / "app.db", tmp_path / "meta")
    assert (db.monitor_interval_s, db.checkpoint_interval_s, db.busy_timeout_s) == (0.5, 0.0, 3.0)
    assert (db.min_checkpoint_page_n, db.truncate_page_n, db.max_sync_wal_bytes) == (500, 2000, 16 * 2**20)
    assert [replica.sync_interval_s for replica in db.replicas] == [0.1, DEFAULT_SYNC_INTERVAL_S]
    assert all(replica.monitor_enabled for replica in db.replicas)
    assert store.compaction_monitor_enabled


def test_what_is_not_said_stays_as_the_library_has_it(tmp_path: Path) -> None:
    database = f"dbs:\n  - path: {tmp_path}/app.db\n    truncate-page-n: 0\n    replica: {{path: {tmp_path}/backup}}"
    store, plain = store_of(database), Store()
    for name, value in vars(plain).items():
        if not name.startswith("_"):
            assert getattr(store, name) == value, name
    (db,) = store.dbs()
    for name, value in vars(DB(tmp_path / "app.db")).items():
        if not name.startswith("_") and name != "replicas":
            assert getattr(db, name) == value, name
    assert store.levels == DEFAULT_COMPACTION_LEVELS


def test_level_0_without_retention_is_kept_for_ever() -> None:
    century_s = 100 * 365 * 24 * 3600.0
    assert store_of("l0-retention: 0s").l0_retention_s == century_s


def test_once_does_nothing_in_the_background(tmp_path: Path) -> None:
    store = store_of(f"dbs:\n  - path: {tmp_path}/app.db\n    replica: {{path: {tmp_path}/backup}}", once=True)
    (db,) = store.dbs()
    assert (store.compaction_monitor_enabled, db.monitor_interval_s) == (False, 0.0)
    assert not db.replicas[0].monitor_enabled


def test_a_configuration_without_databases_is_a_store_without_any() -> None:
    assert build_store(Config(), [], once=False).dbs() == []
