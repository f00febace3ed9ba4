"""The real program beside our compaction and retention, on one replica.

Method: the program replicates a database, one TXID a step; we compact and delete; the program must restore the same
bytes as before at every TXID that is left, list what is there, and go on replicating and compacting by itself.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from replication.client.file import FileReplicaClient
from replication.compaction import compact_level
from replication.position import TXID
from replication.restore.points import restore_points
from replication.restore.source import list_levels
from replication.retention import RetentionPolicy, enforce_level_0_retention, enforce_snapshot_retention
from tests.support import litestream_program
from tests.support.history_script import register_noise
from tests.support.litestream_program import FileReplica, LitestreamProgram, Settings
from tests.support.restoring import restore_to, sha256
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interop

COMPACTING = Settings(
    levels=("100ms", "200ms"),
    l0_retention="100ms",
    l0_retention_check_interval="100ms",
    monitor_interval="20ms",
    sync_interval="20ms",
)
TIMEOUT_S = 20.0


class Source:
    """A database that the program replicates."""

    def __init__(self, directory: Path) -> None:
        self.replica = FileReplica(directory / "replica")
        self.client = FileReplicaClient(directory / "replica")
        self.program = LitestreamProgram(directory / "run", directory / "app.db", self.replica, COMPACTING)
        self.connection = apsw.Connection(str(directory / "app.db"))
        register_noise(self.connection)
        self.connection.execute("PRAGMA page_size = 512; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")
        self.connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
        self.number = 0

    def write(self) -> None:
        self.number += 1
        self.connection.execute(
            "INSERT OR REPLACE INTO item VALUES (?, noise(?, 2000))", (self.number % 9, self.number)
        )

    def replicate(self, steps: int) -> None:
        for _ in range(steps):
            self.write()
            self.program.once()

    def newest(self, level: int) -> int:
        return max((int(info.max_txid) for info in self.client.ltx_files(level)), default=0)

    def restored(self, directory: Path) -> dict[int, str]:
        """What the program restores at each TXID there is, which must be what we restore."""
        hashes: dict[int, str] = {}
        for point in restore_points(list_levels(self.client)):
            output, ours = directory / f"{point.txid}.db", directory / f"{point.txid}-ours.db"
            output.unlink(missing_ok=True)
            litestream_program.restore(self.replica, output, txid=point.txid, integrity_check="full")
            ours.unlink(missing_ok=True)
            restore_to(self.client, ours, txid=point.txid)
            hashes[point.txid] = sha256(output)
            assert sha256(ours) == hashes[point.txid]
        return hashes


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    source = Source(tmp_path)
    yield source
    source.program.stop()
    source.connection.close()


def test_the_program_restores_every_txid_after_our_compaction_and_goes_on_by_itself(
    source: Source, tmp_path: Path
) -> None:
    source.replicate(5)
    before = source.restored(tmp_path)
    first = compact_level(source.client, 1)
    source.replicate(3)
    before |= source.restored(tmp_path)
    compact_level(source.client, 1, known=first.max_txid)
    compact_level(source.client, 2)
    compact_level(source.client, 3)
    assert source.restored(tmp_path) == before
    assert [(info.min_txid, info.max_txid) for info in source.client.ltx_files(9)] == [(1, 1)]

    policy = RetentionPolicy(l0_retention_s=60)
    deleted = enforce_level_0_retention(source.client, policy, datetime.now(UTC) + timedelta(minutes=2))
    end = source.newest(0)
    assert [info.max_txid for info in deleted] == list(range(1, end))
    left = source.restored(tmp_path)
    assert left == {txid: before[txid] for txid in (1, first.max_txid, end)}
    listed = litestream_program.ltx(source.replica)
    assert {(file["level"], file["min_txid"], file["max_txid"]) for file in listed} == {
        (info.level, info.min_txid, info.max_txid) for infos in list_levels(source.client).values() for info in infos
    }

    latest = tmp_path / "latest.db"
    litestream_program.restore(source.replica, latest, integrity_check="full")
    assert sha256(latest) == before[end]

    source.program.start()
    reached = {level: source.newest(level) for level in (1, 2)}

    def program_compacted() -> bool:
        source.write()
        return all(source.newest(level) > reached[level] for level in (1, 2))

    wait_until(program_compacted, "compactions by the program after ours", timeout_s=TIMEOUT_S, pause_s=0.05)
    source.program.stop()
    for level in (1, 2):
        ranges = [(info.min_txid, info.max_txid) for info in source.client.ltx_files(level)]
        assert ranges[0][0] == 2
        assert all(after[0] == before[1] + 1 for before, after in pairwise(ranges))
    source.restored(tmp_path)
    compact_level(source.client, 1)  # and we go on after the program
    litestream_program.restore(source.replica, tmp_path / "end.db", integrity_check="full")
    seen = apsw.Connection(str(tmp_path / "end.db"))
    assert seen.execute("SELECT max(id) FROM item").get == source.connection.execute("SELECT max(id) FROM item").get
    assert list(seen.execute("SELECT * FROM item")) == list(source.connection.execute("SELECT * FROM item"))
    seen.close()


def test_the_program_takes_its_snapshots_after_ours_and_deletes_by_its_rules(source: Source, tmp_path: Path) -> None:
    source.replicate(3)
    compact_level(source.client, 1)
    source.write()
    source.program.once("-force-snapshot")
    snapshots = [(info.min_txid, info.max_txid) for info in source.client.ltx_files(9)]
    assert snapshots[0] == (1, 1)
    assert snapshots[-1] == (1, source.newest(0))
    source.replicate(2)
    compact_level(source.client, 1)
    now = datetime.now(UTC)
    assert enforce_snapshot_retention(source.client, RetentionPolicy(), now) == ()
    later = now + timedelta(days=2)
    deleted = enforce_snapshot_retention(source.client, RetentionPolicy(), later)
    assert [(info.level, info.max_txid) for info in deleted] == [(9, TXID(1))]
    source.restored(tmp_path)
    litestream_program.restore(source.replica, tmp_path / "latest.db", integrity_check="full")
