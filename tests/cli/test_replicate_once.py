"""Goal: `replicate -once` does what it says for every replica, with either program's help, and tells mistakes.

Method: commands in this process; the Go program takes turns with ours, and restores what ours wrote. Bug planted to try
these tests: the databases of a directory share one place in the replica.
"""

import json
from pathlib import Path

import pytest

from tests.cli.commands import (
    add_rows,
    fail,
    fail_after_log,
    make_database,
    restored,
    rows_of,
    run,
    txids,
    write_config,
)
from tests.cli.process import TIMEOUT_S, Replicating
from tests.support import litestream_program as program
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, REGION, SECRET_ACCESS_KEY, S3Server
from tests.support.waiting import wait_until


def test_a_database_that_never_was_starts_fresh(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"file://{tmp_path}/backup"
    arguments = ["replicate", "-restore-if-db-not-exists", "-exec", "true", str(tmp_path / "new.db"), url]
    assert f'msg="no backup found, starting fresh" path={tmp_path}/new.db' in run(capsys, *arguments)


@pytest.mark.interop
def test_once_gives_every_replica_everything(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, database: Path
) -> None:
    urls = [f"file://{tmp_path}/one", f"file://{tmp_path}/two"]
    run(capsys, "replicate", "-once", database, *urls)
    add_rows(database, 1)
    run(capsys, "replicate", "-once", f"sqlite://{database}", *urls)
    for url in urls:
        assert restored(url, tmp_path) == rows_of(database)


def test_once_takes_a_snapshot_and_deletes_old_ones_when_told_to(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, database: Path
) -> None:
    replicas = [{"path": str(tmp_path / name)} for name in ("one", "two")]
    config = write_config(
        tmp_path / "c.yml", {"path": str(database), "replicas": replicas}, snapshot={"retention": "1ms"}
    )
    for _ in range(3):
        add_rows(database, 1)
        run(capsys, "replicate", "-once", "-force-snapshot", "-config", config)
    again = run(capsys, "replicate", "-once", "-force-snapshot", "-config", config)
    assert 'msg="snapshot is up to date"' in again
    for replica in replicas:
        assert len(json.loads(run(capsys, "ltx", "-json", "-level", "9", f"file://{replica['path']}"))) == 3
    run(capsys, "replicate", "-once", "-enforce-retention", "-config", config)
    for replica in replicas:
        (last,) = json.loads(run(capsys, "ltx", "-json", "-level", "9", f"file://{replica['path']}"))
        assert last["max_txid"] == f"{len(txids(capsys, Path(replica['path']))):016x}"


def test_old_files_stay_where_retention_is_somebody_elses(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, database: Path
) -> None:
    entry = {"path": str(database), "replica": {"path": str(tmp_path / "backup")}}
    settings = {"snapshot": {"retention": "1ms"}, "retention": {"enabled": False}}
    config = write_config(tmp_path / "c.yml", entry, **settings)
    for _ in range(3):
        add_rows(database, 1)
        run(capsys, "replicate", "-once", "-force-snapshot", "-enforce-retention", "-config", config)
    assert len(json.loads(run(capsys, "ltx", "-json", "-level", "9", f"file://{tmp_path}/backup"))) == 3


def test_once_fails_at_once_where_the_storage_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, database: Path, broken: str
) -> None:
    assert str(tmp_path / "broken") in fail_after_log(capsys, "replicate", "-once", database, broken)


