"""What we read from a WAL is what SQLite recovers from it, wherever the WAL ends, for each page size and byte order."""

from pathlib import Path

import apsw
import pytest

from replication.wal.checksum import ByteOrder
from replication.wal.reader import WALReader
from tests.support.wal_files import (
    FRAME_HEADER_SIZE,
    HEADER_SIZE,
    WrittenWAL,
    apply,
    grow_and_shrink,
    reader_of,
    recode,
    sqlite_reads,
    write_wal,
)

BASE = "INSERT INTO item VALUES (100, randomblob(3000)), (101, 'base')"


def agree(directory: Path, written: WrittenWAL, wal: bytes) -> int:
    """Assert that SQLite reads what the page map says; return the map's commit."""
    page_map = WALReader(reader_of(wal)).page_map()
    assert apply(written, wal, page_map) == sqlite_reads(directory, written.database, wal)
    return page_map.commit


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("page_size", [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])
def test_a_wal_cut_at_each_frame_reads_as_sqlite_reads_it(tmp_path: Path, page_size: int, byteorder: ByteOrder) -> None:
    written = write_wal(tmp_path / "a.db", page_size, grow_and_shrink, base=BASE)
    wal = recode(written.wal, byteorder)
    commits = {agree(tmp_path, written, wal[: written.boundary(frame)]) for frame in range(written.frame_count + 1)}
    assert len(commits) >= 4  # none, and sizes up and down


def test_sqlite_writes_little_endian_and_our_recoding_gives_its_bytes_back(tmp_path: Path) -> None:
    wal = write_wal(tmp_path / "a.db", 1024, grow_and_shrink).wal
    assert recode(wal, "little") == wal
    assert recode(recode(wal, "big"), "little") == wal


def test_a_torn_frame_reads_as_sqlite_reads_it(tmp_path: Path) -> None:
    written = write_wal(tmp_path / "a.db", 512, grow_and_shrink, base=BASE)
    last = written.boundary(written.frame_count - 1)
    for size in [last + 1, last + FRAME_HEADER_SIZE, last + written.frame_size - 1]:
        agree(tmp_path, written, written.wal[:size])
        torn = written.wal[:size] + bytes(len(written.wal) - size)  # the file grew, the bytes did not come
        agree(tmp_path, written, torn)


def test_a_flipped_byte_reads_as_sqlite_reads_it(tmp_path: Path) -> None:
    written = write_wal(tmp_path / "a.db", 512, grow_and_shrink, base=BASE)
    for position in range(HEADER_SIZE, len(written.wal), 97):
        wal = bytearray(written.wal)
        wal[position] ^= 0x40
        agree(tmp_path, written, bytes(wal))


def test_a_restarted_wal_with_old_frames_behind_reads_as_sqlite_reads_it(tmp_path: Path) -> None:
    def work(connection: apsw.Connection) -> None:
        grow_and_shrink(connection)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        connection.execute("INSERT INTO item VALUES (50, 'after')")

    written = write_wal(tmp_path / "a.db", 1024, work, base=BASE)
    reader = WALReader(reader_of(written.wal))
    page_map = reader.page_map()
    assert 0 < page_map.max_offset < len(written.wal)
    assert agree(tmp_path, written, written.wal) == page_map.commit
    assert agree(tmp_path, written, written.wal[: page_map.max_offset]) == page_map.commit


def test_a_transaction_larger_than_the_cache_reads_as_sqlite_reads_it(tmp_path: Path) -> None:
    def work(connection: apsw.Connection) -> None:
        connection.pragma("cache_size", 5)
        connection.pragma("cache_spill", 5)
        connection.execute("BEGIN")
        for i in range(60):
            connection.execute("INSERT INTO item VALUES (?, randomblob(300))", (i,))
            connection.execute("UPDATE item SET body = randomblob(400) WHERE id = ?", (i // 2,))
        connection.execute("COMMIT; BEGIN")
        for i in range(60, 90):
            connection.execute("INSERT INTO item VALUES (?, randomblob(300))", (i,))
        # Frames are in the WAL that no commit follows.

    written = write_wal(tmp_path / "a.db", 512, work)
    page_map = WALReader(reader_of(written.wal)).page_map()
    frames = (page_map.max_offset - HEADER_SIZE) // written.frame_size
    assert 0 < frames < written.frame_count
    agree(tmp_path, written, written.wal)


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_wal_without_a_whole_header_is_empty_to_sqlite(tmp_path: Path, size: int) -> None:
    written = write_wal(tmp_path / "a.db", 512, grow_and_shrink, base=BASE)
    assert sqlite_reads(tmp_path, written.database, written.wal[:size]) == written.database
