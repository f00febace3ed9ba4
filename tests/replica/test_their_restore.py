"""What the real program makes of replicas that we wrote: it restores the source at every TXID and instant.

Method: the scripted history (`tests.support.history_script`), one TXID a step, to four replicas at once: in files and
in S3, each as written, with some levels above, and each compacted, with most of level 0 deleted. The source's bytes
are recorded at each TXID.
Bugs planted to try these tests: the time of a compaction in a merged file, an older page that wins, a page left out.
"""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from replication.client.url import replica_client
from replication.clock import from_timestamp_ms
from replication.compaction import compact_level, write_snapshot
from replication.db import DB
from replication.levels import LEVELS
from replication.position import TXID
from replication.replica import Replica
from replication.restore.points import restore_points
from replication.restore.source import list_levels
from replication.retention import RetentionPolicy, enforce_level_0_retention
from tests.support.go_extension import read_through_extension
from tests.support.history import dump
from tests.support.history_script import SETUP, STEPS, register_noise
from tests.support.litestream_program import FileReplica, ReplicaPlace, S3Replica, ltx, restore
from tests.support.live_db import header_of, image, open_db
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, SECRET_ACCESS_KEY, S3Server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interop

INSTANT_COUNT = 20
RESTORES_AT_ONCE = 2
COMPACT_EVERY = {1: 7, 2: 21}  # steps, by level
CHECKPOINT_STEP, SNAPSHOT_STEP = 25, 40
# The Go extension takes a database that shrank for as long as it was before, whoever wrote its replica.
LAST_STEP = "INSERT INTO big VALUES (900, noise(900, 100000))"
FILE, S3, COMPACTED_FILE, COMPACTED_S3 = "file", "s3", "compacted file", "compacted s3"
TIMEOUT_S = 5.0


@dataclass(slots=True)
class Written:
    """The replicas, and what the source was at each TXID."""

    places: dict[str, ReplicaPlace] = field(default_factory=dict)
    clients: dict[str, ReplicaClient] = field(default_factory=dict)
    images: dict[int, bytes] = field(default_factory=dict)
    instants: dict[int, datetime] = field(default_factory=dict)
    dump: str = ""

    def available(self, name: str) -> list[int]:
        """The TXIDs that a replica can still be restored to."""
        return [point.txid for point in restore_points(list_levels(self.clients[name]))]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    directory = tmp_path_factory.mktemp("written")
    with S3Server() as server:
        written = Written()
        for name in (FILE, COMPACTED_FILE):
            written.places[name] = FileReplica(directory / name.replace(" ", "-"))
            written.clients[name] = FileReplicaClient(directory / name.replace(" ", "-"))
        for name in (S3, COMPACTED_S3):
            path = name.replace(" ", "/")
            written.places[name] = S3Replica(
                endpoint=server.endpoint,
                bucket=DEFAULT_BUCKET,
                path=path,
                access_key_id=ACCESS_KEY_ID,
                secret_access_key=SECRET_ACCESS_KEY,
            )
            written.clients[name] = replica_client(server.url(path))
        write(written, directory / "source.db")
        yield written
        for client in written.clients.values():
            client.close()


def write(written: Written, path: Path) -> None:
    """Take every step of the script, and some work on the levels between them."""
    source = apsw.Connection(str(path))
    register_noise(source)
    source.execute(f"PRAGMA page_size = 512; {SETUP}").fetchall()
    source.wal_autocheckpoint(0)
    db = open_db(path)
    db.min_checkpoint_page_n = 1_000_000  # so that each step is one TXID
    db.replicas = [Replica(db, client, monitor_enabled=False) for client in written.clients.values()]
    with db:
        for number, sql in enumerate(STEPS, 1):
            take(source, sql)
            sync(written, db, source)
            if number == CHECKPOINT_STEP:
                db.checkpoint()
                sync(written, db, source)
            for name, client in written.clients.items():
                keep_levels(client, db, number, deletes=name in {COMPACTED_FILE, COMPACTED_S3})
        # To the program an instant is one only up to the newest file, and S3 tells the times of uploads in seconds.
        last = datetime.now(UTC)
        wait_until(
            lambda: int(datetime.now(UTC).timestamp()) > last.timestamp(), "the next second", timeout_s=TIMEOUT_S
        )
        take(source, LAST_STEP)
        sync(written, db, source)
        written.dump = dump(source)
    source.close()


def take(source: apsw.Connection, sql: str) -> None:
    if "VACUUM" in sql.upper():
        source.execute(sql).fetchall()
    else:
        with source:
            source.execute(sql)


