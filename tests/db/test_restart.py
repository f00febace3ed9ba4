"""What was committed while no replicator ran is found at the next start, with as little as is needed to say it.

The first test is the case in which the Go program 0.5.17 loses rows: a WAL that was started over while nobody looked.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from replication.errors import UnavailableError
from tests.support.live_db import connect, header_of, image, local_txids, open_db, page_counts, query, restored

TEXT = "one more row of the log"
CELLS = 100  # each on a page of its own, which the next commits do not write
ROWS = "SELECT (SELECT count(*) FROM log), (SELECT value FROM counter), (SELECT sum(value) FROM cell)"


def make(path: Path, *, page_size: int = 4096) -> apsw.Connection:
    application = connect(path, page_size=page_size)
    application.execute("CREATE TABLE counter (value INTEGER); INSERT INTO counter VALUES (0)")
    application.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, text)")
    application.execute("CREATE TABLE cell (id INTEGER PRIMARY KEY, value INTEGER, body)")
    rows = ((number, page_size) for number in range(CELLS))
    application.executemany("INSERT INTO cell VALUES (?, 0, zeroblob(? * 2 / 3))", rows)
    application.execute("CREATE TABLE ballast (body)")
    application.execute("INSERT INTO ballast VALUES (randomblob(?))", (page_size * 200,))
    return application


def commit(application: apsw.Connection, count: int) -> None:
    for _ in range(count):
        with application:
            application.execute("INSERT INTO log (text) VALUES (?)", (TEXT,))
            application.execute("UPDATE counter SET value = value + 1")
            application.execute(
                "UPDATE cell SET value = value + 1 WHERE id = (SELECT value % ? FROM counter)", (CELLS,)
            )


def sync_once(path: Path) -> int:
    with open_db(path) as db:
        return db.sync().txid


@pytest.mark.interop
@pytest.mark.parametrize("after", [1, 5, 40])
def test_no_commit_is_lost_when_the_wal_was_started_over_meanwhile(tmp_path: Path, after: int) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    commit(application, 30)
    sync_once(path)
    commit(application, 20)
    application.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    commit(application, after)
    with open_db(path) as db:
        db.sync()
        restore = restored(db, tmp_path, by_program=True)
        assert query(restore, ROWS) == [(50 + after, 50 + after, 50 + after)]
        assert restore == image(application)
        assert page_counts(db, [db.pos().txid])[0] < 80
    application.close()


def test_a_wal_that_went_on_is_read_from_where_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    commit(application, 3)
    first = sync_once(path)
    commit(application, 3)
    with open_db(path) as db:
        assert db.sync().txid == first + 1
        before, after = header_of(db, first), header_of(db, first + 1)
        assert after.wal_offset == before.wal_offset + before.wal_size
        assert restored(db, tmp_path) == image(application)
    application.close()


def passive(application: apsw.Connection) -> apsw.Connection:
    application.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    return application


def truncate(application: apsw.Connection) -> apsw.Connection:
    application.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    return application


def reopen(application: apsw.Connection) -> apsw.Connection:
    path = application.filename
    application.close()  # the last connection: it checkpoints, and deletes the WAL
    assert not Path(f"{path}-wal").exists()
    return connect(Path(path))


def nothing(application: apsw.Connection) -> apsw.Connection:
    return application


@pytest.mark.parametrize("meanwhile", [passive, truncate, reopen, nothing])
@pytest.mark.parametrize("commits", [0, 1, 7])
def test_a_restart_writes_no_more_than_the_pages_that_differ(
    tmp_path: Path, meanwhile: Callable[[apsw.Connection], apsw.Connection], commits: int
) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    first = sync_once(path)
    for _ in range(3):
        with open_db(path) as db:
            db.sync()
            before = image(application)
        commit(application, commits)
        application = meanwhile(application)
        commit(application, commits)
        with open_db(path) as db:
            db.sync()
            after = image(application)
            assert restored(db, tmp_path) == after
            pages = range(0, max(len(before), len(after)), 4096)
            differing = sum(before[at : at + 4096] != after[at : at + 4096] for at in pages)
            new = [txid for txid in local_txids(db) if txid > first]
            assert max(page_counts(db, new), default=0) <= differing + 2
            first = db.pos().txid
    application.close()


def test_a_database_that_shrank_meanwhile_is_as_short_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path, page_size=512)
    sync_once(path)
    application.execute("DELETE FROM ballast")
    truncate(application)
    commit(application, 1)
    with open_db(path) as db:
        db.sync()
        assert len(restored(db, tmp_path)) == len(image(application))
        assert restored(db, tmp_path) == image(application)
    application.execute("INSERT INTO ballast VALUES (randomblob(90000))")
    truncate(application)
    with open_db(path) as db:
        db.sync()
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_database_put_back_to_an_older_state_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    application.close()
    backup = path.read_bytes()
    application = connect(path)
    commit(application, 10)
    sync_once(path)
    application.close()
    path.write_bytes(backup)
    application = connect(path)
    commit(application, 2)
    with open_db(path) as db:
        db.sync()
        assert restored(db, tmp_path) == image(application)
        assert page_counts(db, [db.pos().txid])[0] < 30
    application.close()


def test_a_database_replaced_while_it_is_watched_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    application.close()
    (tmp_path / "backup.db").write_bytes(path.read_bytes())
    application = connect(path)
    with open_db(path) as db:
        commit(application, 10)
        before = db.sync()
        application.close()
        path.unlink()
        Path(f"{path}-wal").unlink()
        Path(f"{path}-shm").unlink()
        assert db.sync() == before
        (tmp_path / "backup.db").rename(path)
        application = connect(path)
        commit(application, 2)
        assert db.sync().txid == before.txid + 1
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_without_sums_the_whole_database_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    first = sync_once(path)
    (tmp_path / ".app.db-litestream" / "sums").unlink()
    commit(application, 1)
    with open_db(path) as db:
        assert db.sync().txid == first + 1
        assert page_counts(db, [first + 1]) == [len(image(application)) // 4096]
        assert restored(db, tmp_path) == image(application)
    truncate(application)
    commit(application, 1)
    with open_db(path) as db:
        db.sync()
        assert page_counts(db, [db.pos().txid])[0] < 10
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_another_page_size_means_a_file_of_every_page(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    first = sync_once(path)
    application.pragma("journal_mode", "delete")
    application.execute("PRAGMA page_size = 1024; VACUUM")
    application.pragma("journal_mode", "wal")
    with open_db(path) as db:
        assert db.sync().txid == first + 1
        assert header_of(db, first + 1).page_size == 1024
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_local_files_deleted_behind_the_back_start_the_numbers_anew(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    sync_once(path)
    commit(application, 1)
    sync_once(path)
    for file in (tmp_path / ".app.db-litestream" / "ltx" / "0").iterdir():
        file.unlink()
    with open_db(path) as db:
        assert db.sync().txid == 1
        assert restored(db, tmp_path) == image(application)
    application.close()


@pytest.mark.parametrize("lost", [1, 3])
def test_commits_that_a_power_failure_took_back_hide_none_that_follow(tmp_path: Path, lost: int) -> None:
    """The disk got the last frame of the WAL, and the position, but not a frame before: SQLite ends there."""
    path, after = tmp_path / "app.db", tmp_path / "after" / "app.db"
    application = make(path)
    with open_db(path) as db:
        db.checkpoint("TRUNCATE")
        for _ in range(6):
            commit(application, 1)
            db.sync()
    after.parent.mkdir()
    shutil.copy(path, after)
    shutil.copytree(db.meta_path, after.parent / db.meta_path.name)
    wal = bytearray(Path(f"{path}-wal").read_bytes())
    frame = 32 + (len(wal) - 32) // 4120 // 2 * 4120
    wal[frame + 24 : frame + 4120] = bytes(4096)
    Path(f"{after}-wal").write_bytes(wal)
    application.close()
    application = connect(after)
    with open_db(after) as db:
        db.sync()
        assert restored(db, after.parent) == image(application)
        for _ in range(lost):
            commit(application, 1)
            db.sync()
            assert restored(db, after.parent) == image(application)
    application.close()


def test_a_wal_that_is_deleted_under_a_replicator_is_told_and_the_next_start_finds_what_came_after(
    tmp_path: Path,
) -> None:
    path, backup = tmp_path / "app.db", tmp_path / "backup.db"
    application = make(path)
    application.execute("VACUUM INTO ?", (str(backup),))
    application.close()
    connect(backup).close()  # in WAL mode, as a copy of the file would be
    write = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('INSERT INTO log (text) VALUES (1)'); "
    db = open_db(path)
    db.open()
    db.sync()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    # As a careless person does, from a shell: the old copy is written into the file that is there.
    subprocess.run(["cp", str(backup), str(path)], check=True)
    subprocess.run([sys.executable, "-c", write + "c.commit()", str(path)], check=True)
    for call in (db.sync, db.sync, db.close):
        with pytest.raises(UnavailableError, match="its WAL was deleted while it was open"):
            call()
    application = connect(path)
    with open_db(path) as db:
        db.sync()
        assert query(restored(db, tmp_path), ROWS) == [(1, 0, 0)]
        assert restored(db, tmp_path) == image(application)
    application.close()
