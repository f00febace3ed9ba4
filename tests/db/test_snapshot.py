"""A snapshot is the database at its position, while writers and checkpoints go on."""

import io
from pathlib import Path

import apsw
import pytest

from replication.ltx.checksum import crc64_iso
from replication.ltx.decoder import Decoder
from tests.db.test_restart import commit, make
from tests.support.live_db import connect, image, open_db


def decode(data: bytes) -> tuple[Decoder, bytes]:
    decoder = Decoder(io.BytesIO(data))
    pages = b"".join(page.data for page in decoder)
    return decoder, pages


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_a_snapshot_decodes_to_the_database(tmp_path: Path, page_size: int) -> None:
    application = make(tmp_path / "app.db", page_size=page_size)
    with open_db(tmp_path / "app.db") as db:
        for _ in range(3):
            commit(application, 5)
            pos, reader = db.snapshot_reader()
            with reader:
                decoder, pages = decode(reader.read())
            header = decoder.header
            assert pos == db.pos()
            assert (header.min_txid, header.max_txid) == (1, pos.txid)
            assert header.wal_size in {0, page_size + 24}
            assert pages == image(application)
            db.checkpoint()
    application.close()


def test_writers_and_checkpoints_go_on_while_a_snapshot_is_read(tmp_path: Path) -> None:
    application = make(tmp_path / "app.db")
    application.execute("INSERT INTO ballast VALUES (randomblob(5000000))")
    with open_db(tmp_path / "app.db", busy_timeout_s=0.05) as db:
        db.checkpoint()
        commit(application, 5)
        pos, reader = db.snapshot_reader()
        expected = image(application)
        parts = [reader.read(1000)]
        for _ in range(4):
            application.execute("UPDATE ballast SET body = randomblob(length(body))")
            db.checkpoint("TRUNCATE")
            commit(application, 5)
            assert db.sync().txid > pos.txid
            parts.append(reader.read(1_000_000))
        parts.append(reader.read())
        assert decode(b"".join(parts))[1] == expected
        reader.close()
        db.checkpoint()
        assert decode(db.snapshot_reader()[1].read())[1] == image(application)
    application.close()


def test_a_wal_started_over_while_a_snapshot_is_read_changes_nothing_in_it(tmp_path: Path) -> None:
    application = make(tmp_path / "app.db")
    with open_db(tmp_path / "app.db") as db:
        commit(application, 5)
        db.sync()
        # All frames are in the database file now, and the image names frames of the WAL all the same.
        assert db._connected is not None
        with db._connected.primary.barrier():
            db._connected.syncer.sync()
            db._connected.syncer.end_read()
            assert db._connected.primary.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE).is_complete
            db._connected.syncer.begin_read()
        expected = image(application)
        readers = [db.snapshot_reader()[1] for _ in range(2)]
        salts = db._connected.syncer.position.salts
        application.execute("UPDATE ballast SET body = randomblob(length(body))")
        db.sync()
        assert db._connected.syncer.position.salts != salts
        for reader in readers:
            with reader:
                assert decode(reader.read())[1] == expected
    application.close()


def test_the_crc_is_that_of_the_bytes_of_the_database(tmp_path: Path) -> None:
    application = make(tmp_path / "app.db")
    with open_db(tmp_path / "app.db") as db:
        commit(application, 3)
        crc, pos = db.crc64()
        assert crc == crc64_iso(image(application))
        assert pos == db.pos()
    application.close()


def test_a_reader_that_is_dropped_lets_go_of_the_database(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id)")
    with open_db(tmp_path / "app.db") as db:
        _, reader = db.snapshot_reader()
        reader.read(10)
        reader.close()
        assert reader.closed
        db.checkpoint("TRUNCATE")
        assert db.wal_path.stat().st_size < 3 * 4120
    application.close()
