"""Goal: the command line says what a replica holds, exactly, in every format, and what went wrong in one line.

Method: small replicas of known TXIDs and instants; `main` in this process, and real processes where pipes matter.
"""

import csv
import io
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from litestream.cli import LATER, main
from tests.support.small_replica import make_replica

STEPS = (
    "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL, data BLOB)",
    "INSERT INTO item VALUES (1, 'apple', 1.5, x'00ff')",
    "INSERT INTO item VALUES (20, NULL, NULL, NULL)",
)
SECRET = "sEcReT"  # noqa: S105


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_replica(tmp_path_factory.mktemp("replica"), STEPS)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a command writes; it must not fail."""
    code = main(arguments)
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    return captured.out


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that a command fails with."""
    code = main(arguments)
    captured = capsys.readouterr()
    assert code == 1
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("Error: ")
    return captured.err.removeprefix("Error: ").rstrip("\n")


def test_a_query_shows_an_aligned_table(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert run(capsys, "query", url, "SELECT * FROM item").splitlines() == [
        "id  name   price  data",
        "--  -----  -----  -------",
        " 1  apple    1.5  x'00ff'",
        "20  NULL   NULL   NULL",
    ]


def test_a_query_shows_the_database_at_a_txid(capsys: pytest.CaptureFixture[str], url: str) -> None:
    sql = "SELECT count(*), litestream_txid() FROM item"
    assert run(capsys, "query", url, sql, "--txid", "2", "--format", "csv").splitlines()[1] == "1,0000000000000002"


def test_a_query_shows_the_database_just_before_an_instant(capsys: pytest.CaptureFixture[str], url: str) -> None:
    sql = "SELECT count(*), litestream_time() FROM item"
    found = run(capsys, "query", url, sql, "--time", "2026-03-01T12:02:00Z", "--format", "csv")
    assert found.splitlines()[1] == "1,2026-03-01T12:01:00Z"


def test_json_keeps_integers_floats_nulls_and_doubled_names(capsys: pytest.CaptureFixture[str], url: str) -> None:
    sql = "SELECT 9223372036854775807 AS big, 0.1 AS real, 9e999 AS inf, NULL AS none, 1 AS a, 'ü\n' AS a, x'' AS b"
    found = json.loads(run(capsys, "query", url, sql, "--format", "json"))
    assert found == [
        {"big": 2**63 - 1, "real": 0.1, "inf": float("inf"), "none": None, "a": 1, "a:2": "ü\n", "b": "x''"}
    ]


def test_json_of_no_rows_is_an_empty_array(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert json.loads(run(capsys, "query", url, "SELECT * FROM item WHERE 0", "--format", "json")) == []


def test_csv_tells_null_from_an_empty_text_and_quotes_what_must_be(
    capsys: pytest.CaptureFixture[str], url: str
) -> None:
    sql = """SELECT NULL AS "a,b", '' AS c, 'say "hi"' AS d, 'x' || char(10) || 'y' AS e, -1.0 AS f"""
    found = run(capsys, "query", url, sql, "--format", "csv")
    assert found == '"a,b",c,d,e,f\n,"","say ""hi""","x\ny",-1.0\n'
    assert list(csv.reader(io.StringIO(found)))[1] == ["", "", 'say "hi"', "x\ny", "-1.0"]


def test_a_table_shows_control_characters_escaped_and_counts_wide_letters(
    capsys: pytest.CaptureFixture[str], url: str
) -> None:
    sql = "SELECT 'a' || char(10, 27) AS x, 1 AS y UNION ALL SELECT '日本', 2"
    assert run(capsys, "query", url, sql).splitlines() == [
        "x        y",
        "-------  -",
        "a\\n\\x1b  1",
        "日本     2",
    ]


def test_every_statement_with_a_result_shows_it(capsys: pytest.CaptureFixture[str], url: str) -> None:
    sql = "PRAGMA litestream_txid='2'; SELECT count(*) AS n FROM item; BEGIN; SELECT id FROM item WHERE 0; COMMIT"
    found = run(capsys, "query", url, sql, "--format", "csv")
    # SQLite names the column of a pragma that a VFS answers by its value.
    assert found == "0000000000000002\n0000000000000002\n\nn\n1\n\nid\n"


def test_history_lists_what_one_can_travel_to(capsys: pytest.CaptureFixture[str], url: str) -> None:
    found = json.loads(run(capsys, "history", url, "--format", "json"))
    assert [(row["txid"], row["time"], row["level"]) for row in found] == [
        ("0000000000000001", "2026-03-01T12:00:00Z", 0),
        ("0000000000000002", "2026-03-01T12:01:00Z", 0),
        ("0000000000000003", "2026-03-01T12:02:00Z", 0),
    ]


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "version").strip() == version("apsw-litestream")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "query" in run(capsys)


@pytest.mark.parametrize("command", LATER)
def test_a_command_that_is_not_built_says_so(capsys: pytest.CaptureFixture[str], command: str) -> None:
    message = fail(capsys, command, "-o", "out.db", "--json", "s3://bucket/path")
    assert message == f"apsw-litestream {command} is not supported yet"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["query", "URL", "SELECT * FROM missing"], "no such table: missing"),
        (["query", "URL", "DELETE FROM item"], "readonly"),
        (["query", "URL", "SELECT 1", "--txid", "9"], "0000000000000009"),
        (["query", "URL", "SELECT 1", "--txid", "xyz"], "hexadecimal"),
        (["query", "URL", "SELECT 1", "--time", "2020-01-01"], "2026-03-01T12:00:00"),
        (["query", "URL", "SELECT 1", "--time", "-1m", "--txid", "1"], "one of time and txid"),
        (["query", "URL", "SELECT 1", "--format", "xml"], "'xml'"),
        (["query", "URL"], "SQL"),
        (["query", "file:///there/is/no/replica", "SELECT 1"], "replica is empty"),
        (["history", "nonsense"], "file://"),
        (["nonsense"], "nonsense"),
    ],
)
def test_an_error_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], url: str, arguments: list[str], message: str
) -> None:
    assert message in fail(capsys, *[url if argument == "URL" else argument for argument in arguments])


@pytest.mark.parametrize("before", [True, False])
def test_verbose_shows_the_traceback_too(capsys: pytest.CaptureFixture[str], url: str, before: bool) -> None:  # noqa: FBT001
    query = ["query", url, "SELECT * FROM missing"]
    assert main(["-v", *query] if before else [*query, "--verbose"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "Error: no such table: missing"


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{SECRET}@bucket/path?nonsense=1",
        f"s3://key:{SECRET}@/path",
        f"s3://key:{SECRET}@bucket:port/path",
        f"s3://key:{SECRET}@bucket/path?endpoint=http://127.0.0.1:9&region=us-east-1",
        f"gs://key:{SECRET}@bucket/path",
        f"nowhere://key:{SECRET}@bucket/path",
    ],
)
def test_no_error_shows_a_secret_of_the_url(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["-v", "query", url, "SELECT 1"]) == 1
    assert SECRET not in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(url: str) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    with subprocess.Popen(
        [sys.executable, "-m", "litestream", "query", url, endless, "--format", "csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"x\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_the_module_and_the_command_are_the_same(url: str, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("apsw-litestream")
    arguments = ["query", url, "SELECT count(*) FROM item", "--format", "csv"]
    for program in ([command], [sys.executable, "-m", "litestream"]):
        done = subprocess.run(
            [*program, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
        )
        assert done.stdout == "count(*)\n2\n"
