"""An end between any two steps of a sync, and a failure of any of them, is made good by the next."""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from replication.errors import ConflictError, UnavailableError, WALError
from replication.ltx.encoder import Encoder
from replication.position import TXID
from replication.sync.level0 import WrittenFile
from replication.sync.local_files import LocalFiles
from replication.sync.page_sums import PageSums, SumsTag
from replication.sync.primary import Primary
from replication.sync.roll_forward import checksums_of_file
from replication.sync.sqlite_errors import PrimaryUnavailableError, sqlite_errors
from replication.sync.tap import TappedConnection
from replication.sync.wal_position import PositionFile
from replication.wal.checksum import Sums
from tests.db.test_restart import commit, make, truncate
from tests.support.live_db import header_of, image, open_db, page_counts, restored


class CrashError(BaseException):
    """The process ends here."""


def crash(*_arguments: object, **_options: object) -> None:
    raise CrashError


def half_of_the_sums(sums: PageSums, tag: SumsTag, pgnos: object, checksums: object) -> None:
    """Write checksums, but not the tag."""
    old = sums.path.read_bytes()
    real_write(sums, tag, pgnos, checksums)  # type: ignore[arg-type]
    new = sums.path.read_bytes()
    sums.path.write_bytes(old[:64] + new[64:])
    raise CrashError


real_write = PageSums.write

POINTS: dict[str, tuple[object, str, Callable[..., object]]] = {
    "before the level-0 file appears": (Path, "replace", crash),
    "before the sums": (WrittenFile, "record", crash),
    "between the sums and their tag": (PageSums, "write", half_of_the_sums),
    "before the position": (PositionFile, "write", crash),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("meanwhile", ["the WAL goes on", "the WAL starts over"])
@pytest.mark.parametrize("during", ["frames", "difference"])
def test_a_crash_between_two_steps_loses_nothing(tmp_path: Path, point: str, meanwhile: str, during: str) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        first = db.sync().txid
    if during == "difference":
        commit(application, 5)
        truncate(application)
    commit(application, 5)
    db = open_db(path)
    db.open()
    if during == "frames":
        db.sync()
        commit(application, 5)
    where, name, fault = POINTS[point]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, fault)
        with pytest.raises(CrashError):
            db.sync()
    assert db._connected is not None
    db._connected.close()  # as the end of the process does: nothing is written
    commit(application, 3)
    if meanwhile == "the WAL starts over":
        truncate(application)
        commit(application, 3)
    with open_db(path) as again:
        again.sync()
        assert restored(again, tmp_path) == image(application)
        assert max(page_counts(again, range(first + 1, again.pos().txid + 1))) < 20
        assert not list(again.meta_path.rglob("*.tmp"))
        check_sums(again.meta_path, path)
    application.close()


def check_sums(meta_path: Path, path: Path) -> None:
    """The sums are those of the newest state."""
    files = LocalFiles(str(meta_path), str(path))
    newest = files.newest()
    assert newest is not None
    sums = PageSums(meta_path / "sums")
    assert sums.tag() == SumsTag.of(newest)
    expected = [0] * newest.header.commit
    for name in files.names():
        with files.path(name.max_txid).open("rb") as reader:
            written = checksums_of_file(reader)
        for pgno, checksum in zip(written.pgnos.tolist(), written.checksums.tolist(), strict=True):
            if pgno <= len(expected):
                expected[pgno - 1] = checksum
    found = sums.read(newest.header.commit)
    assert found is not None
    assert found.tolist() == expected


def test_a_frame_that_is_another_than_was_read_leads_to_a_comparison(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        db.sync()
        commit(application, 2)
        db.sync()
        assert db._connected is not None
        assert db._connected.syncer._position is not None
        commit(application, 1)
        db._connected.syncer._position = replace(db._connected.syncer._position, sums=Sums(1, 2))
        assert db.sync().txid == 3
        assert header_of(db, 3).wal_offset == 32
        assert page_counts(db, [3])[0] < 10
        assert restored(db, tmp_path) == image(application)
        commit(application, 1)
        assert db.sync().txid == 4
        assert header_of(db, 4).wal_offset > 32
    application.close()


def test_frames_that_no_reader_can_see_yet_are_left_out(tmp_path: Path) -> None:
    """As when a writer is killed after it wrote its frames, and before it published them."""
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        db.sync()
        assert db._connected is not None
        seen = db._connected.primary.committed_end()
        commit(application, 2)
        end = db._connected.primary.committed_end()
        assert end > seen
        before = db.pos()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Primary, "committed_end", lambda _self: seen)
            assert db.sync() == before
            patch.setattr(Primary, "committed_end", lambda _self: end + 4120)
            with pytest.raises(WALError, match=f"ends at byte {end + 4120}"):
                db.sync()
            assert db.pos() == before
        assert db._connected.primary.committed_end() == end
        assert db.sync().txid == before.txid + 1
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_wal_started_over_with_nothing_to_be_seen_yet_has_nothing_new(tmp_path: Path) -> None:
    """As when a writer is killed after it started the WAL over, and before it published its commit."""
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        db.sync()
        db.checkpoint()
        assert db._connected is not None
        with db._connected.primary.barrier():
            db._connected.syncer.end_read()
            db._connected.primary.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
            db._connected.syncer.begin_read()
        seen = db._connected.primary.committed_end()
        before, expected = db.pos(), image(application)
        commit(application, 3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Primary, "committed_end", lambda _self: seen)
            assert db.sync() == before
            assert restored(db, tmp_path) == expected
        assert db.sync().txid == before.txid + 1
        assert restored(db, tmp_path) == image(application)
    application.close()


