"""Goal: a configuration file means to us what it means to the Go program.

Method: texts and what is read from them. Bug planted to try these tests: the replica's own settings lose to those at
the top.
"""

import os
from pathlib import Path

import pytest

from litestream.config import Config, ConfigNotFoundError, parse_config, read_config
from replication.errors import UsageError
from tests.cli.parsing import fail, only_db, only_replica, parse

EVERYTHING = """
levels:
  - interval: 10s
  - interval: 1m30s
snapshot: {interval: 6h, retention: 168h}
validation: {interval: 12h}
l0-retention: 1m
l0-retention-check-interval: 5s
retention: {enabled: false}
heartbeat-url: https://status.example.com/ping
heartbeat-interval: 2m
shutdown-sync-timeout: 10s
shutdown-sync-interval: 250ms
exec: server --port 80
logging: {level: debug, type: json, stderr: true, source: yes}
dbs:
  - path: /srv/app.db
    meta-path: /var/lib/litestream/app
    monitor-interval: 500ms
    checkpoint-interval: 0s
    busy-timeout: 3s
    min-checkpoint-page-count: 500
    truncate-page-n: 2000
    max-sync-wal-bytes: 16MiB
    restore-if-db-not-exists: true
    replica: {type: file, path: /backup/app, sync-interval: 100ms}
"""


def test_every_setting_of_the_write_side_is_read() -> None:
    config = parse(EVERYTHING)
    (db,) = config.databases()
    assert config.level_intervals_s == (10.0, 90.0)
    assert (config.snapshot.interval_s, config.snapshot.retention_s) == (6 * 3600.0, 168 * 3600.0)
    assert (config.validation_interval_s, config.retention_enabled) == (12 * 3600.0, False)
    assert (config.l0_retention_s, config.l0_retention_check_interval_s) == (60.0, 5.0)
    assert (config.heartbeat_url, config.heartbeat_interval_s) == ("https://status.example.com/ping", 120.0)
    assert (config.shutdown_sync_timeout_s, config.shutdown_sync_interval_s) == (10.0, 0.25)
    assert config.exec == "server --port 80"
    logging = config.logging
    assert (logging.level, logging.type, logging.stderr, logging.source) == ("DEBUG", "json", True, True)
    assert (db.path, db.meta_path) == (Path("/srv/app.db"), Path("/var/lib/litestream/app"))
    settings = db.settings
    assert (settings.monitor_interval_s, settings.checkpoint_interval_s, settings.busy_timeout_s) == (0.5, 0.0, 3.0)
    assert (settings.min_checkpoint_page_n, settings.truncate_page_n) == (500, 2000)
    assert settings.max_sync_wal_bytes == 16 * 2**20
    assert db.restore_if_db_not_exists
    assert [(replica.type, replica.url.path, replica.sync_interval_s) for replica in db.replicas] == [
        ("file", "/backup/app", 0.1)
    ]
    assert config.warnings == ()


@pytest.mark.parametrize("text", ["", "dbs:", "dbs: []", "snapshot:\nlogging:\nlevels:\ndbs:\n", "# nothing"])
def test_what_is_empty_leaves_the_defaults(text: str) -> None:
    assert parse(text) == Config()


def test_what_the_top_says_holds_for_replicas_that_do_not_say_it() -> None:
    config = parse(
        """
        region: eu-west-1
        access-key-id: TOP
        secret-access-key: 0123
        sync-interval: 5s
        part-size: 16MiB
        dbs:
          - path: a.db
            replica: {url: "s3://bucket/a"}
          - path: b.db
            replica: {type: s3, bucket: other, path: b, region: us-east-2, sync-interval: 1s, force-path-style: true}
          - path: c.db
            replica: {path: /backup}
        """
    )
    a, b, c = (db.replicas[0] for db in config.databases())
    assert a.options == {
        "region": "eu-west-1", "access_key_id": "TOP", "secret_access_key": "0123", "part_size": 16 * 2**20
    }  # fmt: skip
    assert b.options["region"] == "us-east-2"
    assert b.options["force_path_style"] is True
    assert (b.url.host, b.url.path) == ("other", "b")
    assert [one.sync_interval_s for one in (a, b, c)] == [5.0, 1.0, 5.0]
    assert (c.type, c.options) == ("file", {})


def test_a_replica_is_named_by_its_url_or_by_its_type() -> None:
    db = only_db(
        """
        dbs:
          - path: a.db
            replicas:
              - url: file:///backup/one
              - path: ~/two
              - type: s3
                bucket: bucket
                path: three
              - url: s3://bucket/four?region=eu-west-1
              - {type: gs, bucket: "-", path: five}
        """
    )
    assert [(one.type, one.url.host, one.url.path) for one in db.replicas] == [
        ("file", "", "/backup/one"),
        ("file", "", str(Path("~/two").expanduser())),
        ("s3", "bucket", "three"),
        ("s3", "bucket", "four"),
        ("gs", "-", "five"),
    ]
    with pytest.raises(
        UsageError, match=r"line 11: dbs\[0\]\.replicas\[4\]: expected gs://bucket/path, got the bucket '-'"
    ):
        db.replicas[4].client()


