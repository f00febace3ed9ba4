"""Validation finds every planted damage, and nothing in what writers leave: ours, over days, and the real program's.

Bugs planted to try these tests: files compared with the one before instead of the furthest, a gap at a level's begin
passed over, a level's begin taken for a gap, snapshots compared with one another, a gap bridged by a snapshot that
ends too early, one look instead of two.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import pytest

from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.wrapper import WrapperClient
from replication.compaction_levels import CompactionLevel
from replication.errors import CompactionTooEarlyError, NoCompactionError
from replication.levels import LEVELS
from replication.ltx.file_info import FileInfo
from replication.ltx.name import parse_ltx_name
from replication.position import NO_TXID, TXID
from replication.replica import Replica
from replication.retention import RetentionPolicy
from replication.upkeep import Upkeep
from replication.validation import (
    Finding,
    FindingKind,
    report_findings,
    validate_level,
    validate_levels,
    validate_replica,
)
from tests.support.golden import GOLDEN
from tests.support.litestream_program import FileReplica, LitestreamProgram, Settings
from tests.support.local_database import LocalStandIn
from tests.support.waiting import wait_until

TIMEOUT_S = 20.0
Names = list[tuple[int, int]]


def infos(level: int, names: Sequence[tuple[int, int]]) -> list[FileInfo]:
    return [FileInfo(level=level, min_txid=TXID(low), max_txid=TXID(high)) for low, high in names]


def replica(**levels: Names) -> dict[int, list[FileInfo]]:
    """A listing: `replica(l0=[(6, 6)], l9=[(1, 5)])`."""
    return {int(name[1:]): infos(int(name[1:]), names) for name, names in levels.items()}


def short(findings: Sequence[Finding]) -> list[tuple[str, int, tuple[int, int] | None, tuple[int, int]]]:
    return [
        (
            finding.kind.value,
            finding.level,
            None if finding.before is None else (finding.before.min_txid, finding.before.max_txid),
            (finding.file.min_txid, finding.file.max_txid),
        )
        for finding in findings
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        ([(4, 9)], []),
        ([(4, 9), (10, 10), (11, 20)], []),
        ([(1, 5), (7, 9)], [("gap", 1, (1, 5), (7, 9))]),
        ([(1, 5), (5, 9)], [("overlap", 1, (1, 5), (5, 9))]),
        # What lies within another file hides no gap, and makes none.
        ([(1, 9), (3, 4), (10, 12)], [("overlap", 1, (1, 9), (3, 4))]),
        ([(1, 9), (3, 4), (5, 12)], [("overlap", 1, (1, 9), (3, 4)), ("overlap", 1, (1, 9), (5, 12))]),
        ([(1, 5), (1, 5), (6, 6)], [("duplicate", 1, (1, 5), (1, 5))]),
        ([(6, 6), (1, 5), (7, 7)], [("out of order", 1, (6, 6), (1, 5))]),
        ([(8, 8), (1, 5)], [("out of order", 1, (8, 8), (1, 5)), ("gap", 1, (1, 5), (8, 8))]),
        ([(1, 5), (1, 3)], [("out of order", 1, (1, 5), (1, 3)), ("overlap", 1, (1, 3), (1, 5))]),
    ],
)
def test_a_level_is_a_chain(names: Names, expected: list[object]) -> None:
    assert short(validate_level(1, infos(1, names))) == expected


def test_snapshots_overlap_by_their_nature_and_hold_nothing_else() -> None:
    assert validate_level(9, infos(9, [(1, 5), (1, 9), (1, 30)])) == ()
    assert short(validate_level(9, infos(9, [(1, 9), (1, 5), (1, 9), (3, 9)]))) == [
        ("out of order", 9, (1, 9), (1, 5)),
        ("duplicate", 9, (1, 9), (1, 9)),
        ("gap", 9, None, (3, 9)),
    ]


@pytest.mark.parametrize(
    "levels",
    [
        replica(),
        replica(l0=[(1, 1)]),
        replica(l0=[(1, 1), (2, 2), (3, 3)], l1=[(2, 3)], l9=[(1, 1)]),
        replica(l0=[(9, 9)], l1=[(2, 5), (6, 9)], l2=[(2, 5)], l9=[(1, 1)]),
        replica(l0=[(1, 1), (2, 2)], l1=[(1, 2)], l2=[(1, 2)]),  # as the real program begins
        replica(l0=[(90, 90)], l1=[(70, 80), (81, 89)], l2=[(2, 75)], l9=[(1, 1)]),
        replica(l1=[(40, 60), (61, 90)], l2=[(30, 60)], l9=[(1, 50), (1, 70)]),
        replica(l9=[(1, 50)]),
    ],
)
def test_what_writers_leave_is_right(levels: dict[int, list[FileInfo]]) -> None:
    assert validate_levels(levels) == ()


def test_a_level_that_begins_where_nothing_leads_is_found() -> None:
    found = validate_levels(replica(l0=[(8, 8)], l1=[(2, 5)], l9=[(1, 1)]))
    assert short(found) == [("gap", 0, None, (8, 8))]
    assert str(found[0]) == (
        "level 0 begins with 0000000000000008-0000000000000008.ltx, and no files lead to TXID 0000000000000007"
    )
    assert short(validate_levels(replica(l1=[(2, 5)]))) == [("gap", 1, None, (2, 5))]


@pytest.mark.parametrize(
    ("others", "bridge"),
    [
        ({"l9": [(1, 1), (1, 7)]}, [(9, 1, 7)]),
        ({"l9": [(1, 1), (1, 30)]}, [(9, 1, 30)]),
        ({"l9": [(1, 1)], "l1": [(2, 7)]}, [(1, 2, 7)]),
        ({"l9": [(1, 1)], "l1": [(2, 5), (6, 6)], "l2": [(2, 5), (6, 9)]}, [(2, 6, 9)]),
        ({"l9": [(1, 1), (1, 6)], "l1": [(7, 7)]}, [(9, 1, 6), (1, 7, 7)]),
        ({"l9": [(1, 1), (1, 6)]}, []),  # a snapshot that ends too early
        ({"l9": [(1, 1), (2, 7)]}, []),  # no snapshot
        ({"l9": [(1, 1)], "l1": [(2, 5)], "l2": [(7, 7)]}, []),
    ],
)
def test_a_gap_says_what_leads_over_it(others: dict[str, Names], bridge: list[tuple[int, int, int]]) -> None:
    found = validate_levels(replica(l0=[(1, 1), (2, 5), (8, 8), (9, 9)], **others))
    gaps = [finding for finding in found if (finding.kind, finding.level) == (FindingKind.GAP, 0)]
    assert short(gaps) == [("gap", 0, (2, 5), (8, 8))]
    assert [(info.level, info.min_txid, info.max_txid) for info in gaps[0].bridge] == bridge
    assert gaps[0].is_bridged is bool(bridge)


def test_findings_are_sentences_and_those_that_harm_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "litestream.replication")
    levels = replica(l1=[(2, 3), (5, 5), (5, 6), (5, 6), (9, 9)], l9=[(1, 4), (2, 8)])
    levels[1].reverse()
    report_findings(validate_levels(levels), "app.db", logging.getLogger("litestream.replication"))
    told = [f"{record.levelname} {record.getMessage().replace('0' * 14, '')}" for record in caplog.records]
    follows, over = "expected a file that starts at TXID", "01-04.ltx of level 9 leads over it"
    assert told == [
        "WARNING app.db: level 1 is out of order: expected 05-06.ltx before 09-09.ltx",
        "WARNING app.db: level 1 is out of order: expected 05-05.ltx before 05-06.ltx",
        "WARNING app.db: level 1 is out of order: expected 02-03.ltx before 05-05.ltx",
        f"INFO app.db: level 1 has a gap: {follows} 04 after 02-03.ltx, got 05-05.ltx; {over}",
        f"WARNING app.db: level 1 has an overlap: {follows} 06 after 05-05.ltx, got 05-06.ltx",
        "WARNING app.db: level 1 has a duplicate: 05-06.ltx is listed twice",
        f"WARNING app.db: level 1 has a gap: {follows} 07 after 05-06.ltx, got 09-09.ltx; no other files lead over it",
        "WARNING app.db: level 9 has a file that is no snapshot: expected one that starts at TXID 01, got 02-08.ltx",
    ]


class Moving(WrapperClient):
    """A replica in which files are merged and deleted between the listings of two levels."""

    def __init__(self, looks: list[dict[int, list[FileInfo]]]) -> None:
        super().__init__(MemoryReplicaClient())
        self._looks = looks
        self.levels: list[int] = []

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        del seek, use_metadata
        look = self._looks[min(len(self.levels) // len(LEVELS), len(self._looks) - 1)]
        self.levels.append(level)
        return iter(look.get(level, []))


def test_what_only_one_of_two_listings_shows_is_not_told() -> None:
    whole = replica(l0=[(1, 1), (2, 2), (3, 3)])
    passing, lasting = replica(l0=[(1, 1), (3, 3)]), replica(l0=[(1, 1), (3, 3), (5, 5)])
    client = Moving([passing, whole])
    assert validate_replica(client) == ()
    assert client.levels == [*LEVELS, *LEVELS]  # from 0 up, as data moves
    for looks in ([lasting, passing], [passing, lasting]):
        assert short(validate_replica(Moving(looks))) == [("gap", 0, (1, 1), (3, 3))]
    healed = {**passing, **replica(l9=[(1, 2)])}
    assert [finding.is_bridged for finding in validate_replica(Moving([passing, healed]))] == [True]


def test_a_replica_that_is_right_costs_one_listing_of_each_level() -> None:
    client = Moving([replica(l0=[(1, 1)])])
    assert validate_replica(client) == ()
    assert client.levels == [*LEVELS]


@pytest.mark.parametrize("directory", sorted({path.relative_to(GOLDEN).parts[0] for path in GOLDEN.rglob("*.ltx")}))
def test_the_golden_replicas_are_right(directory: str) -> None:
    levels: dict[int, list[FileInfo]] = {}
    for path in sorted((GOLDEN / directory).rglob("*.ltx")):
        name, level = parse_ltx_name(path.name), int(path.parent.name)
        assert name is not None
        levels.setdefault(level, []).extend(infos(level, [(name.min_txid, name.max_txid)]))
    assert validate_levels(levels) == ()


class Kept:
    """A database that is replicated, compacted and cleaned up by us, on a clock that the test moves."""

    levels = (CompactionLevel(1, 30), CompactionLevel(2, 300), CompactionLevel(3, 3_600), CompactionLevel(9, 86_400))

    def __init__(self, db: LocalStandIn) -> None:
        self.db = db
        self.client = MemoryReplicaClient()
        self.replica = Replica(db, self.client, clock=db.primary.clock)
        self.upkeep = Upkeep(self.replica, clock=db.primary.clock)

    def write(self) -> None:
        txid = self.db.pos().txid
        self.db.commit("CREATE TABLE item (id INTEGER PRIMARY KEY)" if not txid else "INSERT INTO item VALUES (NULL)")
        self.replica.sync()

    def keep(self) -> None:
        for level in self.levels:
            try:
                self.upkeep.compact(level)
            except (NoCompactionError, CompactionTooEarlyError):
                continue
        policy = RetentionPolicy()
        self.upkeep.enforce_level_0_retention(policy)
        self.upkeep.enforce_snapshot_retention(policy)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with LocalStandIn(tmp_path) as db:
        yield Kept(db)


def test_days_of_our_compactions_and_deletions_leave_nothing_to_find_and_planted_damage_is_found(kept: Kept) -> None:
    chance = random.Random(5)  # noqa: S311 - a schedule
    for _ in range(150):
        for _ in range(chance.randint(1, 3)):
            kept.write()
        kept.db.primary.clock.advance(chance.choice([5, 40, 400, 4_000, 9_000]))
        kept.keep()
        assert validate_replica(kept.client) == ()
    assert len(list(kept.client.ltx_files(9))) > 1
    middle = [info for level in range(4) for info in list(kept.client.ltx_files(level))[1:-1]]
    assert len(middle) > 20
    for info in middle:
        reader = kept.client.open_ltx_file(info.level, info.min_txid, info.max_txid)
        kept.client.delete_ltx_files([info])
        found = [finding for finding in validate_replica(kept.client) if finding.before is not None]
        assert [(finding.kind, finding.level) for finding in found] == [(FindingKind.GAP, info.level)]
        assert found[0].before is not None
        assert (found[0].before.max_txid + 1, found[0].file.min_txid - 1) == (info.min_txid, info.max_txid)
        with reader:
            kept.client.write_ltx_file(info.level, info.min_txid, info.max_txid, reader)
    assert validate_replica(kept.client) == ()


def test_a_gap_that_we_healed_by_a_snapshot_is_told_as_one_that_does_no_harm(kept: Kept) -> None:
    for _ in range(3):
        kept.write()
    kept.db.primary.clock.advance(60)
    kept.keep()
    kept.db.commit("INSERT INTO item VALUES (NULL)")
    kept.db.commit("INSERT INTO item VALUES (NULL)")
    kept.db.ltx_path(0, TXID(4), TXID(4)).unlink()
    kept.replica.sync()
    kept.write()
    kept.db.primary.clock.advance(60)
    kept.keep()
    found = validate_replica(kept.client)
    assert short(found) == [("gap", 0, (3, 3), (5, 5)), ("gap", 1, (2, 3), (5, 6))]
    assert all([(info.level, info.max_txid) for info in finding.bridge] == [(9, 5)] for finding in found)


@pytest.mark.interop
def test_nothing_is_found_in_a_replica_at_any_time_while_the_real_program_writes_it(tmp_path: Path) -> None:
    place = FileReplica(tmp_path / "replica")
    settings = Settings(
        levels=("100ms", "300ms"),
        l0_retention="200ms",
        l0_retention_check_interval="50ms",
        snapshot_interval="500ms",
        snapshot_retention="1s",
        monitor_interval="10ms",
        sync_interval="10ms",
    )
    connection = apsw.Connection(str(tmp_path / "app.db"))
    connection.set_busy_timeout(10_000)
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, body)")
    client = FileReplicaClient(place.path)
    looks = 0

    def deleted() -> bool:
        """Write and look, until snapshots and what lay before them have been deleted."""
        nonlocal looks
        connection.execute("INSERT INTO log VALUES (NULL, randomblob(300))")
        assert validate_replica(client) == ()
        looks += 1
        snapshots, level_2 = list(client.ltx_files(9)), list(client.ltx_files(2))
        return bool(snapshots and level_2) and snapshots[0].max_txid > 1 and level_2[0].min_txid > 1

    with LitestreamProgram(tmp_path / "run", tmp_path / "app.db", place, settings):
        wait_until(deleted, "deletions", timeout_s=TIMEOUT_S, pause_s=0.005)
    connection.close()
    assert validate_replica(client) == ()
    assert looks > 20
    longest = max((list(client.ltx_files(level)) for level in (0, 1, 2)), key=len)
    client.delete_ltx_files(longest[1:2])
    expected = ("gap", longest[0].level, *[(info.min_txid, info.max_txid) for info in longest[:3:2]])
    assert short(validate_replica(client)) == [expected]
