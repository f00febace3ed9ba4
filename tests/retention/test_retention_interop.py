"""What we delete beside what the real program deletes, on the same files with the same times.

Method: replicas that the program wrote (level 0, snapshots) and we compacted, with times set by hand; the rules say
what they would delete, then the program enforces its own. Ours keep two things more, on purpose: the newest of the old
snapshots with what follows it, and the parts of a level-1 file until the last of them is old.
"""

import os
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from replication.client.file import FileReplicaClient
from replication.compaction import compact_level
from replication.errors import NoCompactionError
from replication.levels import MAX_COMPACTION_LEVEL
from replication.ltx.file_info import FileInfo
from replication.ltx.name import ltx_file_path
from replication.restore.source import list_levels
from replication.retention import below_floor, expired_level_0, expired_snapshots
from tests.support.litestream_program import FileReplica, LitestreamProgram, Settings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interop

HOUR = timedelta(hours=1)
KEPT = timedelta(hours=5)
STEPS = 24
TIMEOUT_S = 20.0


class Replicated:
    """A replica of many steps, each an hour older than the next."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.replica = FileReplica(directory / "replica")
        self.client = FileReplicaClient(directory / "replica")
        self.program = LitestreamProgram(directory / "run", directory / "app.db", self.replica, settings)
        self.connection = apsw.Connection(str(directory / "app.db"))
        for sql in ("PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0", "CREATE TABLE log (id)"):
            list(self.connection.execute(sql))

    def step(self, *flags: str) -> None:
        self.connection.execute("INSERT INTO log VALUES (1)")
        self.program.once(*flags)

    def compact(self, level: int) -> None:
        try:
            compact_level(self.client, level)
        except NoCompactionError:
            return

    def age(self, now: datetime, last: int) -> None:
        """Make a file that ends at a TXID as many hours old as the TXID is before the last one."""
        for infos in list_levels(self.client).values():
            for info in infos:
                path = ltx_file_path(str(self.replica.path), info.level, info.min_txid, info.max_txid)
                then = (now - (last - info.max_txid) * HOUR - HOUR / 2).timestamp()
                os.utime(path, (then, then))


def names(files: Sequence[FileInfo]) -> set[tuple[int, int, int]]:
    return {(info.level, info.min_txid, info.max_txid) for info in files}


def present(client: FileReplicaClient) -> set[tuple[int, int, int]]:
    return {name for infos in list_levels(client).values() for name in names(infos)}


@pytest.mark.parametrize("seed", range(4))
def test_snapshots_and_levels(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a history, not a secret
    settings = Settings(snapshot_retention="5h", snapshot_interval="1000h")
    source = Replicated(tmp_path, settings)
    for _ in range(STEPS // 2):
        source.step(*(["-force-snapshot"] if chance.random() < 0.4 else []))
        for level in (1, 2, 3):
            if chance.random() < 0.5 / level:
                source.compact(level)
    last = max(info.max_txid for info in source.client.ltx_files(0))
    now = datetime.now(UTC)
    source.age(now, last)
    before, listing = present(source.client), list_levels(source.client)

    ours = expired_snapshots(listing[9], before=now - KEPT)
    old = [info for info in listing[9] if info.created_at < now - KEPT]
    base = old[-1:] if old and old[-1] is not listing[9][-1] else []
    expected = names([*ours.files, *base])
    floor = base[-1].max_txid if base else ours.floor
    for level in range(1, MAX_COMPACTION_LEVEL + 1):
        expected |= names(below_floor(listing[level], floor))
        assert names(below_floor(listing[level], ours.floor)) <= expected

    source.connection.execute("INSERT INTO log VALUES (2)")
    source.program.once("-enforce-retention")
    source.connection.close()
    assert before - present(source.client) == expected


@pytest.mark.parametrize("compacted", [0, 3, 8])
def test_level_0(tmp_path: Path, compacted: int) -> None:
    settings = Settings(l0_retention="5h", l0_retention_check_interval="100ms", levels=("1000h",))
    source = Replicated(tmp_path, settings)
    for number in range(1, STEPS // 2):
        source.step()
        if number <= compacted or number == 9:
            source.compact(1)
    if compacted == 0:
        source.client.delete_ltx_files(list(source.client.ltx_files(1))[1:])
    last = max(info.max_txid for info in source.client.ltx_files(0))
    now = datetime.now(UTC)
    source.age(now, last)
    listing = list_levels(source.client)
    ours = names(
        expired_level_0(listing[0], level_1=listing[1], snapshots=listing[9], before=now - KEPT),
    )
    held = max(info.max_txid for info in listing[1])
    theirs = names([info for info in listing[0] if info.created_at <= now - KEPT and info.max_txid <= held])
    before = present(source.client)
    with source.program:
        wait_until(lambda: theirs <= before - present(source.client), "its deletions", timeout_s=TIMEOUT_S)
    source.connection.close()
    assert {name for name in before - present(source.client) if name[0] == 0} == theirs
    assert ours <= theirs
    ends = {info.max_txid for info in listing[1]} | {1}
    assert {name for name in theirs - ours if name[2] in ends} == set(), "only parts of a file that has young parts"
