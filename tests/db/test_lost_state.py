"""Local state that is lost comes back from the replica, and the numbers and the pages go on from there."""

import shutil
from pathlib import Path

import pytest

from replication.client.file import FileReplicaClient
from replication.client.retry import RetryingClient, RetryPolicy
from replication.db import DB
from replication.errors import UnavailableError
from replication.lease import LEASE_NAME
from replication.position import TXID
from replication.replica import Replica
from tests.db.test_restart import commit, make
from tests.support.faulty_client import FaultyClient
from tests.support.litestream_program import FileReplica, restore
from tests.support.live_db import connect, image, local_txids, open_db, page_counts
from tests.support.restoring import restore_to


def replicated(path: Path, place: Path) -> DB:
    db = open_db(path)
    db.replica = Replica(db, FileReplicaClient(place), monitor_enabled=False)
    return db


def restored_by_program(place: Path, output: Path) -> bytes:
    output.unlink(missing_ok=True)
    restore(FileReplica(place), output)
    return output.read_bytes()


@pytest.mark.interop
@pytest.mark.parametrize("lost", ["sums", "position", "ltx", ""])
def test_what_is_lost_comes_back_from_the_replica(tmp_path: Path, lost: str) -> None:
    path, place = tmp_path / "app.db", tmp_path / "replica"
    application = make(path)
    for _ in range(3):
        with replicated(path, place) as db:
            for _ in range(3):
                commit(application, 2)
                last = db.sync().txid
        gone = db.meta_path / lost
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        commit(application, 2)
        with replicated(path, place) as db:
            assert db.sync().txid == last + 1
            assert page_counts(db, [last + 1])[0] < 20
        assert restored_by_program(place, tmp_path / "out.db") == image(application)
    application.close()


@pytest.mark.interop
def test_a_database_restored_elsewhere_goes_on_in_the_same_replica(tmp_path: Path) -> None:
    path, place, other = tmp_path / "app.db", tmp_path / "replica", tmp_path / "other.db"
    application = make(path)
    with replicated(path, place) as db:
        commit(application, 5)
        last = db.sync().txid
    application.close()
    restore_to(FileReplicaClient(place), other)
    application = connect(other)
    commit(application, 1)
    with replicated(other, place) as db:
        assert db.sync().txid == last + 1
        assert page_counts(db, [last + 1])[0] < 20
    assert restored_by_program(place, tmp_path / "out.db") == image(application)
    application.close()


def test_what_was_not_uploaded_yet_is_known_from_the_local_files(tmp_path: Path) -> None:
    path, place = tmp_path / "app.db", tmp_path / "replica"
    application = make(path)
    with replicated(path, place):
        commit(application, 2)
    with open_db(path) as db:  # without the replica
        for _ in range(3):
            commit(application, 2)
            db.sync()
    (db.meta_path / "sums").unlink()
    commit(application, 1)
    with replicated(path, place) as db:
        last = db.sync().txid
        assert page_counts(db, [last])[0] < 20
    assert FileReplicaClient(place).ltx_files(0)
    restore_to(FileReplicaClient(place), tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == image(application)
    application.close()


def test_a_replica_of_another_history_gives_no_checksums(tmp_path: Path) -> None:
    path, place = tmp_path / "app.db", tmp_path / "replica"
    stranger = make(tmp_path / "stranger.db")
    with replicated(tmp_path / "stranger.db", place):
        pass
    application = make(path)
    with open_db(path) as db:
        db.sync()
    (db.meta_path / "sums").unlink()
    commit(application, 1)
    db = replicated(path, place)
    db.open()
    assert db.sync().txid == 2
    assert local_txids(db) == [1, 2]
    assert page_counts(db, [2]) == [len(image(application)) // 4096]
    db.replica = None
    db.close()
    application.close()
    stranger.close()


@pytest.mark.interop
@pytest.mark.parametrize("behind", [1, 3])
def test_a_snapshot_ahead_of_level_0_is_where_the_next_one_goes_on(tmp_path: Path, behind: int) -> None:
    """The real program may take a snapshot before it uploads the transactions it is of, and end in between."""
    path, elsewhere, place = tmp_path / "app.db", tmp_path / "elsewhere" / "app.db", tmp_path / "replica"
    application = make(path)
    client = FileReplicaClient(place)
    with replicated(path, place) as db:
        db.sync_and_wait()
        for _ in range(behind):
            commit(application, 1)
            db.sync()
        pos, reader = db.snapshot_reader()
        with reader:
            client.write_ltx_file(9, TXID(1), pos.txid, reader)
        db.replica = None  # it is lost before it uploads the rest
    application.close()
    (place / LEASE_NAME).unlink()
    elsewhere.parent.mkdir()
    restore_to(client, elsewhere)
    application = connect(elsewhere)
    with replicated(elsewhere, place) as db:
        for _ in range(behind + 1):
            commit(application, 1)
            db.sync_and_wait()
            output = tmp_path / f"{db.pos().txid}.db"
            restore_to(client, output)
            assert output.read_bytes() == restored_by_program(place, output) == image(application)
    application.close()


def test_the_last_sync_is_tried_again_until_the_time_for_it_is_over(tmp_path: Path) -> None:
    path, place = tmp_path / "app.db", tmp_path / "replica"
    application = make(path)
    client = FaultyClient(FileReplicaClient(place))
    for times, done in ((2, True), (1000, False)):
        db = open_db(path)
        db.replica = Replica(db, RetryingClient(client, RetryPolicy(max_attempts=1)), monitor_enabled=False)
        db.shutdown_sync_interval_s, db.shutdown_sync_timeout_s = 0.01, 0.05
        db.open()
        db.sync()
        commit(application, 1)
        client.fail("write_ltx_file", UnavailableError("not yet"), times=times)
        if done:
            db.close()
        else:
            with pytest.raises(UnavailableError):
                db.close()
        assert repr(db).startswith("<DB app.db closed txid=")
        uploaded = [info.max_txid for info in FileReplicaClient(place).ltx_files(0)]
        assert (uploaded == local_txids(db)) == done
    application.close()
