"""A primary in this process: a real SQLite database whose committed states become LTX files, quickly, always the same.

    primary = Primary(client, page_size=512)
    primary.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")     # one level-0 file, one TXID
    primary.commit("INSERT INTO item VALUES (1, noise(1, 300))")
    primary.compact(1)
    primary.snapshot()
    primary.retain()                                                       # level-0 files that level 1 holds, and so on
    primary.images[2].data                                                 # what a reader at TXID 2 must see

States are compared page by page, and what differs goes into a file without database checksums, as the real program
writes it. Page 1 goes in only when more of it changed than the change counter, as in a WAL database, so that a reader
cannot rely on seeing it with each transaction. Each file is a second younger than the one before.
"""

import io
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import apsw

from replication.client.base import ReplicaClient
from replication.clock import to_timestamp_ms
from replication.errors import LTXError, PositionError
from replication.levels import MAX_COMPACTION_LEVEL, SNAPSHOT_LEVEL
from replication.ltx.compactor import compact
from replication.ltx.file_info import FileInfo
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.position import TXID, lock_pgno
from tests.support.history_script import register_noise
from tests.support.ltx_files import make_file

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(seconds=1)

# Bytes of page 1 in which a view may differ from the primary: DESIGN R1.
_PAGE_1_MASK = (slice(18, 20), slice(24, 32), slice(40, 44), slice(92, 96))
_FIXED_COUNTER = (7).to_bytes(4, "big")


class StepClock:
    """A clock that moves only when told to."""

    def __init__(self, now: datetime = FIRST) -> None:
        self.wall = now
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.elapsed += seconds


@dataclass(frozen=True, slots=True)
class Image:
    """A whole database as it was committed."""

    page_size: int
    data: bytes

    @property
    def commit(self) -> int:
        return len(self.data) // self.page_size

    def page(self, pgno: int) -> bytes:
        return self.data[(pgno - 1) * self.page_size : pgno * self.page_size]


def masked(data: bytes) -> bytes:
    """A database, with zeros where a view may differ from the primary."""
    copy = bytearray(data)
    for part in _PAGE_1_MASK:
        copy[part] = bytes(part.stop - part.start)
    return bytes(copy)


