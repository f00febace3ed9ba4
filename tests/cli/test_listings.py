"""Goal: `databases`, `ltx`, `status` and `reset` say what the Go program says, of the same configuration.

Method: a configuration and replicas that the Go program wrote; both programs with the same arguments. Bugs planted to
try these tests: instants keep their milliseconds; a WAL of 16,512 bytes has 16.5 kB; the last column is padded.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import litestream
from litestream.cli import main
from replication.sync.meta_lock import ID_NAME, LOCK_NAME
from tests.cli.commands import add_rows, fail, make_database, run, write_config
from tests.support import litestream_program as program
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, REGION, SECRET_ACCESS_KEY, S3Server

FORMS = [[], ["-json"]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Three databases: one the Go program has replicated, one it has not, and one that is not there."""
    make_database(tmp_path / "app.db")
    make_database(tmp_path / "other.db")
    alone = write_config(tmp_path / "alone.yml", db(tmp_path, "app.db"))
    program.run("replicate", "-once", "-config", alone)
    add_rows(tmp_path / "app.db", 100)
    program.run("replicate", "-once", "-force-snapshot", "-config", alone)
    s3 = {"type": "s3", "bucket": "bucket", "path": "missing", "region": "us-east-1"}
    return write_config(
        tmp_path / "litestream.yml",
        db(tmp_path, "app.db"),
        {"path": str(tmp_path / "other.db"), "replicas": [{"url": f"file://{tmp_path}/backup/other"}]},
        {"path": str(tmp_path / "missing.db"), "replica": s3},
    )


def db(directory: Path, name: str) -> dict[str, object]:
    return {"path": str(directory / name), "replica": {"type": "file", "path": str(directory / "backup" / name)}}


@pytest.mark.interop
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", ["databases", "status"])
def test_a_listing_is_that_of_the_program(
    capsys: pytest.CaptureFixture[str], config: Path, command: str, form: list[str]
) -> None:
    arguments = [command, *form, "-config", str(config)]
    assert run(capsys, *arguments) == program.run(*arguments)


@pytest.mark.interop
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["app.db", "other.db", "unknown.db"])
def test_the_status_of_one_database_is_that_of_the_program(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path, name: str, form: list[str]
) -> None:
    arguments = ["status", *form, "-config", str(config), str(tmp_path / name)]
    assert run(capsys, *arguments) == program.run(*arguments)


@pytest.mark.interop
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("level", ["0", "1", "9", "all"])
def test_the_files_of_a_database_are_listed_as_the_program_does(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path, level: str, form: list[str]
) -> None:
    arguments = ["ltx", *form, "-level", level, "-config", str(config), str(tmp_path / "app.db")]
    assert run(capsys, *arguments) == program.run(*arguments)
    url = ["ltx", *form, "-level", level, f"file://{tmp_path}/backup/app.db"]
    assert run(capsys, *url) == program.run(*url)


@pytest.mark.interop
def test_an_empty_place_has_no_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for form in FORMS:
        arguments = ["ltx", *form, f"file://{tmp_path}/none"]
        assert run(capsys, *arguments) == program.run(*arguments)


@pytest.mark.interop
def test_the_same_file_leads_both_programs_to_the_same_objects_in_s3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    database = make_database(tmp_path / "app.db")
    with S3Server() as server:
        config = write_config(
            tmp_path / "litestream.yml",
            {"path": str(database), "replica": {"type": "s3", "bucket": DEFAULT_BUCKET, "path": "apps/app"}},
            **{
                "endpoint": server.endpoint,
                "region": REGION,
                "access-key-id": ACCESS_KEY_ID,
                "secret-access-key": SECRET_ACCESS_KEY,
            },
        )
        program.run("replicate", "-once", "-config", config)
        arguments = ["ltx", "-json", "-config", str(config), str(database)]
        listed = run(capsys, *arguments)
        assert listed == program.run(*arguments)
        assert len(json.loads(listed)) == 1


def test_each_replica_of_a_database_has_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    s3 = {"type": "s3", "bucket": "b", "path": "p"}
    config = write_config(tmp_path / "c.yml", {"path": "/srv/app.db", "replicas": [{"path": "/backup"}, s3]})
    assert json.loads(run(capsys, "databases", "-json", "-config", config)) == [
        {"path": "/srv/app.db", "replica": "file"},
        {"path": "/srv/app.db", "replica": "s3"},
    ]


