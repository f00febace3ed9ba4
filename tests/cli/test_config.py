"""Goal: a configuration file means to us what it means to the Go program, and each mistake in it is one clear line.

Method: texts and what is read from them. Bugs planted to try these tests: the replica's own settings lose to those at
the top; a number is taken for seconds; a key that stands twice is taken; an unknown key is passed over; the alias that
YAML does not know is shown.
"""

import os
from pathlib import Path

import pytest

from litestream.config import Config, ConfigNotFoundError, parse_config, read_config
from litestream.config_db import DBConfig, DirConfig
from litestream.config_replica import ReplicaConfig
from replication.errors import UsageError

ROOT = Path(__file__).parents[2]
SECRET = "s3cret*Word"  # noqa: S105


def parse(text: str, **environ: str) -> Config:
    return parse_config(text, environ=environ)


def only_db(text: str, **environ: str) -> DBConfig:
    (db,) = parse(text, **environ).databases()
    return db


def only_replica(text: str, **environ: str) -> ReplicaConfig:
    (replica,) = only_db(text, **environ).replicas
    return replica


def fail(text: str, **environ: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(text, **environ).databases()
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
              - {type: gs, bucket: bucket, path: five}
        """
    )
    assert [(one.type, one.url.host, one.url.path) for one in db.replicas] == [
        ("file", "", "/backup/one"),
        ("file", "", str(Path("~/two").expanduser())),
        ("s3", "bucket", "three"),
        ("s3", "bucket", "four"),
        ("gs", "bucket", "five"),
    ]
    with pytest.raises(UsageError, match=r"line 11: dbs\[0\]\.replicas\[4\]: replicas at gs:// are not supported yet"):
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


DB = "dbs:\n  - path: a.db\n"
REPLICA = DB + "    replica: "
TWO_INTERVALS = """dbs:
  - {path: a.db, replica: {path: /a}, snapshot: {interval: 1h}}
  - {path: b.db, replica: {path: /b}, snapshot: {interval: 2h}}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dbs:\n  - path: [a\n b", "line 3: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("dbs:\n\t- path: a", "line 2: not valid YAML: found character '\\t' that cannot start any token"),
        ("- a\n- b\n", "line 1: the configuration: expected settings as `name: value`, got a list"),
        ("just a text", "line 1: the configuration: expected settings as `name: value`, got a text"),
        ("a: 1\n---\nb: 2\n", "line 2: not valid YAML: expected one document; a value that begins with * needs quotes"),
        ("exec: a\nexec: b\n", "line 2: exec stands there twice"),
        ("nonsense: 1", "line 1: nonsense: unknown setting 'nonsense'"),
        ("l0-retentoin: 1m", "line 1: l0-retentoin: unknown setting 'l0-retentoin'; did you mean l0-retention?"),
        (DB + "    replicca: {path: /x}", "line 3: dbs[0].replicca: unknown setting 'replicca'; did you mean replica?"),
        (REPLICA + "{pth: /x}", "line 3: dbs[0].replica.pth: unknown setting 'pth'; did you mean path?"),
        ("dbs: {path: a.db}", "line 1: dbs: expected a list, got settings"),
        ("dbs: [a.db]", "line 1: dbs[0]: expected settings as `name: value`, got a text"),
        ("dbs:\n  - replica: {path: /x}", "line 2: dbs[0]: expected a path or a dir, got none"),
        (DB + "    dir: /srv", "line 2: dbs[0]: expected a path or a dir, got both"),
        (DB, "line 2: dbs[0]: expected a replica, got none"),
        (DB + "    replica:", "line 2: dbs[0]: expected a replica, got none"),
        (DB + "    replicas: []", "line 2: dbs[0]: expected a replica, got none"),
        (DB + "    replica: {path: /x}\n    replicas: [{path: /y}]",
         "line 4: dbs[0].replicas: expected replica or replicas, got both"),
        (DB + "    replica: [{path: /x}]", "line 3: dbs[0].replica: expected settings as `name: value`, got a list"),
        (DB + "    replicas: {path: /x}", "line 3: dbs[0].replicas: expected a list, got settings"),
        (REPLICA + "{}", "line 3: dbs[0].replica: expected the url of a replica, or its type and path"),
        (REPLICA + "{type: file}", "line 3: dbs[0].replica: expected the path of a file replica, or its url"),
        (REPLICA + "{type: s3}", "line 3: dbs[0].replica: expected the bucket of an s3 replica, or its url"),
        (REPLICA + "{type: s4, path: x}", "dbs[0].replica.type: unknown replica type 's4'; known are file, s3, "),
        (REPLICA + "{url: 'ftp://x/y'}", "line 3: dbs[0].replica.url: unknown replica type 'ftp'"),
        (REPLICA + "{url: /backup}", "replica.url: expected a replica URL, got '/backup'; did you mean file:"),
        (REPLICA + "{path: 's3://b/x'}", "replica.path: expected a path, got a URL; did you mean url: s3:"),
        (REPLICA + "{url: 's3://b/x', bucket: c}", "dbs[0].replica.bucket: a replica with a url has its bucket"),
        (REPLICA + "{url: 'file:///x', path: /y}", "line 3: dbs[0].replica.path: a replica with a url has its path"),
        (REPLICA + "{type: s3, bucket: b, path: /x/}", "expected a path such as app/db, without slashes at its ends"),
        (REPLICA + "{path: /x, age: {recipients: [a]}}", "line 3: dbs[0].replica.age: age encryption is not supported"),
        ("age: {identities: [a]}\n" + REPLICA + "{path: /x}", "line 1: age: age encryption is not supported"),
        (REPLICA + "{path: /x, retention: 24h}", "replica.retention: since Litestream 0.5 this is snapshot.retention"),
        (REPLICA + "{path: /x, snapshot-interval: 1h}", "this is snapshot.interval"),
        (REPLICA + "{path: /x, sync-interval: 0s}", "replica.sync-interval: expected a duration above 0s, got 0s"),
        (REPLICA + "{path: /x, sync-interval: 5}", "sync-interval: expected a duration such as 30s or 1m30s, got 5"),
        (REPLICA + "{type: s3, bucket: b, force-path-style: maybe}", "expected true or false, got maybe"),
        (REPLICA + "{type: s3, bucket: b, part-size: many}", "part-size: expected a size such as 65536, 64MiB"),
        (REPLICA + "{type: s3, bucket: b, concurrency: 1.5}", "expected a whole number from 0 on, got 1.5"),
        (DB + "    monitor-interval: 5x\n    replica: {path: /x}",
         "line 3: dbs[0].monitor-interval: expected a duration such as 30s or 1m30s, got 5x"),
        (DB + "    monitor-interval: 0s\n    replica: {path: /x}", "expected a duration above 0s, got 0s"),
        (DB + "    busy-timeout: -1s\n    replica: {path: /x}", "expected a duration of at least 0s, got -1s"),
        (DB + "    min-checkpoint-page-count: x\n    replica: {path: /x}", "expected a whole number from 1 on, got x"),
        (DB + "    max-sync-wal-bytes: -1\n    replica: {path: /x}", "expected a size of 0 bytes or more, got -1"),
        (DB + "    watch: true\n    replica: {path: /x}", "line 3: dbs[0].watch: it goes with dir, not with path"),
        (DB + "    meta-dir: /m\n    replica: {path: /x}", "line 3: dbs[0].meta-dir: it goes with dir, not with path"),
        (DB + "    path: b.db", "line 3: path stands there twice"),
        ("dbs:\n  - dir: /srv\n    replica: {path: /x}", "line 2: dbs[0]: expected a pattern such as *.db beside dir"),
        ("dbs:\n  - dir: /srv\n    pattern: '*'\n    watch: true\n    replica: {path: /x}",
         "line 4: dbs[0].watch: watching a directory is not supported yet"),
        ("dbs:\n  - dir: /srv\n    pattern: '*'\n    meta-dir: /a\n    meta-path: /b\n    replica: {path: /x}",
         "expected meta-path or meta-dir, got both"),
        ("dbs:\n  - dir: /there/is/none\n    pattern: '*'\n    replica: {path: /x}",
         "line 2: dbs[0].dir: cannot read the directory /there/is/none: No such file or directory"),
        ("levels: [{interval: 0s}]", "line 1: levels[0].interval: expected a duration above 0s, got 0s"),
        ("levels: [{}]", "line 1: levels[0]: expected an interval"),
        ("levels: [" + ", ".join(["{interval: 1s}"] * 9) + "]", "line 1: levels: expected at most 8 levels, got 9"),
        ("snapshot: {interval: 0s}", "line 1: snapshot.interval: expected a duration above 0s, got 0s"),
        ("snapshot: {retention: -1h}", "line 1: snapshot.retention: expected a duration above 0s, got -1h"),
        ("snapshot: 24h", "line 1: snapshot: expected settings as `name: value`, got a text"),
        ("snapshot: {every: 1h}", "line 1: snapshot.every: unknown setting 'every'"),
        ("l0-retention-check-interval: 0s", "expected a duration above 0s, got 0s"),
        ("heartbeat-url: ftp://x", "line 1: heartbeat-url: expected a URL that begins with http:// or https://"),
        ("heartbeat-interval: 1s", "line 1: heartbeat-interval: expected a duration of at least 60s, got 1s"),
        ("retention: {enabled: perhaps}", "line 1: retention.enabled: expected true or false, got perhaps"),
        ("logging: {type: xml}", "line 1: logging.type: expected one of text, json, pretty, got 'xml'"),
        ("logging: {level: loud}", "line 1: logging.level: expected one of trace, debug, info, warn, error, got"),
        ("socket: {enabled: true, port: 1}", "line 1: socket.port: unknown setting 'port'"),
        ("dbs:\n  - {path: a.db, replica: {path: /a}}\n  - {path: ./a.db, replica: {path: /b}}",
         "expected each database once, got "),
        ("dbs:\n  - {path: a.db, replica: {path: /a}}\n  - {path: b.db, replica: {url: 'file:///a'}}",
         "line 3: dbs[1].replica: the replica of "),
        ("dbs:\n  - {path: a, meta-path: /m, replica: {path: /a}}\n  - {path: b, meta-path: /m, replica: {path: /b}}",
         "cannot share the local state /m"),
        (TWO_INTERVALS,
         "line 3: dbs[1].snapshot.interval: expected 1h, as another database has it: it holds for all"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(text: str, message: str) -> None:
    assert message in fail(text)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("addr: ':9090'", "line 1: addr: metrics are not supported yet, so none are served"),
        ("mcp-addr: ':3001'", "line 1: mcp-addr: the MCP server is not supported yet, so none is started"),
        ("socket: {enabled: true}", "line 1: socket: the control socket is not supported yet, so there is none"),
        (REPLICA + "{path: /x, name: main}", "line 3: dbs[0].replica.name: names of replicas have no effect"),
        (REPLICA + "{path: /x, validation-interval: 1h}", "line 3: dbs[0].replica.validation-interval: it has no"),
        (REPLICA + "{path: /x, auto-recover: true}", "line 3: dbs[0].replica.auto-recover: it has no effect here"),
        (REPLICA + "{path: /x, max-sync-ltx-files: 8}", "max-sync-ltx-files: it has no effect here"),
        (REPLICA + "{path: /x, region: eu-west-1}", "region: it has no effect on a replica of type file"),
        (REPLICA + "{type: s3, url: 'file:///x'}", "line 3: dbs[0].replica.type: the url says file, so s3 has no"),
        (DB + "    max-checkpoint-page-count: 9\n    replica: {path: /x}", "checkpoint-page-count: it has no effect"),
    ],
)  # fmt: skip
def test_what_is_passed_over_without_harm_is_told(text: str, warning: str) -> None:
    (found,) = parse(text).warnings
    assert warning in found


@pytest.mark.parametrize("text", ["verify-compaction: true", "socket: {enabled: false, path: /run/x.sock}"])
def test_what_is_done_anyway_or_switched_off_is_no_matter(text: str) -> None:
    assert parse(text).warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        REPLICA + f"{{type: s3, bucket: b, path: p, access-key-id: id, secret-access-key: '{SECRET}'}}",
        REPLICA + f"{{url: 's3://id:{SECRET}@bucket/path'}}",
        REPLICA + f"{{type: s3, bucket: b, path: p, sse-customer-key: '{SECRET}'}}",
        f"heartbeat-url: https://example.com/{SECRET}\nexec: server --password {SECRET}",
    ],
)
def test_no_secret_is_in_a_repr(text: str) -> None:
    config = parse_config(text, expand=False, environ={})
    assert SECRET not in repr(config)
    for db in config.databases():
        assert SECRET not in str(db.replicas[0].described())


