"""Disks that are really full: whose error it is, that nothing is half-written, and that it goes on once there is space.

Method: a tmpfs of a few megabytes, filled up to the last few pages, so that writes fail at any place; what cannot be
compressed is written, so that it takes space. Local state, replica and database lie on it in turn, the rest elsewhere.
Bugs planted to try these tests: temporary files left, a record of the sums that failed not made good, paths not named.
"""

import logging
import os
import re
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import apsw
import pytest

from replication.client.file import FileReplicaClient
from replication.client.retry import RetryingClient, RetryPolicy
from replication.compaction import compact_level
from replication.db import DB
from replication.errors import UnavailableError
from replication.ltx.decoder import Decoder
from replication.ltx.file_info import FileInfo
from replication.replica import Replica
from replication.store import Store
from replication.sync.sqlite_errors import PrimaryUnavailableError
from tests.db.test_crash import check_sums
from tests.support.live_db import connect, image, open_db, restored
from tests.support.restoring import restore_to
from tests.support.small_disk import SIZE, SmallDisk, on_small_disk
from tests.support.waiting import wait_until

BLOCK = 4096
STEPS = 20
BODY = 10_000
GROWTH = 280_000  # the checksums of so many pages take more than a block
FIRST_FILE = "ltx/0/0000000000000001-0000000000000001.ltx"
TIMEOUT_S = 30.0


def make(path: Path) -> apsw.Connection:
    application = connect(path, page_size=512)
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    return application


def commit(application: apsw.Connection, *, growth: int = 0) -> None:
    """Commit twice; pages that hold the growth are many, and small when they are compressed."""
    application.execute("INSERT INTO item VALUES (NULL, randomblob(?)), (NULL, zeroblob(?))", (BODY, growth))
    application.execute("DELETE FROM item WHERE id < (SELECT max(id) - 9 FROM item) AND length(body) = ?", (BODY,))


def refusal(function: Callable[[], object]) -> UnavailableError | None:
    """What a call raised, if it did."""
    try:
        function()
    except UnavailableError as error:
        return error
    return None


def open_with_state_at(path: Path, meta_path: Path) -> DB:
    db = open_db(path)
    db.set_meta_path(meta_path)
    db.open()
    return db


def as_killed(db: DB) -> None:
    """End a `DB` as the end of its process does: nothing is written."""
    if db._connected is not None:
        db._connected.close()


def check_files(client: FileReplicaClient) -> list[FileInfo]:
    """Every file that can be seen is whole, and nothing else is there; level 0 has no gap."""
    assert list(client.path.rglob("*.tmp")) == []
    infos = list(client.ltx_files(0))
    assert [info.max_txid for info in infos] == list(range(1, len(infos) + 1))
    for info in infos:
        with client.open_ltx_file(0, info.min_txid, info.max_txid) as reader:
            Decoder(reader).verify()
    return infos


def once(client: FileReplicaClient) -> RetryingClient:
    """The client, which is not called again: a disk that is full stays full in these tests."""
    return RetryingClient(client, RetryPolicy(max_attempts=1))


def refused_file(error: UnavailableError, meta_path: Path) -> str:
    """The name of the file of the local state that an error is about."""
    assert type(error) is UnavailableError  # not one of the primary's
    found = re.fullmatch(f"local state {meta_path}/(.*): no space left on the device", str(error))
    assert found is not None, error
    return found[1]


@on_small_disk
def test_wherever_the_disk_fills_up_at_the_first_sync_the_next_one_succeeds(disk: SmallDisk, roomy: Path) -> None:
    path = roomy / "app.db"
    application = make(path)
    commit(application, growth=GROWTH)
    refused = set[str]()
    for step in range(STEPS):
        meta_path = disk.path / f"state-{step}"
        db = open_with_state_at(path, meta_path)
        disk.fill(leave=step * BLOCK)
        error = refusal(db.sync)
        if error is not None:
            refused.add(refused_file(error, meta_path))
        if step % 2:
            as_killed(db)
            db = open_with_state_at(path, meta_path)
        disk.free()
        application.execute("UPDATE item SET body = randomblob(?) WHERE id = 1", (BODY,))
        db.sync()
        check_files(FileReplicaClient(meta_path))
        assert restored(db, roomy) == image(application)
        db.close()
        shutil.rmtree(meta_path)
    assert {"lock", FIRST_FILE, "sums", "position"} <= refused <= {"lock", "id.tmp", FIRST_FILE, "sums", "position"}
    application.close()


