"""Goal: `replicate` replicates until it is told to end, loses nothing then, and ends as its user expects.

Method: real processes, which get signals and are killed; the Go program, or ours, restores what they wrote. Bugs
planted to try these tests: the store is not closed after a signal; the second signal is not listened to; the child's
exit code is not ours; what is restored at the start has another path.
"""

import json
import signal
import sys
from pathlib import Path

import pytest

from litestream.cli import main
from tests.cli.commands import add_rows, fail, make_database, rows_of, run, write_config
from tests.cli.process import TIMEOUT_S, Replicating
from tests.support import litestream_program as program
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, REGION, SECRET_ACCESS_KEY, S3Server
from tests.support.waiting import wait_until

READY = 'msg="replicating to"'


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return make_database(tmp_path / "app.db")


@pytest.fixture
def config(tmp_path: Path, database: Path) -> Path:
    return write_config(
        tmp_path / "litestream.yml",
        {"path": str(database), "monitor-interval": "20ms", "replica": {"path": str(tmp_path / "backup")}},
    )


@pytest.fixture
def broken(tmp_path: Path, database: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A replica that worked once and fails now: what should be a directory is a file."""
    place = tmp_path / "broken"
    run(capsys, "replicate", "-once", database, f"file://{place}")
    place.rename(tmp_path / "gone")
    place.write_text("no directory")
    add_rows(database, 1)
    return f"file://{place}"


def restored(replica: str | program.ReplicaPlace, directory: Path) -> list[tuple[object, ...]]:
    """The rows that the Go program restores."""
    output = directory / "restored.db"
    for suffix in ("", "-wal", "-shm"):
        Path(f"{output}{suffix}").unlink(missing_ok=True)
    program.restore(replica, output, integrity_check="full")
    return rows_of(output)


def txids(capsys: pytest.CaptureFixture[str], replica: Path) -> list[int]:
    listed = json.loads(run(capsys, "ltx", "-json", f"file://{replica}"))
    return [int(file["max_txid"], 16) for file in listed]


@pytest.mark.interop
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_a_last_sync(
    tmp_path: Path, config: Path, database: Path, number: signal.Signals
) -> None:
    with Replicating(tmp_path / "log", "-config", config) as replicating:
        replicating.wait_for(READY)
        add_rows(database, 50)
        replicating.send(number)
        assert replicating.wait() == 0
        name = (signal.strsignal(number) or "").lower()
        assert f'msg="signal received, litestream shutting down" signal={name}' in replicating.written()
        assert replicating.written().rstrip().endswith('msg="litestream shut down"')
    assert restored(f"file://{tmp_path}/backup", tmp_path) == rows_of(database)


def test_a_sigint_that_is_ignored_from_the_start_stays_so(tmp_path: Path, config: Path) -> None:
    with Replicating(tmp_path / "log", "-config", config, ignore_sigint=True) as replicating:
        replicating.wait_for(READY)
        replicating.send(signal.SIGINT)
        assert replicating.stop() == 0
        assert "signal=interrupt" not in replicating.written()


@pytest.mark.interop
def test_what_is_committed_while_it_runs_is_replicated(tmp_path: Path, config: Path, database: Path) -> None:
    level_0 = tmp_path / "backup" / "ltx" / "0"
    with Replicating(tmp_path / "log", "-config", config) as replicating:
        for count in (1, 2):
            wait_until(lambda: len([*level_0.glob("*.ltx")]) >= count, "files", timeout_s=TIMEOUT_S)  # noqa: B023
            add_rows(database, 1)
        wait_until(lambda: len([*level_0.glob("*.ltx")]) >= 3, "the last file", timeout_s=TIMEOUT_S)
        replicating.kill()
    assert restored(f"file://{tmp_path}/backup", tmp_path) == rows_of(database)


@pytest.mark.interop
def test_killed_and_started_again_it_leaves_no_gap(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config: Path, database: Path
) -> None:
    for round_number in range(1, 5):
        with Replicating(tmp_path / "log", "-config", config) as replicating:
            replicating.wait_for(READY, round_number)
            add_rows(database, 20)
            replicating.kill()
        add_rows(database, 5)
    assert main(["replicate", "-once", "-config", str(config)]) == 0
    capsys.readouterr()
    found = txids(capsys, tmp_path / "backup")
    assert found == [*range(1, len(found) + 1)]
    assert restored(f"file://{tmp_path}/backup", tmp_path) == rows_of(database)


def test_a_storage_that_fails_is_tried_again_in_the_end_until_a_second_signal(
    tmp_path: Path, database: Path, broken: str
) -> None:
    config = write_config(
        tmp_path / "c.yml",
        {"path": str(database), "monitor-interval": "20ms", "replica": {"url": broken}},
        **{"shutdown-sync-timeout": "10m", "shutdown-sync-interval": "20ms"},
    )
    with Replicating(tmp_path / "log", "-config", config) as replicating:
        replicating.wait_for(READY)
        replicating.send(signal.SIGTERM)
        replicating.wait_for("trying again")
        assert replicating.is_running
        replicating.send(signal.SIGTERM)
        assert replicating.wait() == 1
        assert 'msg="signal received, the last sync is not tried again"' in replicating.written()
        assert replicating.written().splitlines()[-1].startswith("Error: ")


def test_a_storage_that_fails_ends_it_when_the_time_for_the_last_sync_is_over(
    tmp_path: Path, database: Path, broken: str
) -> None:
    config = write_config(
        tmp_path / "c.yml",
        {"path": str(database), "replica": {"url": broken}},
        **{"shutdown-sync-timeout": "100ms", "shutdown-sync-interval": "20ms"},
    )
    with Replicating(tmp_path / "log", "-config", config) as replicating:
        replicating.wait_for(READY)
        assert replicating.stop() == 1
        assert 'msg="failed to close database"' in replicating.written()


def test_a_database_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    entry = {"path": str(tmp_path / "late.db"), "monitor-interval": "20ms", "replica": {"path": str(tmp_path / "b")}}
    config = write_config(tmp_path / "c.yml", entry)
    with Replicating(tmp_path / "log", "-config", config) as replicating:
        replicating.wait_for(READY)
        make_database(tmp_path / "late.db")
        wait_until((tmp_path / "b" / "ltx").exists, "the first file", timeout_s=TIMEOUT_S)
        assert replicating.stop() == 0


@pytest.mark.parametrize(
    ("command", "code"), [("true", 0), ("sh -c 'exit 3'", 3), ("sh -c 'kill -9 $$'", 128 + signal.SIGKILL)]
)
def test_it_ends_with_its_child_and_with_the_childs_exit_code(
    tmp_path: Path, database: Path, command: str, code: int
) -> None:
    url = f"file://{tmp_path}/backup"
    with Replicating(tmp_path / "log", "-exec", command, database, url) as replicating:
        assert replicating.wait() == code
        assert 'msg="subprocess exited, litestream shutting down"' in replicating.written()
    assert (tmp_path / "backup" / "ltx" / "0").exists()


@pytest.mark.interop
def test_what_the_child_committed_last_is_replicated(tmp_path: Path, database: Path) -> None:
    url = f"file://{tmp_path}/backup"
    code = f"import apsw; apsw.Connection({str(database)!r}).execute('INSERT INTO item (name) VALUES (42)')"
    with Replicating(tmp_path / "log", "-exec", f'"{sys.executable}" -c "{code}"', database, url) as replicating:
        assert replicating.wait() == 0
    assert len(rows_of(database)) == 4
    assert restored(url, tmp_path) == rows_of(database)


def test_a_signal_is_handed_on_to_the_child_which_is_waited_for(tmp_path: Path, database: Path) -> None:
    url = f"file://{tmp_path}/backup"
    done = tmp_path / "done"
    command = f"sh -c 'trap \"touch {done}; exit 7\" TERM; touch {tmp_path}/ready; while :; do sleep 0.02; done'"
    with Replicating(tmp_path / "log", "-exec", command, database, url) as replicating:
        wait_until((tmp_path / "ready").exists, "the child", timeout_s=TIMEOUT_S)
        assert replicating.stop() == 7
        assert done.exists()
        assert replicating.written().rstrip().endswith('msg="litestream shut down"')


def test_a_child_that_the_signal_ended_is_no_failure(tmp_path: Path, database: Path) -> None:
    with Replicating(tmp_path / "log", "-exec", "sleep 600", database, f"file://{tmp_path}/backup") as replicating:
        replicating.wait_for(READY)
        assert replicating.stop() == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("there-is-no-such-program -p s3cret", "command there-is-no-such-program: No such file or directory"),
        ("sh 'unclosed", "command: No closing quotation"),
        (" ", "command: expected a command, got blanks"),
    ],
)
def test_a_command_that_cannot_be_started_is_told_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, database: Path, command: str, message: str
) -> None:
    url = f"file://{tmp_path}/backup"
    assert fail(capsys, "replicate", "-exec", command, database, url) == f"cannot start exec {message}"
    assert txids(capsys, tmp_path / "backup") == [1]


def test_the_command_of_the_configuration_is_run(tmp_path: Path, database: Path) -> None:
    entry = {"path": str(database), "replica": {"path": str(tmp_path / "backup")}}
    config = write_config(tmp_path / "c.yml", entry, exec="sh -c 'exit 5'")
    with Replicating(tmp_path / "log", "-config", config) as replicating:
        assert replicating.wait() == 5
    with Replicating(tmp_path / "log", "-config", config, "-exec", "sh -c 'exit 6'") as replicating:
        assert replicating.wait() == 6


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


def test_a_database_that_never_was_starts_fresh(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"file://{tmp_path}/backup"
    arguments = ["replicate", "-restore-if-db-not-exists", "-exec", "true", str(tmp_path / "new.db"), url]
    assert f'msg="no backup found, starting fresh" path={tmp_path}/new.db' in run(capsys, *arguments)


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


def fail_after_log(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one line of standard error that a command fails with, after its log on standard output."""
    assert main([*map(str, arguments)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("Error: ")


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
        (["app.db", "gs://bucket/path"], "gs://bucket/path: replicas at gs:// are not supported yet"),
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
