"""What replicas, compaction and retention need of the database they replicate."""

from contextlib import suppress
from logging import Logger
from pathlib import Path
from typing import BinaryIO, Protocol

from replication.ltx.file_info import FileInfo
from replication.position import TXID, Pos


class LocalDatabase(Protocol):
    """A database whose transactions lie beside it as level-0 files, one TXID each, until they are replicated."""

    @property
    def path(self) -> Path:
        """Where the database lies."""

    @property
    def logger(self) -> Logger:
        """Where to tell of what happens in the background."""

    def pos(self) -> Pos:
        """Return the position of the newest local level-0 file; zero if there is none yet."""

    def ltx_path(self, level: int, min_txid: TXID, max_txid: TXID) -> Path:
        """Return where a local file of that name lies, or would lie."""

    def local_id(self) -> str:
        """Return the id of the lock on the local state, while it is held; else nothing."""

    def snapshot_reader(self) -> tuple[Pos, BinaryIO]:
        """Return a position, and a reader of the whole database there as an LTX file; closing it frees the database.

        Raises:
            DBNotReadyError: nothing of the database was read yet.

        """


def open_local(db: LocalDatabase, info: FileInfo, *, position: TXID) -> BinaryIO | None:
    """Return a reader of the local file that a replica's file was made from, if it is still there.

    Of another size it is another file: then the replica's own counts. So does it beyond the position that the replica
    is known to have from us: what is there another writer has uploaded.
    """
    if info.max_txid > position:
        return None
    path = db.ltx_path(info.level, info.min_txid, info.max_txid)
    with suppress(FileNotFoundError):
        if path.stat().st_size == info.size:
            return path.open("rb")
    return None
