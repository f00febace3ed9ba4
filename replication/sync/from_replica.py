"""What a replica gives back when local state is lost: the newest level-0 file, and the checksums of all pages.

Without the first, the numbers would begin again, below those that the replica has. Without the second, the whole
database would be written anew.

Source: litestream 0.5.17, db.go, "checkDatabaseBehindReplica".
"""

import logging
import shutil
from dataclasses import replace
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from replication.client.base import ReplicaClient
from replication.errors import (
    CorruptError,
    LTXMissingError,
    NoSnapshotsError,
    PositionError,
    TxNotAvailableError,
)
from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.decoder import Decoder
from replication.ltx.encoder import Encoder
from replication.ltx.file_info import FileInfo
from replication.ltx.trailer import TRAILER_SIZE, Trailer
from replication.position import TXID
from replication.restore.source import calc_restore_plan
from replication.sync.local_files import LocalFile, LocalFiles
from replication.sync.page_sums import Checksums, PageSums, SumsTag
from replication.sync.roll_forward import checksums_of_file

_COPY_SIZE = 1 << 20


class ReplicaLink(Protocol):
    """The replica of a database, as far as it is read here."""

    @property
    def client(self) -> ReplicaClient:
        """What reaches it."""

    def max_ltx_file_info(self, level: int) -> FileInfo | None:
        """Return the file of a level that leads furthest, or None if the level is empty."""


def fetch_newest(link: ReplicaLink, files: LocalFiles, logger: logging.Logger) -> None:
    """Where the replica is ahead of the local files, replace them by its newest level-0 file.

    A snapshot may lead further than level 0: its writer ended before it uploaded what the snapshot is of, as the real
    program may. Whoever restores begins with it, so its TXID is not to be used again: as a level-0 file of all pages it
    takes the place of the others.

    Raises:
        CorruptError: that snapshot is broken.
        DeniedError, UnavailableError: the storage or the local directory refused, or did not answer.

    """
    local = files.max_txid()
    known = [info for level in (0, SNAPSHOT_LEVEL) if (info := link.max_ltx_file_info(level)) is not None]
    info = max(known, key=lambda info: info.max_txid, default=None)  # of two that lead as far, that of level 0
    if info is None or info.max_txid <= local:
        return
    logger.info("the replica is at TXID %016x, the local files at %016x: going on from there", info.max_txid, local)
    with (
        link.client.open_ltx_file(info.level, info.min_txid, info.max_txid) as reader,
        files.create(info.max_txid) as file,
    ):
        if info.level == 0:
            shutil.copyfileobj(reader, file, _COPY_SIZE)
        else:
            _copy_as_level_0(reader, file)
    files.delete_before(info.max_txid)


def _copy_as_level_0(reader: BinaryIO, file: BinaryIO) -> None:
    """Write a file of the whole database anew, as one of its last TXID."""
    decoder = Decoder(reader)
    encoder = Encoder(file, replace(decoder.header, min_txid=decoder.header.max_txid))
    for page in decoder:
        encoder.copy_page(page)
    encoder.close()


def rebuild_sums(
    link: ReplicaLink, sums: PageSums, files: LocalFiles, newest: LocalFile, logger: logging.Logger
) -> bool:
    """Make the sums of a state that the replica and the local files have in common, or say that there is none.

    It is the newest of the replica's level 0, whose file must be the same here.

    Raises:
        DeniedError, UnavailableError: the storage or the local directory refused, or did not answer.

    """
    try:
        info = link.max_ltx_file_info(0)
        if info is None or info.max_txid > newest.txid:
            return False
        common = files.read(info.max_txid)
        if common is None or common.file_checksum != _file_checksum(link.client, info):
            return False
        logger.info("reading the replica at TXID %016x for the checksums of its pages", info.max_txid)
        checksums = _checksums_at(link.client, info.max_txid, common)
    except (CorruptError, LTXMissingError, NoSnapshotsError, PositionError, TxNotAvailableError) as error:
        logger.info("the replica does not tell the checksums of its pages: %s", error)
        return False
    if checksums is None:
        return False
    sums.write(SumsTag.of(common), np.arange(1, len(checksums) + 1, dtype=np.uint32), checksums)
    return True


def _checksums_at(client: ReplicaClient, txid: TXID, newest: LocalFile) -> Checksums | None:
    """Return the checksum of every page at a TXID; None if the page size is another, or changed on the way."""
    checksums: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
    for info in calc_restore_plan(client, txid):
        with client.open_ltx_file(info.level, info.min_txid, info.max_txid) as reader:
            written = checksums_of_file(reader)
        header = written.file.header
        if header.page_size != newest.header.page_size:
            return None
        grown = np.zeros(header.commit, dtype=np.uint64)
        kept = min(len(checksums), header.commit)
        grown[:kept] = checksums[:kept]
        checksums = grown
        checksums[written.pgnos - 1] = written.checksums
    return checksums if len(checksums) == newest.header.commit else None


def _file_checksum(client: ReplicaClient, info: FileInfo) -> int:
    tail = client.read_ltx(info, max(0, info.size - TRAILER_SIZE), info.size)
    return Trailer.unpack(tail).file_checksum
