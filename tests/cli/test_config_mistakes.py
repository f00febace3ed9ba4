"""Goal: each mistake in a configuration file is one clear line, and no secret is ever shown.

Method: texts, and what is said of them. Bugs planted to try these tests: a key that stands twice is taken; an unknown
key is passed over; a number is taken for seconds; the alias that YAML does not know is shown.
"""

import pytest

from litestream.config import parse_config
from replication.errors import UsageError
from tests.cli.parsing import fail, only_replica, parse

SECRET = "s3cret*Word"  # noqa: S105
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