@pytest.mark.parametrize("starts_over", [2, 3, 4, 5, 6, 7, 8])
def test_a_wal_started_over_between_the_proof_and_the_reading_is_compared(tmp_path: Path, starts_over: int) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        db.sync()
    commit(application, 5)
    application.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)  # so that a read transaction uses the file alone
    reads = 0
    real = TappedConnection.read_wal

    def read(self: TappedConnection, offset: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads == starts_over:
            commit(application, 1)
        return real(self, offset, size)

    with open_db(path) as db:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TappedConnection, "read_wal", read)
            db.sync()
        db.sync()
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_wal_truncated_while_it_is_compared_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path, page_size=512)
    with open_db(path) as db:
        db.sync()
    application.execute("INSERT INTO ballast VALUES (randomblob(50000))")
    truncate(application)
    application.execute("DELETE FROM ballast")
    commit(application, 200)
    application.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)  # so that a read transaction uses the file alone
    reads = 0
    real = TappedConnection.read_wal

    def read(self: TappedConnection, offset: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 3:
            truncate(application)
            commit(application, 1)
        return real(self, offset, size)

    with open_db(path) as db:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TappedConnection, "read_wal", read)
            txid = db.sync().txid
        assert restored(db, tmp_path, txid) == image(application)
    application.close()


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_full_disk_leaves_nothing_half_written_and_the_next_sync_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        first = db.sync()
        commit(application, 3)

        def full(*_arguments: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(Path if step == "replace" else os, step, full)
            for _ in range(2):
                with pytest.raises(UnavailableError, match="no space"):
                    db.sync()
                assert db.pos() == first
                assert [file.name for file in db.ltx_level_dir(0).iterdir()] == [f"{1:016x}-{1:016x}.ltx"]
        commit(application, 3)
        assert db.sync().txid == first.txid + 1
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_an_error_of_sqlite_while_a_file_is_written_is_not_one_of_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        db.sync()
        commit(application, 3)
        encode = Encoder.encode_pages

        def fail(self: Encoder, pgnos: Sequence[int], pages: bytes) -> None:
            encode(self, pgnos, pages)
            with sqlite_errors(str(path)):
                raise apsw.IOError

        with monkeypatch.context() as patch:
            patch.setattr(Encoder, "encode_pages", fail)
            with pytest.raises(PrimaryUnavailableError):
                db.sync()
        assert len(list(db.ltx_level_dir(0).iterdir())) == 1
        assert db.sync().txid == 2
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_a_file_that_somebody_else_wrote_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        db.sync()
        commit(application, 3)
        other = db.ltx_path(0, TXID(2), TXID(2))
        other.write_bytes(b"theirs")
        with pytest.raises(ConflictError, match="another process"):
            db.sync()
        assert other.read_bytes() == b"theirs"
        other.unlink()
        assert db.sync().txid == 2
    application.close()


def test_modes_are_inherited_from_the_database_and_its_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    application = make(tmp_path / "app.db")
    (tmp_path / "app.db").chmod(0o640)
    with open_db(tmp_path / "app.db") as db:
        db.sync()
        for directory in (db.meta_path, db.ltx_dir, db.ltx_level_dir(0)):
            assert directory.stat().st_mode & 0o777 == 0o750
        assert db.ltx_path(0, TXID(1), TXID(1)).stat().st_mode & 0o777 == 0o640
    application.close()


@pytest.mark.parametrize("place", [PageSums, PositionFile])
def test_a_full_disk_after_the_level_0_file_is_made_good_by_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: type[PageSums | PositionFile]
) -> None:
    path = tmp_path / "app.db"
    application = make(path)

    def full(*_arguments: object) -> None:
        raise UnavailableError

    with open_db(path) as db:
        db.sync()
        commit(application, 3)
        with monkeypatch.context() as patch:
            patch.setattr(place, "write", full)
            with pytest.raises(UnavailableError):
                db.sync()
        assert restored(db, tmp_path) == image(application)
        assert db.sync().txid == 2
        check_sums(db.meta_path, path)
        commit(application, 1)
        assert db.sync().txid == 3
    truncate(application)
    with open_db(path) as db:
        db.sync()
        assert page_counts(db, [db.pos().txid])[0] < 10
        check_sums(db.meta_path, path)
    application.close()


def test_an_error_of_the_read_transaction_is_noticed_and_the_position_proven_anew(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = make(path)
    with open_db(path) as db:
        db.sync()
        assert db._connected is not None
        for _ in range(3):
            db._connected.syncer.end_read()  # as SQLite does after an I/O error
            commit(application, 2)
            application.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
            commit(application, 2)
            db.sync()
            assert restored(db, tmp_path) == image(application)
            assert page_counts(db, [db.pos().txid])[0] < 10
    application.close()
