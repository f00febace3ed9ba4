"""Goal: a replicator that is ended at any time loses nothing, and the crash runs would notice if it did.

Method: the short forms of `tests.support.crash`, whose long ones are run by `make crash`; and damage, planted into a
sound replica, each kind of which has to be found.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import apsw
import pytest

from replication.client.file import FileReplicaClient
from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.decoder import Decoder
from replication.ltx.header import HEADER_SIZE, Header
from replication.replica import Replica
from tests.support.crash_check import check_replica
from tests.support.crash_report import CrashReport, Findings
from tests.support.crash_run import Crash
from tests.support.crash_writer import CrashWriter, commit, look, prepare
from tests.support.litestream_program import FileReplica
from tests.support.live_db import image, open_db
from tests.support.ltx_files import make_file, make_header
from tests.support.waiting import wait_until

TXIDS = 12
COMMITS = 10  # for each: all of them lie in the part of the workload's cycle that grows, then shrinks
DAMAGED = 7  # a TXID in the midst, which the file of level 1 ends at


@pytest.mark.interop
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "crash",
    [
        Crash(kind="clean", workload=1, store="file", rounds=3),
        Crash(kind="kill", workload=2, store="s3", rounds=3),
        Crash(kind="both", workload=2, store="file", rounds=3),
    ],
    ids=lambda crash: crash.kind,
)
def test_a_replicator_that_is_ended_again_and_again_loses_nothing(crash: Crash) -> None:
    report = crash.run()
    report.check()
    assert report.findings.txids > crash.rounds


@dataclass(frozen=True, slots=True)
class History:
    """A sound replica, and the database it is of."""

    directory: Path
    source: bytes

    @property
    def findings(self) -> Findings:
        return check_replica(FileReplicaClient(self.directory), self.source)

    def path(self, level: int, min_txid: int, max_txid: int) -> Path:
        return self.directory / f"ltx/{level}/{min_txid:016x}-{max_txid:016x}.ltx"

    def level_0(self, txid: int) -> Path:
        return self.path(0, txid, txid)

    @contextmanager
    def rewritten(self, path: Path) -> Iterator[tuple[Header, dict[int, bytes]]]:
        """Give the header and the pages of a file, and store what has become of the pages."""
        with path.open("rb") as file:
            decoder = Decoder(file)
            pages = {int(page.pgno): page.data for page in decoder}
        yield decoder.header, pages
        path.write_bytes(make_file(decoder.header, pages))

    def header(self, txid: int) -> Header:
        return Header.unpack(self.level_0(txid).read_bytes()[:HEADER_SIZE])

    def pages_before(self, txid: int) -> dict[int, bytes]:
        """The pages of the database before a TXID."""
        pages: dict[int, bytes] = {}
        for earlier in range(1, txid):
            with self.level_0(earlier).open("rb") as file:
                pages.update({page.pgno: page.data for page in Decoder(file)})
        return pages


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> History:
    directory = tmp_path_factory.mktemp("history")
    database = directory / "app.db"
    prepare(database, 2)
    db = open_db(database)
    db.min_checkpoint_page_n = 100_000  # a checkpoint may bring a TXID of its own
    db.replica = Replica(db, FileReplicaClient(directory / "replica"), monitor_enabled=False, lease=False)
    application = apsw.Connection(str(database))
    with db:
        for txid in range(1, TXIDS + 1):
            for _ in range(COMMITS):
                commit(application, 2, seed=5)
            assert db.sync_and_wait().txid == txid
        source = image(application)
    application.close()
    history = History(directory / "replica", source)
    header = make_header(1, DAMAGED, commit=history.header(DAMAGED).commit, page_size=4096)
    pages = {pgno: data for pgno, data in history.pages_before(DAMAGED + 1).items() if pgno <= header.commit}
    for path in (history.path(1, 1, DAMAGED), history.path(SNAPSHOT_LEVEL, 1, DAMAGED)):
        path.parent.mkdir()
        path.write_bytes(make_file(header, pages))
    return history


@pytest.fixture
def history(sound: History, tmp_path: Path) -> History:
    """A copy to be damaged."""
    shutil.copytree(sound.directory, tmp_path / "replica")
    return replace(sound, directory=tmp_path / "replica")


def test_a_sound_replica_has_no_problems(history: History) -> None:
    findings = history.findings
    assert findings.problems() == []
    assert (findings.txids, findings.files) == (TXIDS, TXIDS + 2)
    assert (findings.restorable, findings.consistent) == (TXIDS, TXIDS)


@pytest.mark.interop
def test_whole_restores_are_compared_too(history: History) -> None:
    client, place = FileReplicaClient(history.directory), FileReplica(history.directory)
    assert check_replica(client, history.source, place=place).problems() == []
    with history.rewritten(history.path(SNAPSHOT_LEVEL, 1, DAMAGED)) as (_, pages):
        pages[1] = pages[1][:200] + b"damage" + pages[1][206:]
    assert check_replica(client, history.source, place=place).bad_restores > 0


def test_a_missing_file_is_a_gap_and_its_txid_cannot_be_restored(history: History) -> None:
    history.level_0(3).unlink()
    findings = history.findings
    assert findings.gaps == 1
    assert findings.restorable == TXIDS - (DAMAGED - 3), "the file of level 1 leads on"
    history.path(1, 1, DAMAGED).unlink()
    history.path(SNAPSHOT_LEVEL, 1, DAMAGED).unlink()
    findings = history.findings
    assert findings.restorable == 2
    assert not findings.end_equal
    assert findings.lost_rows > 0


def test_a_missing_end_is_noticed(history: History) -> None:
    history.level_0(TXIDS).unlink()
    findings = history.findings
    assert findings.problems() == ["the end differs from the source", f"{COMMITS} rows of the log are lost"]


def test_a_flipped_bit_breaks_a_file(history: History) -> None:
    for path in (history.level_0(TXIDS - 1), history.path(SNAPSHOT_LEVEL, 1, DAMAGED)):
        data = bytearray(path.read_bytes())
        data[-300] ^= 1
        path.write_bytes(data)
    assert history.findings.broken == 2


def test_a_file_under_another_name_is_broken(history: History) -> None:
    shutil.copy(history.level_0(DAMAGED), history.level_0(DAMAGED + 1))
    assert history.findings.broken == 1


def test_a_page_of_the_last_txid_in_place_of_the_new_one_is_noticed(history: History) -> None:
    before = history.pages_before(DAMAGED)
    with history.rewritten(history.level_0(DAMAGED)) as (_, pages):
        changed = [pgno for pgno, data in pages.items() if pgno in before and data != before[pgno]]
        pages[changed[-1]] = before[changed[-1]]
    assert history.findings.consistent < TXIDS


def _differ_in_both_halves(page: bytes, other: bytes) -> bool:
    return page[:2048] != other[:2048] and page[2048:] != other[2048:]


def test_a_torn_page_is_noticed(history: History) -> None:
    before = history.pages_before(DAMAGED)
    with history.rewritten(history.level_0(DAMAGED)) as (_, pages):
        changed = [pgno for pgno in pages if pgno in before and _differ_in_both_halves(before[pgno], pages[pgno])]
        pages[changed[-1]] = before[changed[-1]][:2048] + pages[changed[-1]][2048:]
    assert history.findings.consistent < TXIDS


def test_a_page_that_was_left_out_is_noticed(history: History) -> None:
    with history.rewritten(history.level_0(DAMAGED)) as (_, pages):
        new = set(pages) - set(history.pages_before(DAMAGED))
        del pages[max(new)]
    findings = history.findings
    assert findings.consistent < TXIDS
    assert findings.wrong == 2, "the higher levels have it"


def test_a_state_that_goes_back_is_not_consistent(history: History) -> None:
    before = history.pages_before(DAMAGED)
    with history.rewritten(history.level_0(DAMAGED + 1)) as (_, pages):
        pages.update(before)
    assert history.findings.consistent < TXIDS


def test_files_of_all_pages_are_oversized(history: History) -> None:
    before = history.findings.oversized
    for txid in range(2, 5):
        everything = history.pages_before(txid)
        with history.rewritten(history.level_0(txid)) as (header, pages):
            changed = dict(pages)
            pages.update({pgno: data for pgno, data in everything.items() if pgno <= header.commit})
            pages.update(changed)
    findings = history.findings
    assert findings.oversized == before + 3
    assert findings.problems() == [f"{before + 3} of {TXIDS} level-0 files are oversized"]


def test_files_of_higher_levels_that_lack_a_page_or_hold_an_old_one_are_wrong(history: History) -> None:
    with history.rewritten(history.path(1, 1, DAMAGED)) as (_, pages):
        pages[max(pages)] = bytes(4096)
    with history.rewritten(history.path(SNAPSHOT_LEVEL, 1, DAMAGED)) as (_, pages):
        pages[1] = history.pages_before(2)[1]
    assert history.findings.wrong == 2


def test_rows_that_are_lost_from_the_newest_state_are_counted(history: History, tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    path.write_bytes(history.source)
    application = apsw.Connection(str(path))
    for _ in range(3):
        commit(application, 2, seed=5)
    findings = replace(history, source=image(application)).findings
    application.close()
    assert not findings.end_equal
    assert findings.lost_rows == 3


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM log WHERE id = 7",
        "UPDATE counter SET value = value - 1",
        "UPDATE log SET mark = mark + 1 WHERE id = 9",
        "DELETE FROM entry WHERE id = (SELECT min(id) FROM entry)",
        "UPDATE entry SET body = body || 'x' WHERE id = (SELECT max(id) FROM entry)",
        "DELETE FROM ballast WHERE rowid = 1",
    ],
)
def test_a_database_that_no_commit_left_so_is_noticed(history: History, tmp_path: Path, damage: str) -> None:
    assert look(history.source).wrong == ""
    path = tmp_path / "source.db"
    path.write_bytes(history.source)
    application = apsw.Connection(str(path))
    application.execute(damage)
    state = look(image(application))
    application.close()
    assert state.wrong
    assert state.missing_rows == ("DELETE FROM log" in damage)


def test_a_killed_writer_goes_on_where_the_database_is(tmp_path: Path) -> None:
    database = tmp_path / "app.db"
    prepare(database, 2)
    writer = CrashWriter(database, 2, seed=3)
    application = apsw.Connection(str(database))
    try:
        for life in range(1, 4):
            writer.start()
            reached = application.execute("SELECT value FROM counter").get
            wait_until(lambda reached=reached: writer.acknowledged > reached + 5, "commits", timeout_s=20)  # type: ignore[misc]
            writer.kill()
            state = look(image(application))
            assert (state.wrong, state.commit >= writer.acknowledged > 5 * life) == ("", True)
    finally:
        writer.kill()
        application.close()


SOUND = CrashReport(
    title="planted",
    seed=1,
    rounds=3,
    seconds=4.0,
    commits=200,
    forgotten=0,
    checkpoints=5,
    failed_requests=0,
    stalled=0,
    failed_ends=0,
    findings=Findings(txids=20, restorable=20, consistent=20, files=22, level_0=20, oversized=2, end_equal=True),
)


@pytest.mark.parametrize(
    "planted", [replace(SOUND, forgotten=1), replace(SOUND, stalled=1), replace(SOUND, failed_ends=1)]
)
def test_what_the_replicator_or_the_source_went_through_counts_too(planted: CrashReport) -> None:
    assert SOUND.problems() == []
    assert len(planted.problems()) == 1
    with pytest.raises(AssertionError, match="seed 1"):
        planted.check()
