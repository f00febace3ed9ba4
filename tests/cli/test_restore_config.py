"""Goal: a database in the configuration is restored by its path, by our command as by the Go program's.

Method: replicas that the Go program, or ours, wrote; both programs with the same arguments. Bugs planted to try these
tests: the first replica is taken though another leads further; the database's own path is not the default output.
"""

import json
import os
from pathlib import Path

import pytest

from litestream.cli import main
from tests.cli.commands import add_rows, fail, make_database, rows_of, run, write_config
from tests.support import litestream_program as program

FORMS = [[], ["-json"]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A database with a replica of several files, whose times have fractions of a second."""
    database = make_database(tmp_path / "app.db")
    replica = {"type": "file", "path": str(tmp_path / "backup")}
    path = write_config(tmp_path / "litestream.yml", {"path": str(database), "replica": replica})
    for _ in range(3):
        program.run("replicate", "-once", "-config", path)
        add_rows(database, 1)
    program.run("replicate", "-once", "-config", path)
    return path


@pytest.mark.interop
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", [[], ["-txid", "0000000000000002"]])
def test_a_plan_is_that_of_the_program(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path, form: list[str], target: list[str]
) -> None:
    for database in (str(tmp_path / "app.db"), os.path.relpath(tmp_path / "app.db")):
        arguments = ["restore", "-dry-run", *form, *target, "-config", str(config), database]
        assert run(capsys, *arguments) == program.run(*arguments)


@pytest.mark.interop
def test_a_database_is_restored_to_its_own_path_or_to_another(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    database = tmp_path / "app.db"
    expected = rows_of(database)
    assert "not empty" in fail(capsys, "restore", "-config", config, database)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    told = json.loads(run(capsys, "restore", "-json", "-config", config, database))
    assert (told["db_path"], told["replica"], told["txid"]) == (str(database), "file", "0000000000000004")
    assert rows_of(database) == expected
    output = tmp_path / "there.db"
    run(capsys, "restore", "-txid", "1", "-o", output, "-config", config, database)
    assert len(rows_of(output)) == len(expected) - 3


@pytest.mark.interop
def test_the_json_of_a_restore_is_the_programs(
    capsys: pytest.CaptureFixture[str], config: Path, tmp_path: Path
) -> None:
    arguments = ["restore", "-json", "-force", "-o", str(tmp_path / "out.db"), "-config", str(config)]
    theirs = json.loads(program.run(*arguments, tmp_path / "app.db"))
    ours = json.loads(run(capsys, *arguments, tmp_path / "app.db"))
    assert list(ours) == list(theirs)
    assert {**ours, "duration_ms": 0} == {**theirs, "duration_ms": 0}


def test_of_several_replicas_the_one_that_leads_furthest_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    database = make_database(tmp_path / "app.db")
    old, new = f"file://{tmp_path}/old", f"file://{tmp_path}/new"
    assert main(["replicate", "-once", str(database), old, new]) == 0
    add_rows(database, 2)
    assert main(["replicate", "-once", str(database), new]) == 0
    capsys.readouterr()
    config = write_config(tmp_path / "c.yml", {"path": str(database), "replicas": [{"url": old}, {"url": new}]})
    run(capsys, "restore", "-o", tmp_path / "out.db", "-config", config, database)
    assert rows_of(tmp_path / "out.db") == rows_of(database)


def test_a_replica_that_does_not_answer_is_told_of_and_passed_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    database = make_database(tmp_path / "app.db")
    url = f"file://{tmp_path}/backup"
    assert main(["replicate", "-once", str(database), url]) == 0
    capsys.readouterr()
    broken = tmp_path / "broken"
    (broken / "ltx").mkdir(parents=True)
    (broken / "ltx" / "0").write_text("no directory")
    replicas = [{"path": str(broken)}, {"url": url}]
    config = write_config(tmp_path / "c.yml", {"path": str(database), "replicas": replicas})
    assert main(["restore", "-o", str(tmp_path / "out.db"), "-config", str(config), str(database)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("Warning: line ")
    assert "broken" in captured.err
    assert rows_of(tmp_path / "out.db") == rows_of(database)
    alone = write_config(tmp_path / "c.yml", {"path": str(database), "replicas": replicas[:1]})
    assert "broken" in fail(capsys, "restore", "-o", tmp_path / "other.db", "-config", alone, database)


def test_no_backup_is_not_what_a_replica_says_that_does_not_answer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken" / "ltx").mkdir(parents=True)
    (tmp_path / "broken" / "ltx" / "0").write_text("no directory")
    database = tmp_path / "app.db"
    replicas = [{"path": str(tmp_path / "empty")}, {"path": str(tmp_path / "broken")}]
    config = write_config(tmp_path / "c.yml", {"path": str(database), "replicas": replicas})
    for command in (["restore", "-if-replica-exists"], ["replicate", "-once", "-restore-if-db-not-exists"]):
        assert main([*command, "-config", str(config), *([str(database)] if command[0] == "restore" else [])]) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith("Error: ")
    assert not database.exists()


def test_a_lost_database_of_a_directory_is_restored_from_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    database = make_database(tmp_path / "tenants" / "one.db")
    config = write_config(
        tmp_path / "c.yml",
        {"dir": str(tmp_path / "tenants"), "pattern": "*.db", "replica": {"path": str(tmp_path / "backup")}},
    )
    assert main(["replicate", "-once", "-config", str(config)]) == 0
    capsys.readouterr()
    expected = rows_of(database)
    for path in (tmp_path / "tenants").glob("one.db*"):
        path.unlink()
    run(capsys, "restore", "-config", config, database)
    assert rows_of(database) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "database path or replica URL required: apsw-litestream restore -o /path/to/db s3://bucket/prefix"),
        (["-config", "/none.yml", "/srv/app.db"], "config file not found: /none.yml"),
        (["-config", "CONFIG", "/none.db"], "database not found in config: /none.db"),
        (["-config", "CONFIG", "-o", "OUT", "file:///x"], "cannot specify a replica URL and the -config flag"),
        (["-config", "CONFIG", "/gs.db"], "expected gs://bucket/path, got the bucket '-'"),
        (["file:///x"], "-o is required when restoring from a replica URL"),
        (["-f", "-config", "CONFIG", "/gs.db"], "restore -f is not supported yet"),
    ],
)
def test_a_mistake_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    gs = {"type": "gs", "bucket": "-", "path": "path"}
    places = {
        "CONFIG": str(write_config(tmp_path / "litestream.yml", {"path": "/gs.db", "replica": gs})),
        "OUT": str(tmp_path / "out.db"),
    }
    assert message in fail(capsys, "restore", *[places.get(one, one) for one in arguments])


def test_without_a_configuration_the_error_names_the_default(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "none.yml"
    monkeypatch.setitem(os.environ, "LITESTREAM_CONFIG", str(missing))
    assert fail(capsys, "restore", "/srv/app.db") == f"config file not found: {missing}"
