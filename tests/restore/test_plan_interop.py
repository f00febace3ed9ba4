"""Plans beside the real program's: `litestream restore -dry-run` prints its plan and reads no file.

Method: directories of empty files with random names and times (gaps, overlaps, missing levels), and a replica that
the program wrote itself; every plan or refusal must be the same.
"""

import json
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from replication.client.wrapper import WrapperClient
from replication.errors import LitestreamError
from replication.position import TXID
from replication.restore.points import restore_points
from replication.restore.source import calc_restore_plan, list_levels
from tests.support.litestream_program import FileReplica, LitestreamProgram, ProgramError, restore, run

pytestmark = pytest.mark.interop

START = datetime(2026, 1, 1, tzinfo=UTC)
Plan = list[tuple[int, int, int]] | None


class UploadTimesClient(WrapperClient):
    """Says that its times are those of the upload, so that headers are asked."""

    def __init__(self, inner: ReplicaClient) -> None:
        super().__init__(inner)
        vars(self).update(accurate_list_times=False)


def make_replica(root: Path, chance: random.Random) -> FileReplica:
    """Write empty files of random names; times rise with the TXIDs within a level."""
    for level in chance.sample([0, 1, 2, 3, 9], chance.randint(1, 5)):
        directory = root / "ltx" / str(level)
        directory.mkdir(parents=True)
        for _ in range(chance.randint(1, 9)):
            start = 1 if level == 9 or chance.random() < 0.2 else chance.randint(1, 12)
            end = start + chance.choice([0, 0, 1, 3, 6])
            path = directory / f"{start:016x}-{end:016x}.ltx"
            path.touch()
            created_at = START + timedelta(minutes=end + (level > 0 and chance.random()))
            os.utime(path, (created_at.timestamp(), created_at.timestamp()))
    return FileReplica(root)


def program_plan(replica: FileReplica, txid: int | None = None, timestamp: datetime | None = None) -> Plan:
    target = ["-txid", f"{txid:016x}"] if txid else []
    if timestamp is not None:
        target += ["-timestamp", timestamp.isoformat().replace("+00:00", "Z")]
    try:
        told = run("restore", "-dry-run", "-json", *target, "-o", replica.path / "restored", replica.url)
    except ProgramError:
        return None
    files = json.loads(told)["files"]
    return [(file["level"], int(file["min_txid"], 16), int(file["max_txid"], 16)) for file in files]


def our_plan(client: ReplicaClient, txid: int | None = None, timestamp: datetime | None = None) -> Plan:
    try:
        plan = calc_restore_plan(client, TXID(txid) if txid else None, timestamp)
    except LitestreamError:
        return None
    return [(info.level, info.min_txid, info.max_txid) for info in plan]


@pytest.mark.parametrize("seed", range(24))
def test_any_listing_is_planned_as_the_program_plans_it(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a listing, not a secret
    replica = make_replica(tmp_path, chance)
    client = FileReplicaClient(replica.path)
    infos = [info for level in list_levels(client).values() for info in level]

    assert our_plan(client) == program_plan(replica)
    for info in chance.sample(infos, min(3, len(infos))):
        for txid in (info.max_txid, info.min_txid):
            assert our_plan(client, txid) == program_plan(replica, txid)
        for instant in (info.created_at, info.created_at + timedelta(milliseconds=1)):
            # Beyond the newest time the program refuses, where we give the newest state.
            if instant <= max(info.created_at for info in infos):
                assert our_plan(client, None, instant) == program_plan(replica, None, instant)


def test_a_replica_of_the_program_offers_the_points_and_instants_the_program_restores(tmp_path: Path) -> None:
    database, replica = tmp_path / "app.db", FileReplica(tmp_path / "replica")
    program = LitestreamProgram(tmp_path / "run", database, replica)
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY)")
    for commit in range(1, 7):
        connection.execute("INSERT INTO log VALUES (?)", (commit,))
        program.once(*(["-force-snapshot"] if commit == 4 else []))
    connection.close()

    client = FileReplicaClient(replica.path)
    listing = list_levels(client)
    points = restore_points(listing)
    assert len(points) >= 6
    for point in points:
        assert our_plan(client, point.txid) == program_plan(replica, point.txid) != None  # noqa: E711 - a chain
        for instant in (point.time, point.time + timedelta(milliseconds=1)):
            expected = program_plan(replica, None, instant) if instant <= points[-1].time else None
            if expected:
                assert our_plan(client, None, instant) == our_plan(UploadTimesClient(client), None, instant) == expected
    with pytest.raises(ProgramError):
        restore(replica, tmp_path / "none.db", txid=points[-1].txid + 1)
    assert our_plan(client, points[-1].txid + 1) is None

    restored = tmp_path / "restored.db"
    restore(replica, restored, timestamp=points[3].time)
    seen = apsw.Connection(str(restored)).execute("SELECT max(id) FROM log").get
    plan = our_plan(client, None, points[3].time)
    assert plan is not None
    assert (seen, plan[-1][2]) == (3, points[2].txid)
