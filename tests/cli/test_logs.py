"""Goal: the log has the forms of the Go program's. Method: records in each form, and both programs' first lines."""

import io
import json
import logging
import re
from pathlib import Path

import pytest

from litestream.cli import main
from litestream.config_logging import LoggingConfig
from litestream.logs import LOGGER, fields, logging_to
from tests.cli.commands import make_database, write_config
from tests.support import litestream_program as program

LIBRARY = logging.getLogger("litestream.replication")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"
FORMS = ["text", "json", "pretty"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(config: LoggingConfig, stream: io.StringIO | None = None) -> list[str]:
    out = stream or io.StringIO()
    with logging_to(config, out):
        LIBRARY.debug("looked at %s", "app.db")
        LOGGER.info("initialized db", extra=fields(path=Path("/srv/app.db"), sync_interval="1s"))
        LIBRARY.warning('the replica "%s" is slow', "a=b")
    LOGGER.warning("nobody listens")
    return out.getvalue().splitlines()


def test_text_is_names_and_values_quoted_where_they_must_be() -> None:
    first, second = logged(LoggingConfig())
    assert re.fullmatch(rf'time={TIME} level=INFO msg="initialized db" path=/srv/app\.db sync-interval=1s', first)
    assert re.fullmatch(rf'time={TIME} level=WARN msg="the replica \\"a=b\\" is slow"', second)


def test_json_is_an_object_a_line() -> None:
    first = json.loads(logged(LoggingConfig(type="json"))[0])
    assert re.fullmatch(TIME, first.pop("time"))
    assert first == {"level": "INFO", "msg": "initialized db", "path": "/srv/app.db", "sync-interval": "1s"}


def test_pretty_is_short_and_coloured_on_a_terminal_only() -> None:
    plain, coloured = (logged(LoggingConfig(type="pretty"), stream) for stream in (io.StringIO(), Terminal()))
    assert re.fullmatch(r"\d\d:\d\d:\d\d INF initialized db path=/srv/app\.db sync-interval=1s", plain[0])
    assert " \x1b[93mWRN\x1b[0m the replica" in coloured[1]


@pytest.mark.parametrize(("level", "count"), [("TRACE", 3), ("DEBUG", 3), ("INFO", 2), ("WARN", 1), ("ERROR", 0)])
def test_the_level_says_what_is_written(level: str, count: int) -> None:
    assert len(logged(LoggingConfig(level=level))) == count


def test_the_place_in_the_source_is_told_when_asked_for() -> None:
    assert re.search(r"level=INFO source=test_logs\.py:\d+ msg=", logged(LoggingConfig(source=True))[0])


def test_an_error_that_nobody_expected_keeps_to_its_line() -> None:
    out = io.StringIO()
    with logging_to(LoggingConfig(), out):
        try:
            int("why")
        except ValueError:
            LIBRARY.exception("met an error")
    (line,) = out.getvalue().splitlines()
    assert 'msg="met an error" traceback="Traceback' in line
    assert "ValueError: invalid literal for int() with base 10: 'why'" in line


def test_a_log_that_nobody_reads_any_more_is_no_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    with logging_to(LoggingConfig(), out):
        out.close()
        LOGGER.info("initialized db")
    assert capsys.readouterr().err == ""


@pytest.mark.interop
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stderr", [False, True])
def test_both_programs_tell_of_databases_and_replicas_alike(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    form: str,
    stderr: bool,  # noqa: FBT001
) -> None:
    database = make_database(tmp_path / "app.db")
    entry = {"path": str(database), "replica": {"path": str(tmp_path / "backup"), "sync-interval": "1m30s"}}
    config = write_config(tmp_path / "c.yml", entry, logging={"type": form, "stderr": stderr})
    theirs = told(program.run("replicate", "-once", "-config", config) if not stderr else "")
    assert main(["replicate", "-once", "-config", str(config)]) == 0
    captured = capsys.readouterr()
    silent, loud = (captured.out, captured.err) if stderr else (captured.err, captured.out)
    assert silent == ""
    if not stderr:
        assert told(loud) == theirs
    assert len(told(loud)) == 6


def told(log: str) -> list[str]:
    """What a log tells of the databases and the end, without the time and the library's own words."""
    words = ("initialized db", "replicating to", "syncing database", "complete", "litestream shut down")
    lines = [line for line in log.splitlines() if any(word in line for word in words)]
    without_time = [re.sub(rf"{TIME}|^\d\d:\d\d:\d\d", "", line) for line in lines]
    # A duration is a number of nanoseconds in the program's JSON.
    return [line.replace("90000000000", '"1m30s"') for line in without_time if line]
