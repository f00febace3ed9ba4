"""Goal: the torture harness sees what it is there to see.

Method: planted findings, and a replica made of empty files.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.litestream_program import FileReplica
from tests.support.replica_monitor import ReplicaMonitor
from tests.support.torture_reader import ShortTally
from tests.support.torture_report import Minimum, TortureReport

MINIMUM = Minimum(transactions=100, txids=10, compactions=5, deletions=5)
SOUND = TortureReport(
    title="planted",
    seconds=10,
    ok=100,
    failed=0,
    inconsistent=0,
    backwards=0,
    txids=10,
    staleness_s=1.0,
    data_age_s=2.0,
    stale_reader_s=0.0,
    compactions=5,
    deletions=5,
    long_ok=20,
    long_snapshot_gone=0,
)


def test_a_sound_run_has_no_problems() -> None:
    assert SOUND.problems(MINIMUM, gone_share=0) == []


@pytest.mark.parametrize(
    "planted",
    [
        replace(SOUND, failed=1),
        replace(SOUND, inconsistent=1),
        replace(SOUND, backwards=1),
        replace(SOUND, staleness_s=5.1),
        replace(SOUND, long_wrong=("the counter: expected 1, got 2",)),
        replace(SOUND, long_failed=1),
        replace(SOUND, long_ok=0),
        replace(SOUND, long_snapshot_gone=3),
        replace(SOUND, stuck=("short a0",)),
        replace(SOUND, restored="restore failed"),
        replace(SOUND, ok=99),
        replace(SOUND, txids=9),
        replace(SOUND, compactions=4),
        replace(SOUND, deletions=4),
    ],
)
def test_each_planted_finding_is_a_problem(planted: TortureReport) -> None:
    assert len(planted.problems(MINIMUM, gone_share=0.1)) == 1


def test_one_long_transaction_in_ten_may_lose_its_files_only_where_that_is_granted() -> None:
    lost = replace(SOUND, long_ok=18, long_snapshot_gone=2)
    assert lost.problems(MINIMUM, gone_share=0.1) == []
    assert len(lost.problems(MINIMUM, gone_share=0)) == 1


def test_fewer_than_ten_long_transactions_may_lose_none() -> None:
    lost = replace(SOUND, long_ok=8, long_snapshot_gone=1)
    assert len(lost.problems(MINIMUM, gone_share=0.1)) == 1


def test_a_tally_keeps_the_last_instant_of_each_run_of_txids_and_counts_steps_back() -> None:
    tally = ShortTally()
    for instant, txid in [(1.0, 5), (2.0, 5), (3.0, 6), (4.0, 5), (5.0, 5)]:
        tally.see(instant, txid)
    assert tally.last_seen == [(2.0, 5), (3.0, 6), (5.0, 5)]
    assert tally.backwards == 1


def test_staleness_counts_from_the_last_listing_that_did_not_show_a_newer_file() -> None:
    monitor = ReplicaMonitor(FileReplica(Path()), _times=[10.0, 11.0, 12.0], _txids=[1, 2, 4])
    assert monitor.staleness_s(20.0, 4) == 0.0
    assert monitor.staleness_s(20.0, 3) == 8.0
    assert monitor.staleness_s(20.0, 2) == 8.0
    assert monitor.staleness_s(20.0, 1) == 9.0
    assert monitor.staleness_s(20.0, 0) == 10.0
    assert monitor.staleness_s(10.5, 1) == 0.0, "the newer file was not there yet"


def test_the_monitor_counts_compactions_and_deletions(tmp_path: Path) -> None:
    monitor = ReplicaMonitor(FileReplica(tmp_path))
    for txid in (1, 2):
        _touch(tmp_path, 0, txid, txid)
    monitor.look()
    monitor.mark()
    _touch(tmp_path, 1, 1, 2)
    (tmp_path / "ltx/0/0000000000000001-0000000000000001.ltx").unlink()
    _touch(tmp_path, 0, 3, 3)
    monitor.look()
    assert (monitor.compactions, monitor.deletions, monitor.max_txid) == (1, 1, 3)


def _touch(directory: Path, level: int, min_txid: int, max_txid: int) -> None:
    path = directory / f"ltx/{level}/{min_txid:016x}-{max_txid:016x}.ltx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