def test_two_buckets_of_one_name_at_two_places_are_two() -> None:
    db = only_db(
        """
        dbs:
          - path: a.db
            replicas:
              - url: s3://bucket/path?endpoint=one.example.com
              - url: s3://bucket/path?endpoint=two.example.com
              - {type: s3, bucket: bucket, path: path, endpoint: three.example.com}
        """
    )
    assert len(db.replicas) == 3


def test_a_wrong_setting_of_a_storage_is_told_with_its_place() -> None:
    replica = only_replica("dbs:\n  - path: a.db\n    replica: {type: s3, bucket: b, path: p, part-size: 1MB}\n")
    with pytest.raises(UsageError, match=r"line 3: dbs\[0\]\.replica: expected a size of at least 5242880"):
        replica.client()


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/srv/app.db", "/srv/app.db"),
        ("/srv/../srv/app.db", "/srv/app.db"),
        ("sqlite:///srv/app.db", "/srv/app.db"),
        ("sqlite3:///srv/app.db", "/srv/app.db"),
        ("~/app.db", str(Path("~/app.db").expanduser())),
        ("app.db", str(Path.cwd() / "app.db")),
    ],
)
def test_paths_are_made_absolute(written: str, path: str) -> None:
    assert str(only_db(f"dbs:\n  - path: {written}\n    replica: {{path: /backup}}").path) == path


def test_variables_of_the_environment_are_expanded() -> None:
    text = "dbs:\n  - path: /srv/${APP}.db\n    replica: {path: /backup/$APP-$PID}\n"
    db = only_db(text, APP="shop")
    assert db.path == Path("/srv/shop.db")
    assert db.replicas[0].url.path == f"/backup/shop-{os.getpid()}"


def test_variables_stay_when_nothing_is_expanded() -> None:
    text = "dbs:\n  - path: /srv/$APP.db\n    replica: {path: /backup}\n"
    (db,) = parse_config(text, expand=False, environ={"APP": "shop"}).databases()
    assert db.path == Path("/srv/$APP.db")


def test_a_variable_that_is_not_set_is_told_by_its_line_and_not_by_its_name() -> None:
    config = parse("access-key-id: $SET\nsecret-access-key: pa$Word\n", SET="x")
    assert config.warnings == ("line 2: a variable is not set, so nothing stands for it",)


def test_braces_that_hold_no_name_are_refused() -> None:
    assert fail("exec: ${PORT:-80}") == (
        "line 1: expected the name of a variable as ${NAME}; -no-expand-env leaves each $ alone"
    )


def test_anchors_and_merges_of_yaml_work() -> None:
    config = parse(
        """
        dbs:
          - path: a.db
            replica: &base {type: s3, bucket: bucket, path: a, region: eu-west-1}
          - path: b.db
            replica: {<<: *base, path: b}
        """
    )
    b = config.databases()[1].replicas[0]
    assert (b.url.host, b.url.path, b.options["region"]) == ("bucket", "b", "eu-west-1")


def test_what_a_database_says_of_snapshots_holds_for_all_and_goes_before_the_top() -> None:
    config = parse(
        """
        snapshot: {interval: 24h, retention: 48h}
        dbs:
          - {path: a.db, replica: {path: /a}}
          - {path: b.db, replica: {path: /b}, snapshot: {interval: 60m}}
          - {path: c.db, replica: {path: /c}, snapshot: {interval: 1h}}
        """
    )
    assert (config.snapshot.interval_s, config.snapshot.retention_s) == (3600.0, 48 * 3600.0)


def test_the_environment_goes_before_the_level_of_the_file() -> None:
    assert parse("logging: {level: error}", LOG_LEVEL="debug").logging.level == "DEBUG"
    config = parse("logging: {level: error}", LOG_LEVEL="loud")
    assert config.logging.level == "ERROR"
    assert config.warnings == ("LOG_LEVEL: expected one of trace, debug, info, warn, error, got 'loud'",)


def test_a_file_is_named_by_argument_or_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "litestream.yml"
    path.write_bytes(b"\xef\xbb\xbfexec: server")
    assert read_config(str(path)).exec == "server"
    assert read_config(environ={"LITESTREAM_CONFIG": str(path)}).exec == "server"


def test_a_file_that_is_missing_or_unreadable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigNotFoundError, match=r"config file not found: /there/is/none\.yml"):
        read_config("/there/is/none.yml")
    with pytest.raises(UsageError, match=f"cannot read the configuration {tmp_path}: Is a directory"):
        read_config(str(tmp_path))
    path = tmp_path / "litestream.yml"
    path.write_bytes(b"exec: \xff")
    with pytest.raises(UsageError, match=r"expected UTF-8, got the byte 0xff"):
        read_config(str(path))
    path.write_text("exec: [")
    with pytest.raises(UsageError, match=rf"{path}: line 1: not valid YAML"):
        read_config(str(path))
