"""Goal: `replicate -exec` runs a command, and ends with it and as it did.

Method: real processes and real children. Bugs planted to try these tests: the child's exit code is not ours; signals
are not handed on to it.
"""

import signal
import sys
from pathlib import Path

import pytest

from tests.cli.commands import (
    fail,
    restored,
    rows_of,
    txids,
    write_config,
)
from tests.cli.process import READY, TIMEOUT_S, Replicating
from tests.support.waiting import wait_until


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
    code = (
        f"import apsw; connection = apsw.Connection({str(database)!r}); connection.set_busy_timeout(10_000); "
        "connection.execute('INSERT INTO item (name) VALUES (42)')"
    )
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
