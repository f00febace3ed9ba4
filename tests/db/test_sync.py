"""What is committed goes into level-0 files, and comes out of them byte for byte at every TXID."""

import random
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from replication.db import DB
from replication.errors import DBNotReadyError, UsageError
from replication.position import TXID, Pos
from replication.sync.sqlite_errors import PrimaryCorruptError
from tests.support.history_script import register_noise
from tests.support.live_db import (
    connect,
    header_of,
    image,
    local_txids,
    open_db,
    page_counts,
    restored,
)

STATEMENTS = (
    "INSERT INTO item VALUES (1, noise(1, 10))",
    "INSERT INTO item VALUES (2, noise(2, 90000))",
    "UPDATE item SET body = 'small' WHERE id = 1",
    "CREATE INDEX by_body ON item (body)",
    "DELETE FROM item WHERE id = 2",
    "INSERT INTO item VALUES (3, noise(3, 20000))",
    "VACUUM",
    "DROP INDEX by_body",
)


@pytest.mark.interop
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_the_real_program_restores_every_txid_byte_for_byte(tmp_path: Path, page_size: int) -> None:
    application = connect(tmp_path / "app.db", page_size=page_size)
    register_noise(application)
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    images = {}
    with open_db(tmp_path / "app.db") as db:
        db.sync()
        images[db.pos().txid] = image(application)
        for number, sql in enumerate(STATEMENTS):
            application.execute(sql)
            if number == 3:
                db.checkpoint()
            txid = db.sync().txid
            images[txid] = image(application)
        assert local_txids(db) == list(range(1, db.pos().txid + 1))
    for txid, expected in images.items():
        assert restored(db, tmp_path, txid, by_program=True) == expected
        assert restored(db, tmp_path, txid) == expected
    application.close()