def test_once_needs_a_database(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = tmp_path / "none.db"
    told = fail_after_log(capsys, "replicate", "-once", missing, f"file://{tmp_path}/backup")
    assert told.startswith(f"expected the database {missing} with a transaction at least")
    assert not missing.exists()


@pytest.mark.parametrize("form", ["flag", "setting"])
def test_a_database_that_is_lost_is_restored_at_the_start(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, database: Path, form: str
) -> None:
    setting = {"restore-if-db-not-exists": True} if form == "setting" else {}
    entry = {"path": str(database), "replica": {"path": str(tmp_path / "backup")}, **setting}
    config = write_config(tmp_path / "c.yml", entry)
    flags = ["-restore-if-db-not-exists"] if form == "flag" else []
    once = ["replicate", "-once", *flags, "-config", str(config)]
    assert 'msg="database exists, skipping restore"' in run(capsys, *once)
    expected = rows_of(database)
    for path in [*tmp_path.glob("app.db*")]:
        path.unlink()
    told = run(capsys, *once)
    assert f'msg="restore completed" path={database}' in told
    assert rows_of(database) == expected


@pytest.mark.interop
def test_both_programs_take_turns_with_one_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    directory = tmp_path / "tenants"
    databases = [make_database(directory / name) for name in ("one.db", "sub/two.db")]
    config = write_config(
        tmp_path / "litestream.yml",
        {
            "dir": str(directory),
            "pattern": "*.db",
            "recursive": True,
            "meta-dir": str(tmp_path / "meta"),
            "replica": {"path": str(tmp_path / "backup")},
        },
    )
    for turn in range(6):
        for database in databases:
            add_rows(database, 10)
        if turn % 2:
            run(capsys, "replicate", "-once", "-config", config)
        else:
            program.run("replicate", "-once", "-config", config)
    for database in databases:
        replica = tmp_path / "backup" / database.relative_to(directory)
        found = txids(capsys, replica)
        assert found == [*range(1, len(found) + 1)]
        assert restored(f"file://{replica}", tmp_path) == rows_of(database)


@pytest.mark.interop
def test_the_keys_of_the_configuration_open_a_bucket_for_both_programs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUCKET_SECRET", SECRET_ACCESS_KEY)
    with S3Server() as server:
        config = write_config(
            tmp_path / "litestream.yml",
            {"path": str(database), "replica": {"type": "s3", "bucket": DEFAULT_BUCKET, "path": "apps/app"}},
            **{
                "endpoint": server.endpoint,
                "region": REGION,
                "access-key-id": ACCESS_KEY_ID,
                "secret-access-key": "$BUCKET_SECRET",
            },
        )
        told = run(capsys, "replicate", "-once", "-config", config)
        assert f"bucket={DEFAULT_BUCKET} path=apps/app region={REGION} endpoint={server.endpoint}" in told
        assert SECRET_ACCESS_KEY not in told
        program.run("restore", "-o", tmp_path / "theirs.db", "-config", config, database)
        run(capsys, "restore", "-o", tmp_path / "ours.db", "-config", config, database)
    assert rows_of(tmp_path / "theirs.db") == rows_of(tmp_path / "ours.db") == rows_of(database)


def test_a_database_that_is_being_replicated_already_is_told_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config: Path, database: Path
) -> None:
    with Replicating(tmp_path / "log", "-config", config) as replicating:
        wait_until((tmp_path / "backup" / "ltx").exists, "the first file", timeout_s=TIMEOUT_S)
        told = fail_after_log(capsys, "replicate", "-once", "-config", config)
        assert f"expected that nobody else replicates {database}" in told
        assert replicating.stop() == 0


def test_what_the_configuration_says_in_vain_is_logged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, database: Path
) -> None:
    entry = {"path": str(database), "replica": {"path": str(tmp_path / "backup")}}
    config = write_config(tmp_path / "c.yml", entry, addr=":9090")
    assert 'level=WARN msg="line 2: addr: metrics are not supported yet' in run(
        capsys, "replicate", "-once", "-config", config
    )


@pytest.mark.parametrize(("level", "lines"), [("error", 0), ("warn", 0), ("WARN", 0), ("info", 6)])
def test_the_level_can_be_given_as_a_flag(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, database: Path, level: str, lines: int
) -> None:
    url = f"file://{tmp_path}/backup"
    told = run(capsys, "replicate", "-once", "-log-level", level, database, url).splitlines()
    assert (len(told) >= lines) if lines else told == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-config", "/none.yml"], "config file not found: /none.yml"),
        (["-config", "EMPTY"], "no databases specified in configuration"),
        (["app.db"], "must specify at least one replica URL for app.db"),
        (["-config", "EMPTY", "app.db", "file:///x"], "cannot specify a replica URL and the -config flag"),
        (["-once", "-exec", "true", "app.db", "file:///x"], "cannot specify -once flag with -exec"),
        (["-force-snapshot", "app.db", "file:///x"], "cannot specify -force-snapshot flag without -once"),
        (["-enforce-retention", "app.db", "file:///x"], "cannot specify -enforce-retention flag without -once"),
        (["-log-level", "loud", "app.db", "file:///x"], "-log-level: expected one of trace, debug, info, warn, error"),
        (["app.db", "/backup"], "expected a replica URL, got '/backup'; did you mean file:///backup?"),
        (["app.db", "gs://-/path"], "gs://-/path: expected gs://bucket/path, got the bucket '-'"),
        (["app.db", "file:///x", "file:///x"], "file:///x: the replica of "),
        (["app.db", "s3://bucket"], "s3://bucket: expected a path within the bucket"),
    ],
)
def test_a_mistake_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    empty = str(write_config(tmp_path / "empty.yml"))
    assert message in fail(capsys, "replicate", *[empty if one == "EMPTY" else one for one in arguments])
    assert not Path("app.db").exists()
