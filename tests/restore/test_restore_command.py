"""Goal: `apsw-litestream restore` takes the Go program's flags and writes what it writes.

Method: a small replica; both commands with the same arguments, and errors of ours in one line.
"""

import json
from pathlib import Path

import pytest

import litestream
from litestream.cli import main
from tests.support import litestream_program
from tests.support.restoring import left_in, sha256
from tests.support.small_replica import make_replica

STEPS = ("CREATE TABLE item (id INTEGER PRIMARY KEY)", "INSERT INTO item VALUES (1)", "INSERT INTO item VALUES (2)")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return make_replica(tmp_path / "replica", STEPS)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    code = main(["restore", *map(str, arguments)])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    return captured.out


def fail(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    code = main(["restore", *map(str, arguments)])
    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (1, "", 1)
    return captured.err


def test_a_restore_says_what_it_did(capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str) -> None:
    told = run(capsys, "-o", tmp_path / "out.db", url)
    assert told.startswith(f"restored {tmp_path / 'out.db'} at TXID 0000000000000003: 2 pages, ")
    litestream.restore(url, tmp_path / "same.db")
    assert sha256(tmp_path / "out.db") == sha256(tmp_path / "same.db")


@pytest.mark.parametrize("dash", ["-", "--"])
def test_flags_take_one_dash_or_two(capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, dash: str) -> None:
    output = tmp_path / "out.db"
    told = json.loads(
        run(capsys, f"{dash}json", f"{dash}txid", "0000000000000001", f"{dash}parallelism=2",
            f"{dash}integrity-check", "full", "-o", output, url)
    )  # fmt: skip
    assert told.pop("duration_ms") >= 0
    assert told == {
        "db_path": str(output),
        "replica": "file",
        "txid": "0000000000000001",
        "integrity_check": "full",
    }
    told = json.loads(
        run(capsys, f"{dash}json", f"{dash}force", f"{dash}timestamp", "2026-03-01T12:01:30Z", "-o", output, url)
    )
    assert (told["txid"], told["integrity_check"]) == ("0000000000000002", "none")


@pytest.mark.interop
@pytest.mark.parametrize("flags", [["-json"], ["--json", "-txid", "0000000000000002"], []])
def test_a_dry_run_writes_what_the_program_writes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, flags: list[str]
) -> None:
    arguments = ["-dry-run", *flags, "-o", str(tmp_path / "out.db"), url]
    assert run(capsys, *arguments) == litestream_program.run("restore", *arguments)
    assert left_in(tmp_path) == ["replica"]


@pytest.mark.interop
def test_the_json_of_a_restore_has_the_keys_of_the_programs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str
) -> None:
    theirs = json.loads(litestream_program.run("restore", "-json", "-o", tmp_path / "out.db", url))
    ours = json.loads(run(capsys, "-json", "-force", "-o", tmp_path / "out.db", url))
    assert list(ours) == list(theirs)
    assert {**ours, "duration_ms": 0} == {**theirs, "duration_ms": 0}


def test_what_exists_already_can_be_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str) -> None:
    output = tmp_path / "out.db"
    output.write_bytes(b"precious")
    assert run(capsys, "-if-db-not-exists", "-o", output, url) == "database already exists, skipping\n"
    assert "not empty" in fail(capsys, "-o", output, url)
    assert output.read_bytes() == b"precious"
    run(capsys, "-force", "-o", output, url)


def test_a_replica_that_is_not_there_can_be_no_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["-o", str(tmp_path / "out.db"), f"file://{tmp_path}/none"]
    assert run(capsys, "-if-replica-exists", *arguments) == "no matching backups found\n"
    assert "empty" in fail(capsys, *arguments)
    assert "empty" in fail(capsys, "-if-replica-exists", "-dry-run", *arguments)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "database path or replica URL required"),
        (["URL"], "-o is required"),
        (["-config", "/none.yml", "-o", "OUT", "/var/lib/app.db"], "config file not found: /none.yml"),
        (["-config", "litestream.yml", "-o", "OUT", "URL"], "cannot specify a replica URL and the -config flag"),
        (["-f", "-o", "OUT", "URL"], "-f is not supported yet"),
        (["-follow-interval", "1s", "-o", "OUT", "URL"], "-f is not supported yet"),
        (["-integrity-check", "some", "-o", "OUT", "URL"], "'some'"),
        (["-txid", "x", "-o", "OUT", "URL"], "hexadecimal"),
        (["-txid", "9", "-o", "OUT", "URL"], "nearest available is 0000000000000003"),
        (["-timestamp", "2026-03-01", "-o", "OUT", "URL"], "with a zone"),
        (["-txid", "1", "-timestamp", "2026-03-01T12:00:00Z", "-o", "OUT", "URL"], "got both"),
        (["-parallelism", "0", "-o", "OUT", "URL"], "parallelism of at least 1"),
        (["-o", "OUT", "URL", "more"], "more"),
    ],
)
def test_a_mistake_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str, arguments: list[str], message: str
) -> None:
    places = {"URL": url, "OUT": str(tmp_path / "out.db")}
    assert message in fail(capsys, *[places.get(argument, argument) for argument in arguments])
    assert left_in(tmp_path) == ["replica"]
