"""Making WALs for tests: those SQLite writes, the same in the other byte order, and forged ones from a few words.

The checksum here is a plain rendering of its definition, and shares nothing with the code that is tested.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import apsw

from replication.wal.page_map import PageMap

ByteOrder = Literal["little", "big"]

HEADER_SIZE = 32
FRAME_HEADER_SIZE = 24
MAGICS: dict[ByteOrder, int] = {"little": 0x377F0682, "big": 0x377F0683}
SALTS = (0x01020304, 0xF0E0D0C0)


@dataclass(frozen=True)
class WrittenWAL:
    """A database file and the WAL beside it."""

    database: bytes
    wal: bytes
    page_size: int

    @property
    def frame_size(self) -> int:
        return FRAME_HEADER_SIZE + self.page_size

    @property
    def frame_count(self) -> int:
        return (len(self.wal) - HEADER_SIZE) // self.frame_size

    def boundary(self, frame: int) -> int:
        """Where a frame begins."""
        return HEADER_SIZE + frame * self.frame_size


def sums_by_definition(byteorder: ByteOrder, s0: int, s1: int, data: bytes) -> tuple[int, int]:
    for i in range(0, len(data), 8):
        s0 = (s0 + int.from_bytes(data[i : i + 4], byteorder) + s1) % 2**32
        s1 = (s1 + int.from_bytes(data[i + 4 : i + 8], byteorder) + s0) % 2**32
    return s0, s1


def make_wal(
    frames: Iterable[tuple[int, int, bytes]],
    *,
    page_size: int = 512,
    byteorder: ByteOrder = "little",
    checkpoint_seq: int = 0,
    salts: tuple[int, int] = SALTS,
) -> bytes:
    """A WAL with these frames: page number, commit, page."""
    checked = struct.pack(">6I", MAGICS[byteorder], 3_007_000, page_size, checkpoint_seq, *salts)
    sums = sums_by_definition(byteorder, 0, 0, checked)
    parts = [checked, struct.pack(">2I", *sums)]
    for pgno, commit, page in frames:
        head = struct.pack(">2I", pgno, commit)
        sums = sums_by_definition(byteorder, *sums, head + page)
        parts += [head, struct.pack(">4I", *salts, *sums), page]
    return b"".join(parts)


def recode(wal: bytes, byteorder: ByteOrder) -> bytes:
    """The same frames, with salts and all, as a machine of another byte order would have written them."""
    page_size, checkpoint_seq, salt1, salt2 = struct.unpack_from(">4I", wal, 8)
    frames = []
    for at in range(HEADER_SIZE, len(wal), FRAME_HEADER_SIZE + page_size):
        pgno, commit = struct.unpack_from(">2I", wal, at)
        frames.append((pgno, commit, wal[at + FRAME_HEADER_SIZE : at + FRAME_HEADER_SIZE + page_size]))
    return make_wal(
        frames, page_size=page_size, byteorder=byteorder, checkpoint_seq=checkpoint_seq, salts=(salt1, salt2)
    )


def write_wal(path: Path, page_size: int, work: Callable[[apsw.Connection], None], *, base: str = "") -> WrittenWAL:
    """Let SQLite do some work on a new database and return the files; `base` is what the database file holds before."""
    connection = apsw.Connection(str(path))
    try:
        connection.pragma("page_size", page_size)
        connection.pragma("auto_vacuum", "FULL")
        connection.pragma("journal_mode", "WAL")
        connection.wal_autocheckpoint(0)
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB)")
        connection.execute(base)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        work(connection)
        return WrittenWAL(path.read_bytes(), Path(f"{path}-wal").read_bytes(), page_size)
    finally:
        connection.close()


def grow_and_shrink(connection: apsw.Connection) -> None:
    """About two dozen frames: one page a commit, several, a database that grows, shrinks and grows again."""
    page_size = connection.pragma("page_size")
    execute = connection.execute
    execute("INSERT INTO item VALUES (1, 'one')")
    execute("INSERT INTO item VALUES (2, randomblob(?))", (page_size * 4,))
    execute("UPDATE item SET body = 'uno' WHERE id = 1")
    execute("DELETE FROM item WHERE id = 2")
    execute(
        "BEGIN; INSERT INTO item VALUES (3, randomblob(:size)); INSERT INTO item VALUES (4, 'four'); COMMIT",
        {"size": page_size * 2},
    )
    execute("UPDATE item SET body = 'quattro' WHERE id = 4")


def sqlite_reads(directory: Path, database: bytes, wal: bytes) -> bytes:
    """The database as SQLite recovers it from these two files."""
    path = directory / "recovered.db"
    path.write_bytes(database)
    Path(f"{path}-wal").write_bytes(wal)
    connection = apsw.Connection(str(path))
    try:
        return connection.serialize("main")
    finally:
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def apply(written: WrittenWAL, wal: bytes, page_map: PageMap) -> bytes:
    """The database that a page map says: its frames, and for all other pages the database file."""
    page_size = written.page_size
    commit = page_map.commit or len(written.database) // page_size
    pages = []
    for pgno in range(1, commit + 1):
        offset = page_map.find(pgno)
        if offset is None:
            pages.append(written.database[(pgno - 1) * page_size : pgno * page_size])
        else:
            pages.append(wal[offset + FRAME_HEADER_SIZE : offset + FRAME_HEADER_SIZE + page_size])
    return b"".join(pages)


def reader_of(data: bytes | bytearray) -> Callable[[int, int], bytes]:
    """What reads these bytes by position."""
    return lambda offset, size: bytes(data[offset : offset + size])
