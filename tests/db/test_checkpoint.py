"""Checkpoints: which is due, that nothing slips by while one runs, and who waits for it."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from replication.checkpoint import Checkpointer, CheckpointMode, choose_checkpoint, parse_checkpoint_mode
from replication.errors import UsageError
from replication.ltx.encoder import Encoder
from replication.sync.sqlite_errors import PrimaryUnavailableError
from replication.sync.syncer import Syncer
from tests.support.live_db import connect, image, local_txids, open_db, page_counts, restored


@dataclass
class Settings:
    min_checkpoint_page_n: int = 1000
    truncate_page_n: int = 5000
    checkpoint_interval_s: float = 60.0


@pytest.mark.parametrize(
    ("wal_pages", "blocked_pages", "synced", "elapsed_s", "expected"),
    [
        (0, 0, False, 1e9, None),
        (1, 0, True, 1e9, None),  # the frame that the last checkpoint left
        (2, 0, True, 59.9, None),
        (2, 0, True, 60.0, "PASSIVE"),
        (2, 0, False, 60.0, None),
        (999, 0, True, 0.0, None),
        (1000, 0, True, 0.0, "PASSIVE"),
        (1500, 1000, True, 0.0, None),
        (1500, 1000, True, 60.0, "PASSIVE"),
        (2000, 1000, True, 0.0, "PASSIVE"),
        (5000, 4500, True, 0.0, "TRUNCATE"),
        (5001, 5000, True, 0.0, None),
        (6000, 5000, True, 0.0, "PASSIVE"),
        (10000, 5000, True, 0.0, "TRUNCATE"),
    ],
)
def test_the_checkpoint_that_is_due(
    *, wal_pages: int, blocked_pages: int, synced: bool, elapsed_s: float, expected: CheckpointMode | None
) -> None:
    chosen = choose_checkpoint(
        Settings(), wal_pages=wal_pages, blocked_pages=blocked_pages, synced=synced, elapsed_s=elapsed_s
    )
    assert chosen == expected


def test_zero_turns_time_and_truncation_off() -> None:
    settings = Settings(truncate_page_n=0, checkpoint_interval_s=0.0)
    assert choose_checkpoint(settings, wal_pages=10**6, blocked_pages=10**6, synced=True, elapsed_s=1e9) is None


def test_a_mode_may_be_in_small_letters_but_must_exist() -> None:
    assert parse_checkpoint_mode("truncate") == "TRUNCATE"
    with pytest.raises(UsageError, match="PASSIVE"):
        parse_checkpoint_mode("EAGER")


def test_nobody_writes_from_the_last_sync_before_a_checkpoint_to_the_read_transaction_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    other = connect(tmp_path / "app.db")
    other.set_busy_timeout(0)
    seen = []

    def write(self: Syncer) -> None:
        """Try to write on either side of what the checkpoint does to its read transaction."""
        with pytest.raises(apsw.BusyError):
            other.execute("INSERT INTO item VALUES (99, '')")
        seen.append(self.position)

    with open_db(tmp_path / "app.db") as db:
        db.sync()
        application.execute("INSERT INTO item VALUES (1, 'text')")
        with monkeypatch.context() as patch:
            begin, end = Syncer.begin_read, Syncer.end_read

            def end_read(self: Syncer) -> None:
                write(self)
                end(self)

            def begin_read(self: Syncer) -> None:
                begin(self)
                write(self)

            patch.setattr(Checkpointer, "_copy_ahead", lambda _self: None)  # writers go on meanwhile
            patch.setattr(Syncer, "end_read", end_read)
            patch.setattr(Syncer, "begin_read", begin_read)
            db.checkpoint()
        assert len(seen) == 2
        other.execute("INSERT INTO item VALUES (99, '')")
        db.sync()
        assert restored(db, tmp_path) == image(application)
    application.close()
    other.close()


def test_checkpoints_keep_the_wal_small_beside_a_busy_writer(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    with open_db(tmp_path / "app.db") as db:
        db.min_checkpoint_page_n = 20
        whole = db.sync().txid
        for number in range(200):
            application.execute("INSERT INTO item VALUES (?, zeroblob(900))", (number,))
            if number % 4 == 0:
                db.sync()
        assert db.wal_path.stat().st_size < 60 * 4120
        assert max(page_counts(db, range(whole + 1, db.pos().txid + 1))) < 20
        db.sync()
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_checkpoint_by_time_happens_once_and_an_idle_database_stays_idle(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    with open_db(tmp_path / "app.db") as db:
        db.checkpoint_interval_s = 1e-6
        for _ in range(3):
            db.sync()
        idle = db.pos()
        for _ in range(3):
            assert db.sync() == idle
        application.execute("INSERT INTO item VALUES (1, '')")
        for _ in range(3):
            busy = db.sync()
        assert busy.txid == idle.txid + 2  # the row, and the frame that a checkpoint leaves
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_reader_in_the_way_is_logged_and_no_writer_waits_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "litestream.replication")
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    reader = connect(tmp_path / "app.db")
    with open_db(tmp_path / "app.db") as db:
        db.busy_timeout_s = 0.05
        db.sync()
        reader.execute("BEGIN; SELECT * FROM item")
        application.execute("INSERT INTO item VALUES (1, '')")
        db.checkpoint("TRUNCATE")
        assert "a reader of the database is in the way" in caplog.text
        application.execute("INSERT INTO item VALUES (2, '')")
        db.sync()
        assert restored(db, tmp_path) == image(application)
        reader.execute("COMMIT")
        db.checkpoint("TRUNCATE")
        assert db.wal_path.stat().st_size < 3 * 4120
    application.close()
    reader.close()


def test_a_writer_in_the_way_is_an_error_when_asked_for_and_none_when_it_was_due(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    db = open_db(tmp_path / "app.db")
    db.busy_timeout_s = 0.01
    with db:
        db.sync()
        application.execute("INSERT INTO item VALUES (1, '')")
        application.execute("BEGIN IMMEDIATE")
        with pytest.raises(PrimaryUnavailableError, match="locked"):
            db.checkpoint()
        db.min_checkpoint_page_n = 1
        application.execute("COMMIT; INSERT INTO item VALUES (2, ''); BEGIN IMMEDIATE")
        db.sync()
        application.execute("COMMIT")
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_writers_go_on_while_a_backlog_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    application.execute("INSERT INTO item VALUES (0, zeroblob(2000000))")
    application.set_busy_timeout(0)
    began, done = threading.Event(), threading.Event()
    real = Encoder.encode_pages

    def slow(self: Encoder, pgnos: Sequence[int], pages: bytes) -> None:
        began.set()
        assert done.wait(10)
        real(self, pgnos, pages)

    monkeypatch.setattr(Encoder, "encode_pages", slow)
    with open_db(tmp_path / "app.db") as db:
        thread = threading.Thread(target=db.sync)
        thread.start()
        assert began.wait(10)
        for number in range(1, 20):
            application.execute("INSERT INTO item VALUES (?, '')", (number,))  # nobody holds the write lock
        done.set()
        thread.join()
        db.sync()
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_thread_syncs_and_checkpoints_by_itself(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    with open_db(tmp_path / "app.db", monitor_interval_s=0.005) as db:
        db.min_checkpoint_page_n = 10
        deadline = time.monotonic() + 10
        for number in range(50):
            changed = db.notify()
            application.execute("INSERT INTO item VALUES (?, '')", (number,))
            assert changed.wait(deadline - time.monotonic())
        assert len(local_txids(db)) > 20
    assert restored(db, tmp_path) == image(application)
    application.close()
