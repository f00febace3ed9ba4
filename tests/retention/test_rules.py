"""What may be deleted: listings in, files out; and that nothing which should be restorable is lost by it.

Method: single rules by example, then random histories of a replica (commits, compactions by ours and by the real
program's rules, snapshots, pauses, retention); after each retention its promises are checked by planning restores.
Bugs planted to try these tests: level 0 deleted by time only, the last snapshot deleted when it is old, the base of the
time kept deleted with the old snapshots, levels deleted up to the first snapshot kept, a level emptied.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.client.memory import MemoryReplicaClient
from replication.compaction_plan import plan_compaction
from replication.errors import NoCompactionError
from replication.levels import LEVELS, SNAPSHOT_LEVEL
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from replication.restore.plan import plan_restore
from replication.restore.points import restore_points
from replication.restore.source import list_levels
from replication.retention import (
    RetentionPolicy,
    below_floor,
    enforce_level_0_retention,
    enforce_local_retention,
    enforce_snapshot_retention,
    expired_level_0,
    expired_local,
    expired_snapshots,
)
from tests.support.faulty_client import FaultyClient
from tests.support.local_database import LocalStandIn, local_names
from tests.support.ltx_files import make_file, make_header
from tests.support.primary import FIRST

Ranges = Sequence[tuple[int, int]]


def at(minutes: float) -> datetime:
    return FIRST + timedelta(minutes=minutes)


def listing(level: int, files: Ranges) -> list[FileInfo]:
    """Files whose time in minutes is the TXID they end at."""
    return [
        FileInfo(level=level, min_txid=TXID(first), max_txid=TXID(last), size=100, created_at=at(last))
        for first, last in files
    ]


def ends(files: Sequence[FileInfo]) -> list[int]:
    return [info.max_txid for info in files]


def singles(first: int, last: int) -> list[tuple[int, int]]:
    return [(txid, txid) for txid in range(first, last + 1)]


def level_0(files: Ranges, level_1: Ranges, snapshots: Ranges = (), before: float = 1000) -> list[int]:
    return ends(
        expired_level_0(
            listing(0, files), level_1=listing(1, level_1), snapshots=listing(9, snapshots), before=at(before)
        )
    )


def test_level_0_loses_what_is_old_and_held_by_level_1() -> None:
    assert level_0(singles(2, 9), [(2, 5), (6, 7)]) == [2, 3, 4, 5, 6, 7]
    assert level_0(singles(2, 9), [(2, 5), (6, 7)], before=5) == [2, 3, 4, 5]


def test_level_0_keeps_all_parts_of_a_level_1_file_until_the_last_is_old() -> None:
    assert level_0(singles(2, 9), [(2, 5), (6, 7)], before=6) == [2, 3, 4, 5]
    assert level_0(singles(2, 9), [(2, 5), (6, 7)], before=4) == []


def test_level_0_keeps_its_newest_file() -> None:
    assert level_0(singles(2, 9), [(2, 9)]) == [2, 3, 4, 5, 6, 7, 8]
    assert level_0(singles(9, 9), [(2, 9)]) == []
    assert level_0([], [(2, 9)]) == []


def test_level_0_loses_the_first_file_only_when_a_snapshot_holds_it() -> None:
    assert level_0(singles(1, 5), [(2, 4)]) == []
    assert level_0(singles(1, 5), [(2, 4)], [(1, 1)]) == [1, 2, 3, 4]
    assert level_0(singles(1, 5), [(1, 4)]) == [1, 2, 3, 4]


def test_level_0_keeps_what_lies_in_a_gap_of_level_1_and_all_after_it() -> None:
    assert level_0(singles(2, 9), [(2, 3), (5, 8)]) == [2, 3]


def test_level_0_loses_nothing_to_an_empty_level_1_whatever_snapshots_hold() -> None:
    assert level_0(singles(1, 9), [], [(1, 9)]) == []


def test_old_snapshots_go_but_the_one_that_the_time_kept_starts_from() -> None:
    snapshots = listing(9, [(1, 10), (1, 20), (1, 30), (1, 40)])
    expired = expired_snapshots(snapshots, before=at(35))
    assert (ends(expired.files), expired.floor) == ([10, 20], 20)
    assert expired_snapshots(snapshots, before=at(20)).files == ()


@pytest.mark.parametrize("count", range(4))
def test_the_last_snapshot_stays_however_old_it_is(count: int) -> None:
    snapshots = listing(9, [(1, 10 * n) for n in range(1, count + 1)])
    expired = expired_snapshots(snapshots, before=at(9999))
    assert ends(expired.files) == [10 * n for n in range(1, count)]
    assert expired.floor == max(10 * (count - 1), 0)


def test_levels_lose_what_ends_before_the_floor_and_keep_their_last_file() -> None:
    level = listing(2, [(2, 5), (6, 9), (10, 14)])
    assert ends(below_floor(level, TXID(9))) == [5]
    assert ends(below_floor(level, TXID(10))) == [5, 9]
    assert ends(below_floor(level, TXID(99))) == [5, 9]
    assert below_floor(level, TXID(0)) == ()


def test_local_files_go_when_no_replica_needs_them_but_the_newest() -> None:
    files = listing(0, singles(1, 6))
    assert ends(expired_local(files, held=TXID(4), before=at(99))) == [1, 2, 3, 4]
    assert ends(expired_local(files, held=TXID(4), before=at(2))) == [1, 2]
    assert ends(expired_local(files, held=TXID(99), before=at(99))) == [1, 2, 3, 4, 5]


class Replica:
    """A replica in memory of which only names and times matter, that grows as ours and the real program's do."""

    def __init__(self) -> None:
        self.client = MemoryReplicaClient()
        self.txid = 0
        self.minute = 0.0
        self.put(0, 1, 1)
        self.txid = 1

    def put(self, level: int, first: int, last: int, minute: float | None = None) -> None:
        created_at = at(self.minute if minute is None else minute)
        pages = {1: bytes(512)}
        header = replace(make_header(first, last, commit=1), timestamp_ms=int(created_at.timestamp() * 1000))
        self.client.write_ltx_file(level, TXID(first), TXID(last), io.BytesIO(make_file(header, pages)))

    def commit(self) -> None:
        self.minute += 1
        self.txid += 1
        self.put(0, self.txid, self.txid)

    def compact(self, level: int, *, like_the_program: bool) -> None:
        position = max(ends(list(self.client.ltx_files(level))), default=0)
        source = list(self.client.ltx_files(level - 1))
        if like_the_program:
            files = [info for info in source if info.min_txid > position]
            if files:
                self.put(level, files[0].min_txid, files[-1].max_txid, self.age(files[-1]))
            return
        snapshots = list(self.client.ltx_files(9))
        try:
            plan = plan_compaction(level, position=TXID(position), source=source, snapshots=snapshots)
        except NoCompactionError:
            return
        if plan.snapshot:
            self.put(9, 1, plan.snapshot.max_txid, self.age(plan.snapshot))
        if plan.inputs:
            self.put(level, plan.inputs[0].min_txid, plan.inputs[-1].max_txid, self.age(plan.inputs[-1]))

    def age(self, info: FileInfo) -> float:
        return (info.created_at - FIRST).total_seconds() / 60

    def take(self, step: str) -> None:
        if step == "commit":
            self.commit()
        elif step == "snapshot":
            self.put(9, 1, self.txid)
        elif step.startswith("wait"):
            self.minute += float(step.split()[1])
        else:
            self.compact(int(step[-1]), like_the_program=step.startswith("program"))