@on_small_disk
def test_wherever_the_disk_fills_up_nothing_is_half_written_and_nothing_is_lost(disk: SmallDisk, roomy: Path) -> None:
    path, meta_path = roomy / "app.db", disk.path / "state"
    client = FileReplicaClient(meta_path)
    application = make(path)
    refused, succeeded = set[tuple[str, bool]](), 0
    db = open_with_state_at(path, meta_path)
    db.sync()
    for blocks, is_killed in product(range(STEPS // 5, STEPS // 5 * 4), [False, True]):
        commit(application, growth=GROWTH)
        before = len(check_files(client))
        disk.fill(leave=blocks * BLOCK)
        error = refusal(db.sync)
        if error is None:
            succeeded += 1
        else:
            refused.add((refused_file(error, meta_path)[-4:], is_killed))
        assert len(check_files(client)) - before <= 2  # one of the commits, one of a checkpoint
        commit(application)  # which has space, and is not disturbed
        if is_killed:
            as_killed(db)
            db = open_with_state_at(path, meta_path)
        disk.free()
        db.sync()
        check_files(client)
        check_sums(meta_path, path)
        assert restored(db, roomy) == image(application)
    assert refused == {*product([".ltx", "sums"], [False, True])}
    assert succeeded > 2
    db.close()
    application.close()


@on_small_disk
def test_wherever_the_disk_of_a_replica_fills_up_nothing_is_half_written_and_uploads_go_on_later(
    disk: SmallDisk, roomy: Path
) -> None:
    root = disk.path / "replica"
    client = FileReplicaClient(root)
    application = make(roomy / "app.db")
    db = open_db(roomy / "app.db")
    db.replicas = [Replica(db, once(client), monitor_enabled=False, lease=False)]
    failures = 0
    with db:
        for step in range(STEPS):
            for _ in range(1 + step % 3):
                commit(application)
                db.sync()
            disk.fill(leave=step % 12 * BLOCK)
            error = refusal(db.sync_and_wait)
            if error is not None:
                assert type(error) is UnavailableError
                assert re.fullmatch(f"{root}/.*: no space left on the device", str(error))
                failures += 1
            check_files(client)
            disk.free()
            assert db.sync_and_wait().txid == len(check_files(client))
            output = roomy / "restored.db"
            restore_to(client, output, overwrite=True)
            assert output.read_bytes() == image(application)
    assert STEPS // 4 < failures < STEPS
    application.close()


@on_small_disk
def test_a_full_disk_of_the_database_is_the_applications_error_and_ours_names_the_database(
    disk: SmallDisk, roomy: Path
) -> None:
    path = disk.path / "app.db"
    application = make(path)
    commit(application)
    disk.fill()
    db = open_db(path)
    db.set_meta_path(roomy / "state")
    with db:
        with pytest.raises(PrimaryUnavailableError, match=f"^primary database {path}: .*(full|I/O error)"):
            db.sync()  # the first one makes two tables
        disk.free()
        db.sync()
        refused = 0
        for leave in range(0, 12 * BLOCK, BLOCK):
            disk.fill(leave=leave)
            with pytest.raises(apsw.FullError):
                application.executemany("INSERT INTO item VALUES (NULL, randomblob(?))", [(BODY,)] * (SIZE // BODY))
            assert application.get_autocommit()
            db.sync()  # what was committed until then needs no space of this disk
            assert restored(db, roomy) == image(application)
            error = refusal(db.checkpoint)  # which needs space where the database grew
            assert error is None or str(path) in str(error)
            refused += error is not None
            assert restored(db, roomy) == image(application)
            disk.free()
            application.execute("DELETE FROM item")
            commit(application)
            db.checkpoint("TRUNCATE")
            assert restored(db, roomy) == image(application)
        assert refused
    application.close()


@on_small_disk
def test_the_background_goes_on_by_itself_once_there_is_space(disk: SmallDisk, roomy: Path) -> None:
    application = make(roomy / "app.db")
    db = DB(roomy / "app.db")
    db.monitor_interval_s = 0.01
    db.logger = logging.getLogger("of this test")
    db.logger.disabled = True
    client = FileReplicaClient(disk.path / "replica")
    replica = Replica(db, once(client), sync_interval_s=0.01)
    db.replicas = [replica]
    with Store([db]) as store:
        commit(application)
        store.sync()
        disk.fill()
        commit(application)
        wait_until(lambda: replica.error is not None, "a failure", timeout_s=TIMEOUT_S)
        assert "no space left on the device" in str(replica.error)
        commit(application)
        disk.free()
        wait_until(lambda: replica.error is None, "a success", timeout_s=TIMEOUT_S)
        assert store.sync().txid == len(check_files(client))
        restore_to(client, roomy / "restored.db")
        assert (roomy / "restored.db").read_bytes() == image(application)
    application.close()


@on_small_disk
def test_a_restore_that_does_not_fit_names_the_output_and_leaves_nothing(disk: SmallDisk, roomy: Path) -> None:
    application = make(roomy / "app.db")
    application.execute("INSERT INTO item VALUES (NULL, randomblob(?))", (SIZE,))
    with open_db(roomy / "app.db") as db:
        db.sync()
    output = disk.path / "restored.db"
    with pytest.raises(UnavailableError, match=f"{output}.*: no space left on the device"):
        restore_to(FileReplicaClient(db.meta_path), output)
    assert list(disk.path.iterdir()) == []
    application.close()


@on_small_disk
def test_a_full_disk_for_temporary_files_is_named_by_a_compaction(disk: SmallDisk, roomy: Path) -> None:
    application = make(roomy / "app.db")
    client = FileReplicaClient(roomy / "replica")
    db = open_db(roomy / "app.db")
    db.replicas = [Replica(db, client, monitor_enabled=False)]
    with db:
        db.sync_and_wait()
        application.execute("INSERT INTO item VALUES (NULL, randomblob(10000000))")
        db.sync_and_wait()
        os.environ["TMPDIR"] = str(disk.path)
        with pytest.raises(UnavailableError, match=f"temporary files in {disk.path}: no space left on the device"):
            compact_level(client, 1)
        assert list(client.ltx_files(1)) == []
        assert list(disk.path.iterdir()) == []
    application.close()