@pytest.mark.parametrize(
    "text",
    [
        f"secret-access-key: *{SECRET}",
        f"secret-access-key: [{SECRET}]\n" + REPLICA + "{type: s3, bucket: b, path: p}",
        f"secret-access-key: {SECRET}$}}${{ {SECRET}",
        REPLICA + f"{{url: 's3://id:{SECRET}@bucket:port/path'}}",
        REPLICA + f"{{path: 's3://id:{SECRET}@bucket/path'}}",
        REPLICA + f"{{type: s3, bucket: b, path: p, sse-customer-key: '{SECRET}'}}",
        REPLICA + f"{{type: s3, bucket: b, path: p, secret-access-key: '{SECRET}'}}",
    ],
)
def test_no_secret_is_in_an_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        only_replica(text).client()
    assert SECRET not in str(caught.value)


def make_database(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"SQLite format 3\0" + bytes(84))


def test_databases_of_a_directory_are_found_by_pattern_and_content(tmp_path: Path) -> None:
    for name in ("b.db", "a.db", "sub/c.db", "d.sqlite"):
        make_database(tmp_path / name)
    (tmp_path / "text.db").write_text("no database")
    (tmp_path / "dir.db").mkdir()
    text = f"dbs:\n  - {{dir: {tmp_path}, pattern: '*.db', replica: {{path: /backup}}"
    flat, deep = parse(text + "}").databases(), parse(text + ", recursive: true}").databases()
    assert [db.path.name for db in flat] == ["a.db", "b.db"]
    assert [db.path for db in deep] == [tmp_path / "a.db", tmp_path / "b.db", tmp_path / "sub/c.db"]
    assert [db.replicas[0].url.path for db in deep] == ["/backup/a.db", "/backup/b.db", "/backup/sub/c.db"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("[^a].db", ["b.db"]), ("[ab].db", ["a.db", "b.db"]), ("?.db", ["a.db", "b.db"]), (r"\a.db", ["a.db"])],
)
def test_patterns_are_those_of_go(tmp_path: Path, pattern: str, names: list[str]) -> None:
    make_database(tmp_path / "a.db")
    make_database(tmp_path / "b.db")
    config = parse(f"dbs:\n  - {{dir: {tmp_path}, pattern: '{pattern}', replica: {{path: /backup}}}}")
    assert [db.path.name for db in config.databases()] == names