def sync(written: Written, db: DB, source: apsw.Connection) -> None:
    txid = db.sync_and_wait().txid
    assert txid == len(written.images) + 1
    written.images[txid] = image(source)
    written.instants[txid] = from_timestamp_ms(header_of(db, txid).timestamp_ms)
    # An instant lies between two steps only if they are not of the same millisecond.
    later = written.instants[txid] + timedelta(milliseconds=2)
    wait_until(lambda: datetime.now(UTC) > later, "the next instant", timeout_s=TIMEOUT_S, pause_s=0.001)


def keep_levels(client: ReplicaClient, db: DB, number: int, *, deletes: bool) -> None:
    for level, every in COMPACT_EVERY.items():
        if number % every == 0:
            compact_level(client, level)
    if number == SNAPSHOT_STEP:
        write_snapshot(client, db)
    if deletes and number % COMPACT_EVERY[1] == 0:
        later = datetime.now(UTC) + timedelta(seconds=2)  # the server rounds
        enforce_level_0_retention(client, RetentionPolicy(l0_retention_s=0), later)


def restored(place: ReplicaPlace, output: Path, *, txid: int | None = None, timestamp: datetime | None = None) -> bytes:
    restore(place, output, txid=txid, timestamp=timestamp, integrity_check="full")
    return output.read_bytes()


@pytest.mark.parametrize("name", [FILE, S3, COMPACTED_FILE, COMPACTED_S3])
def test_the_source_is_restored_at_every_txid(written: Written, tmp_path: Path, name: str) -> None:
    txids = written.available(name)
    if name in {FILE, S3}:
        assert txids == list(written.images)
    else:
        assert 5 < len(txids) < len(written.images) / 2

    def is_right(txid: int) -> bool:
        return restored(written.places[name], tmp_path / f"{txid}.db", txid=txid) == written.images[txid]

    with ThreadPoolExecutor(RESTORES_AT_ONCE) as pool:
        assert [txid for txid, right in zip(txids, pool.map(is_right, txids), strict=True) if not right] == []


@pytest.mark.parametrize("name", [FILE, S3, COMPACTED_FILE, COMPACTED_S3])
def test_the_source_is_restored_at_instants(written: Written, tmp_path: Path, name: str) -> None:
    chance = random.Random(20)  # noqa: S311 - instants, not secrets
    available = set(written.available(name))
    ends = sorted(written.instants.items())
    wanted: dict[datetime, int] = {}
    # To the program an instant is one only from the oldest file on, and to S3 a file is as old as its upload.
    oldest = min(info.created_at for level in LEVELS for info in written.clients[name].ltx_files(level))
    numbers = [number for number in range(1, len(ends) - 1) if ends[number - 1][1] >= oldest]
    for number in sorted(chance.sample(numbers, INSTANT_COUNT)):
        (_, before), (_, after) = ends[number - 1 : number + 1]
        # Strictly before: at the very instant of a step it is not there yet.
        instant = after if number % 2 else before + (after - before) * chance.uniform(0.1, 0.9)
        wanted[instant] = max(txid for txid, at in ends if at < instant and txid in available)

    def is_right(instant: datetime) -> bool:
        output = tmp_path / f"{instant.timestamp()}.db"
        return restored(written.places[name], output, timestamp=instant) == written.images[wanted[instant]]

    with ThreadPoolExecutor(RESTORES_AT_ONCE) as pool:
        rights = pool.map(is_right, wanted)
        assert [txid for txid, right in zip(wanted.values(), rights, strict=True) if not right] == []
    assert len(wanted) == INSTANT_COUNT


@pytest.mark.parametrize("name", [FILE, S3, COMPACTED_FILE, COMPACTED_S3])
def test_the_program_lists_what_is_there(written: Written, name: str) -> None:
    listed = {(file["level"], file["min_txid"], file["max_txid"], file["size"]) for file in ltx(written.places[name])}
    client = written.clients[name]
    ours = {
        (level, int(info.min_txid), int(info.max_txid), info.size)
        for level in LEVELS
        for info in client.ltx_files(level)
    }
    assert listed == ours
    assert {level for level, *_ in listed} == {0, 1, 2, 9}


@pytest.mark.parametrize("name", [FILE, S3, COMPACTED_FILE, COMPACTED_S3])
def test_the_go_extension_opens_it(written: Written, name: str) -> None:
    assert read_through_extension(written.places[name]) == written.dump


def test_both_stores_hold_the_same_files(written: Written) -> None:
    for level in (0, 1, 2):
        files = list(written.clients[FILE].ltx_files(level))
        assert files
        assert contents(written.clients[FILE], level) == contents(written.clients[S3], level)


def contents(client: ReplicaClient, level: int) -> dict[tuple[TXID, TXID], bytes]:
    return {(info.min_txid, info.max_txid): client.read_ltx(info) for info in client.ltx_files(level)}
