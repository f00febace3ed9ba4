"""A database as replicas see it: a path, and level-0 files beside it, one for each transaction.

db = LocalStandIn(tmp_path)
db.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")     # TXID 1
db.pos().txid, db.ltx_path(0, TXID(1), TXID(1)), db.images[1].data
"""

import io
import logging
from pathlib import Path
from typing import BinaryIO, Self

from replication.client.file import FileReplicaClient
from replication.clock import to_timestamp_ms
from replication.errors import DBNotReadyError
from replication.ltx.file_info import FileInfo
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.ltx.name import ltx_file_path
from replication.position import NO_TXID, TXID, Pos, lock_pgno
from tests.support.ltx_files import make_file
from tests.support.primary import Image, Primary, StepClock


class LocalStandIn:
    """A simulated primary whose files lie where a real one's would."""

    def __init__(self, directory: Path, *, page_size: int = 512, clock: StepClock | None = None) -> None:
        self._path = directory / "app.db"
        self._root = directory / ".app.db-litestream"
        self.client = FileReplicaClient(self._root)
        self.primary = Primary(self.client, page_size=page_size, clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.primary.close()

    @property
    def path(self) -> Path:
        return self._path

    @property
    def logger(self) -> logging.Logger:
        return logging.getLogger("litestream.replication")

    @property
    def images(self) -> dict[int, Image]:
        return self.primary.images

    def commit(self, *statements: str) -> int:
        return self.primary.commit(*statements)

    def pos(self) -> Pos:
        return Pos(max((info.max_txid for info in self.client.ltx_files(0)), default=NO_TXID))

    def local_id(self) -> str:
        return ""

    def ltx_path(self, level: int, min_txid: TXID, max_txid: TXID) -> Path:
        return Path(ltx_file_path(str(self._root), level, min_txid, max_txid))

    def snapshot_reader(self) -> tuple[Pos, BinaryIO]:
        pos = self.pos()
        if not pos.txid:
            msg = "nothing was committed yet"
            raise DBNotReadyError(msg)
        return pos, io.BytesIO(snapshot_file(self.primary, pos.txid))


def snapshot_file(primary: Primary, txid: int) -> bytes:
    """A whole state as a snapshot, with the primary's time."""
    image = primary.images[txid]
    lock = lock_pgno(image.page_size)
    header = Header(
        flags=NO_CHECKSUM_FLAG,
        page_size=image.page_size,
        commit=image.commit,
        min_txid=TXID(1),
        max_txid=TXID(txid),
        timestamp_ms=to_timestamp_ms(primary.clock.now()),
    )
    return make_file(header, {pgno: image.page(pgno) for pgno in range(1, image.commit + 1) if pgno != lock})


def local_names(db: LocalStandIn) -> list[tuple[int, int]]:
    return [(info.min_txid, info.max_txid) for info in db.client.ltx_files(0)]


def ranges(infos: list[FileInfo]) -> list[tuple[int, int]]:
    return [(info.min_txid, info.max_txid) for info in infos]