def test_each_database_of_a_directory_has_a_local_state_of_its_own(tmp_path: Path) -> None:
    make_database(tmp_path / "sub/c.db")
    text = f"dbs:\n  - {{dir: {tmp_path}, pattern: '*.db', recursive: true, replica: {{url: 's3://b/p'}}, "
    assert only_db(text + "meta-path: /meta}").meta_path == Path("/meta/sub/.c.db-litestream")
    assert only_db(text + "meta-dir: /meta}").meta_path == Path("/meta/sub/c.db-litestream")
    assert only_db(text + "}").meta_path is None
    assert only_replica(text + "}").url.path == "p/sub/c.db"


def test_a_directory_without_a_database_is_an_error(tmp_path: Path) -> None:
    message = fail(f"dbs:\n  - {{dir: {tmp_path}, pattern: '*.db', replica: {{path: /backup}}}}")
    assert message == f"line 2: dbs[0].dir: expected SQLite databases *.db in {tmp_path}, found none"


def test_a_database_of_a_directory_need_not_be_there_to_be_named(tmp_path: Path) -> None:
    text = f"dbs:\n  - {{dir: {tmp_path}, pattern: '*.db', replica: {{path: /backup}}}}"
    config = parse(text)
    assert isinstance(config.entries[0], DirConfig)
    found = config.database(str(tmp_path / "lost.db"))
    assert found.replicas[0].url.path == "/backup/lost.db"
    for other in ("lost.sqlite", "sub/lost.db"):
        with pytest.raises(UsageError, match="database not found in config"):
            config.database(str(tmp_path / other))


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
