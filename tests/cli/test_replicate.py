"""Goal: `replicate` replicates until a signal comes, and loses nothing then.

Method: real processes, which get signals and are killed; the Go program, or ours, restores what they wrote. Bugs
planted to try these tests: the store is not closed after a signal; the second signal is not listened to; a SIGINT that
was ignored is listened to.
"""

import signal
from pathlib import Path

import pytest

from litestream.cli import main
from tests.cli.commands import add_rows, make_database, restored, rows_of, txids, write_config
from tests.cli.process import READY, TIMEOUT_S, Replicating
from tests.support.waiting import wait_until


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