def test_a_sync_without_commits_makes_no_file(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    with open_db(tmp_path / "app.db") as db:
        first = db.sync()
        assert first.txid == 1
        assert db.sync() == first
        changed = db.notify()
        assert not changed.is_set()
        application.execute("CREATE TABLE item (id)")
        assert db.sync().txid == 2
        assert changed.is_set()
        assert not db.notify().is_set()
    application.close()


def test_an_open_transaction_is_left_out_until_it_commits(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id); PRAGMA cache_size = 5")
    with open_db(tmp_path / "app.db") as db:
        db.sync()
        before = image(application)
        application.execute("BEGIN")
        for _ in range(50):  # more than the cache holds, so that frames are in the WAL already
            application.execute("INSERT INTO item VALUES (randomblob(4000))")
        assert db.wal_path.stat().st_size > 100_000
        txid = db.sync().txid
        assert restored(db, tmp_path, txid) == before
        application.execute("COMMIT")
        db.sync()
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_backlog_becomes_several_files_that_end_at_commits(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    db = open_db(tmp_path / "app.db")
    db.max_sync_wal_bytes = 20 * 4120
    with db:
        first = db.sync().txid
        for number in range(60):
            application.execute("INSERT INTO item VALUES (?, randomblob(3000))", (number,))
        last = db.sync().txid
        assert last - first > 3
        spans = [header_of(db, txid) for txid in range(first + 1, last + 1)]
        assert all(a.wal_offset + a.wal_size == b.wal_offset for a, b in pairwise(spans))
        assert all(span.wal_size <= 30 * 4120 for span in spans)
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_database_that_shrinks_and_grows_again_keeps_no_old_page(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db", page_size=512)
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    chance = random.Random(5)  # noqa: S311 - a workload
    images = {}
    with open_db(tmp_path / "app.db") as db:
        for number in range(30):
            if chance.random() < 0.4:
                application.execute("DELETE FROM item")
            else:
                application.execute("INSERT INTO item VALUES (?, randomblob(?))", (number, chance.randint(1, 30_000)))
            if chance.random() < 0.3:
                application.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if chance.random() < 0.2:
                db.checkpoint()
            txid = db.sync().txid
            images[txid] = image(application)
        for txid, expected in images.items():
            assert restored(db, tmp_path, txid) == expected
    application.close()


def test_the_applications_checkpoints_do_no_harm(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db", autocheckpoint=3)
    application.set_busy_timeout(0)
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    modes = (
        apsw.SQLITE_CHECKPOINT_TRUNCATE,
        apsw.SQLITE_CHECKPOINT_PASSIVE,
        apsw.SQLITE_CHECKPOINT_RESTART,
        apsw.SQLITE_CHECKPOINT_FULL,
    )
    with open_db(tmp_path / "app.db") as db:
        whole = db.sync().txid
        for number in range(60):
            application.execute("INSERT INTO item VALUES (?, 'text')", (number,))
            with suppress(apsw.BusyError):  # our read transaction is in the way
                application.wal_checkpoint(mode=modes[number % 4])
            if number % 3 == 0:
                db.sync()
                assert restored(db, tmp_path) == image(application)
            if number % 7 == 0:
                db.checkpoint()
        assert max(page_counts(db, range(whole + 1, db.pos().txid + 1))) <= 6
    application.close()


def test_truncating_right_after_a_checkpoint_of_ours_loses_nothing_and_compares_nothing(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    with open_db(tmp_path / "app.db") as db:
        application.execute("INSERT INTO item VALUES (1, randomblob(200000))")
        db.sync()
        for number in range(2, 8):
            db.checkpoint("TRUNCATE")
            # The WAL is fully checkpointed: it may be truncated, more than once, and started over.
            assert db._connected is not None
            with db._connected.primary.barrier():
                db._connected.syncer.sync()
                db._connected.syncer.end_read()
                db._connected.primary.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
                db._connected.syncer.begin_read()
            for _ in range(number % 3):
                application.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                assert db.wal_path.stat().st_size == 0
                assert db.sync() == db.pos()
            before = db.pos().txid
            application.execute("INSERT INTO item VALUES (?, 'text')", (number,))
            txid = db.sync().txid
            assert txid == before + 1
            assert header_of(db, txid).wal_offset == 32
            assert page_counts(db, [txid])[0] <= 3
            assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_database_that_is_not_there_yet_is_waited_for_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_db(tmp_path / "app.db") as db:
        assert db.sync() == db.sync() == Pos()
        assert [record.getMessage() for record in caplog.records] == [
            f"{tmp_path}/app.db is not there yet, so nothing is replicated until it is"
        ]
        assert db.page_size == 0
        with pytest.raises(DBNotReadyError):
            db.snapshot_reader()
        application = connect(tmp_path / "app.db", page_size=8192)
        application.execute("CREATE TABLE item (id)")
        assert db.sync().txid == 1
        assert db.page_size == 8192
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_directory_is_no_database_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "app.db").mkdir()
    db = open_db(tmp_path / "app.db")
    db.open()
    for call in (db.sync, db.close):
        with pytest.raises(UsageError, match=r"expected a database at .*app\.db, got a directory"):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["app.db"]


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "app.db").touch()
    with open_db(tmp_path / "app.db") as db:
        assert db.sync().txid == 1


def test_a_closed_db_refuses_to_sync(tmp_path: Path) -> None:
    db = DB(tmp_path / "app.db")
    with pytest.raises(UsageError, match="open"):
        db.sync()


def test_the_local_state_may_lie_elsewhere(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id)")
    db = open_db(tmp_path / "app.db")
    assert db.meta_path == tmp_path / ".app.db-litestream"
    db.set_meta_path(tmp_path / "state" / "app-litestream")
    with db:
        db.sync()
        assert repr(db) == "<DB app.db open txid=0000000000000001>"
        assert db.max_ltx() == (1, 1)
        assert db.ltx_path(0, TXID(1), TXID(1)).exists()
        assert db.ltx_path(0, TXID(1), TXID(1)).parent == tmp_path / "state" / "app-litestream" / "ltx" / "0"
        assert db.file_info is not None
        assert db.file_info.st_ino == db.path.stat().st_ino
        assert db.dir_info is not None
        with pytest.raises(UsageError, match="closed"):
            db.set_meta_path(tmp_path)
        with pytest.raises(UsageError, match="open already"):
            db.open()
    assert db.sqldb is None
    assert db.pos().txid == 1
    db.close()
    application.close()


def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"text, " * 1000)
    db = open_db(tmp_path / "app.db")
    db.open()
    with pytest.raises(PrimaryCorruptError, match="not a database"):
        db.sync()
    with pytest.raises(PrimaryCorruptError):
        db.close()


def test_a_crowd_of_threads_may_sync_at_once(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    with open_db(tmp_path / "app.db", monitor_interval_s=0.005) as db:
        for number in range(100):
            application.execute("INSERT INTO item VALUES (?)", (number,))
            if number % 10 == 0:
                db.checkpoint()
        db.sync()
        assert restored(db, tmp_path) == image(application)
    application.close()