STEPS = st.lists(
    st.sampled_from(
        ["commit"] * 6
        + ["snapshot", "wait 10", "wait 60"]
        + [f"{who} {level}" for who in ("ours", "program") for level in (1, 1, 2, 3)]
    ),
    max_size=60,
)


def retain(replica: Replica, policy: RetentionPolicy) -> None:
    """Run retention and check what it promises."""
    client = replica.client
    before, points = list_levels(client), restore_points(list_levels(client))
    now = at(replica.minute)
    deleted = enforce_snapshot_retention(client, policy, now) + enforce_level_0_retention(client, policy, now)
    after = list_levels(client)

    assert {info for infos in before.values() for info in infos} - set(deleted) == {
        info for infos in after.values() for info in infos
    }
    assert plan_restore(after)[-1].max_txid == points[-1].txid, "the newest state"
    left = {point.txid for point in restore_points(after)}
    first = min((info.max_txid for info in after[SNAPSHOT_LEVEL]), default=TXID(1))
    ending = {info.max_txid for infos in after.values() for info in infos if info.max_txid >= first}
    assert ending <= left, "what the files that are left end at"
    lately = [point.txid for point in points if point.time > now - timedelta(seconds=policy.l0_retention_s)]
    assert left >= set(lately), "every TXID of the last minutes"
    kept_from = now - timedelta(seconds=policy.snapshot_retention_s)
    coarse = {info.max_txid for level in LEVELS[1:] for info in before[level] if info.created_at >= kept_from}
    assert left >= coarse & {point.txid for point in points}, "what the levels hold of the time that is kept"
    for level in LEVELS:
        kept = list(after[level])
        assert kept == list(before[level][len(before[level]) - len(kept) :]), "no gap is made"
        assert bool(kept) == bool(before[level]), "no level is emptied"