@pytest.mark.interop
def test_wal_is_an_old_name_of_ltx(capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path) -> None:
    assert main(["wal", "-config", str(config), str(tmp_path / "app.db")]) == 0
    captured = capsys.readouterr()
    assert captured.err == "Warning: 'wal' command is deprecated, please use 'ltx' instead\n"
    assert captured.out == program.run("wal", "-config", config, tmp_path / "app.db")


@pytest.mark.interop
def test_a_reset_database_is_not_initialized_to_either_program_and_goes_on(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    database = tmp_path / "app.db"
    told = run(capsys, "reset", "-dry-run", "-config", config, database)
    assert "Files that would be removed:" in told
    assert "No files were removed." in told
    run(capsys, "reset", "-config", config, database)
    status = ["status", "-json", "-config", str(config), str(database)]
    assert json.loads(run(capsys, *status))[0]["status"] == "not initialized"
    assert run(capsys, *status) == program.run(*status)
    add_rows(database, 1)
    assert main(["replicate", "-once", str(database), f"file://{tmp_path}/backup/app.db"]) == 0
    capsys.readouterr()
    listed = json.loads(run(capsys, "ltx", "-json", "-config", config, database))
    assert [int(file["max_txid"], 16) for file in listed] == [*range(1, len(listed) + 1)]


def test_a_reset_leaves_what_others_keep_beside_the_local_state(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    database = make_database(tmp_path / "app.db")
    meta = tmp_path / "meta"
    config = write_config(
        tmp_path / "c.yml",
        {"path": str(database), "meta-path": str(meta), "replica": {"path": str(tmp_path / "backup")}},
    )
    assert main(["replicate", "-once", "-config", str(config)]) == 0
    capsys.readouterr()
    assert len([*meta.iterdir()]) > 1
    (meta / "notes.txt").write_text("keep me")
    run(capsys, "reset", "-config", config, database)
    assert {path.name for path in meta.iterdir()} == {"notes.txt", LOCK_NAME, ID_NAME}


def test_a_database_that_is_being_replicated_is_not_reset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    database = make_database(tmp_path / "app.db")
    with litestream.replicate(database, f"file://{tmp_path}/backup") as store:
        store.sync()
        assert "nobody else replicates" in fail(capsys, "reset", database)
        assert (tmp_path / ".app.db-litestream" / "ltx").exists()


def test_a_database_without_local_state_needs_no_reset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    database = make_database(tmp_path / "app.db")
    assert run(capsys, "reset", database).startswith(f"No local state to reset for {database}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["databases", "-config", "/none.yml"], "config file not found: /none.yml"),
        (["databases", "extra"], "unexpected extra argument (extra)"),
        (["databases", "-jsno"], "no such flag: -jsno; did you mean -json?"),
        (["ltx"], "database path or replica URL required: apsw-litestream ltx /path/to/db"),
        (["ltx", "-level", "10", "file:///x"], "expected a level from 0 to 9, or all, got '10'"),
        (["ltx", "-level", "x", "file:///x"], "expected a level from 0 to 9, or all, got 'x'"),
        (["ltx", "-config", "CONFIG", "file:///x"], "cannot specify a replica URL and the -config flag"),
        (["ltx", "-config", "CONFIG", "/none.db"], "database not found in config: /none.db"),
        (["ltx", "gs://-/path"], "gs://-/path: expected gs://bucket/path, got the bucket '-'"),
        (["ltx", "-config", "CONFIG", "/gs.db"], "expected gs://bucket/path, got the bucket '-'"),
        (["status", "-config", "/none.yml"], "config file not found: /none.yml"),
        (["reset"], "database path required: apsw-litestream reset /path/to/db"),
        (["reset", "/none.db"], "database does not exist: /none.db"),
        (["reset", "-config", "/none.yml", "/none.db"], "config file not found: /none.yml"),
    ],
)
def test_a_mistake_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    gs = {"type": "gs", "bucket": "-", "path": "path"}
    config = write_config(tmp_path / "litestream.yml", {"path": "/gs.db", "replica": gs})
    assert message in fail(capsys, *[str(config) if one == "CONFIG" else one for one in arguments])


def test_without_pyyaml_the_error_says_what_to_install(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path / "litestream.yml")
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "pip install apsw-litestream[cli]" in fail(capsys, "databases", "-config", config)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    dbs = [{"path": f"/srv/{number}.db", "replica": {"path": f"/backup/{number}"}} for number in range(20_000)]
    config = write_config(tmp_path / "litestream.yml", *dbs)
    command = [sys.executable, "-m", "litestream", "databases", "-config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141