class Primary:
    """The one writer of a replica; a context manager that closes its database."""

    def __init__(
        self, client: ReplicaClient, *, page_size: int = 512, setup: str = "", clock: StepClock | None = None
    ) -> None:
        self.client = client
        self.clock = clock or StepClock()
        self.txid = 0
        self.history = 0
        self.images: dict[int, Image] = {}  # by TXID, of this history
        self.instants: dict[int, datetime] = {}  # by TXID, of this history
        self._page_size = page_size
        self._setup = setup
        self._directory = tempfile.TemporaryDirectory(prefix="primary-")
        self._connection = self._new_database()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()
        self._directory.cleanup()

    @property
    def image(self) -> Image:
        """The newest state."""
        return self.images[self.txid]

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """What the primary itself answers now."""
        return list(self._connection.execute(sql))

    def commit(self, *statements: str, full: bool = False) -> int:
        """Run statements as one transaction (VACUUM and PRAGMA outside of one), replicate, and return the TXID.

        `full` writes every page, as the real program does where it cannot prove that the WAL goes on. Where no page
        changed there is no new TXID.
        """
        for sql in statements:
            if sql.upper().startswith(("VACUUM", "PRAGMA")):
                list(self._connection.execute(sql))
            else:
                with self._connection:
                    self._connection.execute(sql)
        return self.replicate(full=full)

    def replicate(self, *, full: bool = False) -> int:
        """Write what differs from the last state as a level-0 file."""
        before = self.images.get(self.txid)
        image = self._read(before)
        if before is None or before.page_size != image.page_size:
            full = True
        if before == image and not full:
            return self.txid
        lock = lock_pgno(image.page_size)
        pages = {
            pgno: image.page(pgno)
            for pgno in range(1, image.commit + 1)
            if pgno != lock
            and (full or before is None or pgno > before.commit or image.page(pgno) != before.page(pgno))
        }
        self.write(image, pages)
        return self.txid

    def write(self, image: Image, pages: dict[int, bytes]) -> FileInfo:
        """Take a state as the next one, and these pages as its level-0 file."""
        self.clock.advance(TICK.total_seconds())
        self.txid += 1
        self.images[self.txid] = image
        self.instants[self.txid] = self.clock.now()
        return self._put(0, self._header(self.txid, self.txid, image), pages)

    def compact(self, level: int = 1, *, end: int | None = None) -> FileInfo | None:
        """Merge what the level below has beyond this level's newest file, or up to a TXID; None if that is nothing."""
        done = max((info.max_txid for info in self.client.ltx_files(level)), default=0)
        inputs = [
            info
            for info in self.client.ltx_files(level - 1)
            if info.min_txid > done and (end is None or info.max_txid <= end)
        ]
        if not inputs:
            return None
        output = io.BytesIO()
        try:
            header = compact([io.BytesIO(self.client.read_ltx(info)) for info in inputs], output)
        except (LTXError, PositionError):
            return None  # a changed page size, or a gap: the real program goes on without that file too
        output.seek(0)
        return self.client.write_ltx_file(level, header.min_txid, header.max_txid, output)

    def snapshot(self, txid: int | None = None) -> FileInfo:
        """Write a whole state, the newest one if no other is named, to the snapshot level."""
        txid = self.txid if txid is None else txid
        self.clock.advance(TICK.total_seconds())
        image = self.images[txid]
        lock = lock_pgno(image.page_size)
        pages = {pgno: image.page(pgno) for pgno in range(1, image.commit + 1) if pgno != lock}
        return self._put(SNAPSHOT_LEVEL, self._header(1, txid, image), pages)

    def retain(self, *, snapshots: int = 1, level_0_kept: int = 1) -> list[FileInfo]:
        """Delete what real retention would, with no age to protect it, and return it.

        Level-0 files that level 1 holds go, but the newest few; so do all snapshots but the newest few, and files of
        the other levels that end before the first snapshot kept.
        """
        doomed: list[FileInfo] = []
        level_1 = max((info.max_txid for info in self.client.ltx_files(1)), default=0)
        level_0 = list(self.client.ltx_files(0))
        doomed += [info for info in level_0[: len(level_0) - level_0_kept] if info.max_txid <= level_1]
        whole = list(self.client.ltx_files(SNAPSHOT_LEVEL))
        doomed += whole[:-snapshots]
        if whole:
            floor = whole[-snapshots:][0].max_txid
            for level in range(1, MAX_COMPACTION_LEVEL + 1):
                infos = list(self.client.ltx_files(level))
                doomed += [info for info in infos[:-1] if info.max_txid < floor]
        self.client.delete_ltx_files(doomed)
        return doomed

    def delete(self, *levels: int, keep: Iterable[FileInfo] = ()) -> None:
        """Delete all files of these levels but some."""
        kept = set(keep)
        for level in levels:
            self.client.delete_ltx_files([info for info in self.client.ltx_files(level) if info not in kept])

    def wipe(self) -> None:
        """Delete the replica, and know no TXID any more; the database stays."""
        self.client.delete_all()
        self.txid = 0
        self.history += 1
        self.images = {}
        self.instants = {}

    def start_over(self, *statements: str) -> None:
        """Delete replica and database, and begin with TXID 1; each statement is a transaction."""
        self.wipe()
        self._connection.close()
        self._connection = self._new_database()
        for sql in statements:
            self.commit(sql)

    def restore_back(self, txid: int) -> None:
        """Put the database back to an earlier state, and go on from the newest TXID with a file of every page."""
        self._connection.close()
        image = self.images[txid]
        self._path().write_bytes(_as_stored_by_sqlite(image))
        self._connection = self._open()
        self.replicate(full=True)

    def _path(self) -> Path:
        return Path(self._directory.name) / f"{self.history}.db"

    def _new_database(self) -> apsw.Connection:
        connection = self._open()
        connection.execute(f"PRAGMA page_size = {self._page_size}; {self._setup}")
        return connection

    def _open(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path()))
        register_noise(connection)
        connection.execute("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF")
        return connection

    def _read(self, before: Image | None) -> Image:
        data = bytearray(self._path().read_bytes())
        data[18:20] = b"\x02\x02"  # a primary is in WAL mode
        counter = before.data[24:28] if before else _FIXED_COUNTER
        data[24:28] = data[92:96] = counter
        size = int.from_bytes(data[16:18], "big")
        return Image(65_536 if size == 1 else size, bytes(data))

    def _header(self, min_txid: int, max_txid: int, image: Image) -> Header:
        return Header(
            flags=NO_CHECKSUM_FLAG,
            page_size=image.page_size,
            commit=image.commit,
            min_txid=TXID(min_txid),
            max_txid=TXID(max_txid),
            timestamp_ms=to_timestamp_ms(self.clock.now()),
        )

    def _put(self, level: int, header: Header, pages: dict[int, bytes]) -> FileInfo:
        return self.client.write_ltx_file(level, header.min_txid, header.max_txid, io.BytesIO(make_file(header, pages)))


def _as_stored_by_sqlite(image: Image) -> bytes:
    data = bytearray(image.data)
    data[18:20] = b"\x01\x01"
    return bytes(data)