@given(st.lists(STEPS, min_size=1, max_size=4), st.sampled_from([0, 5]), st.sampled_from([30, 120]))
def test_whatever_the_history_retention_keeps_its_promises(
    histories: list[list[str]], l0_minutes: int, snapshot_minutes: int
) -> None:
    replica = Replica()
    policy = RetentionPolicy(l0_retention_s=l0_minutes * 60, snapshot_retention_s=snapshot_minutes * 60)
    for steps in histories:
        for step in steps:
            replica.take(step)
        retain(replica, policy)


@pytest.fixture
def replica() -> Replica:
    replica = Replica()
    for step in ["commit"] * 8 + ["ours 1", "commit", "wait 60"]:
        replica.take(step)
    return replica


def test_deletion_in_the_replica_can_be_left_to_others(replica: Replica) -> None:
    client = FaultyClient(replica.client)
    policy = RetentionPolicy(delete_remote=False)
    now = at(replica.minute + 9999)
    assert enforce_level_0_retention(client, policy, now) == enforce_snapshot_retention(client, policy, now) == ()
    assert client.calls == []
    assert ends(enforce_level_0_retention(client, RetentionPolicy(), now)) == list(range(1, 10))


def test_a_replica_where_nothing_is_old_costs_one_listing(replica: Replica) -> None:
    client = FaultyClient(replica.client)
    assert enforce_level_0_retention(client, RetentionPolicy(), at(1)) == ()
    assert [(call.method, call.level) for call in client.calls] == [("ltx_files", 0)]


def test_local_files_go_as_far_as_they_are_held_and_old(db: LocalStandIn) -> None:
    db.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    for number in range(1, 6):
        db.commit(f"INSERT INTO item VALUES ({number}, noise({number}, 500))")
    now = db.primary.clock.now() + timedelta(hours=1)
    policy = RetentionPolicy(delete_remote=False)  # local files go all the same
    assert enforce_local_retention(db, policy, now, held=TXID(0)) == ()
    assert ends(enforce_local_retention(db, policy, now, held=TXID(3))) == [1, 2, 3]
    assert enforce_local_retention(db, policy, db.primary.instants[5], held=TXID(9)) == ()
    assert ends(enforce_local_retention(db, policy, now, held=TXID(9))) == [4, 5]
    assert local_names(db) == [(6, 6)]
    assert db.pos().txid == 6
