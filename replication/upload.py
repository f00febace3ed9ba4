"""Uploading the local level-0 files that a replica lacks: in order, each one whole, each one once.

A name that the replica holds already is never written over. If its content is ours, an earlier upload arrived whose
answer was lost, or the real program made it from the same local file: it counts as uploaded. If not, another writer is
at work on the replica, and we stop.

Source: litestream 0.5.17, replica.go, "Sync"; DESIGN W5, W6.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from replication.client.base import ReplicaClient
from replication.errors import (
    ConflictError,
    DeniedError,
    LitestreamError,
    LTXExistsError,
    LTXMissingError,
    UnavailableError,
)
from replication.levels import LEVELS, SNAPSHOT_LEVEL
from replication.local import LocalDatabase
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE
from replication.ltx.trailer import TRAILER_SIZE
from replication.position import NO_TXID, TXID, format_txid


def find_position(client: ReplicaClient, db: LocalDatabase) -> TXID:
    """Return the last TXID that level 0 of a replica holds.

    Where level 0 is empty and others are not (lifecycle rules may do that) the lowest level with files counts.

    Raises:
        ConflictError: the local file of that TXID has other content.
        UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    for level in LEVELS:
        newest = max(client.ltx_files(level), key=lambda info: info.max_txid, default=None)
        if newest is not None:
            if level == 0 and db.ltx_path(0, newest.min_txid, newest.max_txid).exists():
                _check_same(client, db, newest)
            return newest.max_txid
    return NO_TXID


def has_beginning(client: ReplicaClient) -> bool:
    """Say whether any file of a replica begins with TXID 1, so that a restore has where to begin.

    Raises:
        UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    firsts = (next(client.ltx_files(level), None) for level in (SNAPSHOT_LEVEL, *LEVELS[:SNAPSHOT_LEVEL]))
    return any(info is not None and info.min_txid == 1 for info in firsts)


def upload_files(
    client: ReplicaClient,
    db: LocalDatabase,
    first: TXID,
    last: TXID,
    *,
    before_each: Callable[[], object] = lambda: None,
    guarded: Callable[[BinaryIO], BinaryIO] = lambda reader: reader,
) -> Iterator[TXID]:
    """Upload the files of these TXIDs, the last one inclusive, and yield each TXID when the replica holds it.

    What `before_each` upload raises ends it; so does what the reader raises that `guarded` makes of that of a file.

    Raises:
        ConflictError: the replica holds other content under one of their names.
        LTXMissingError: a local file is gone.
        UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    for txid in map(TXID, range(first, last + 1)):
        before_each()
        try:
            with _open(db.ltx_path(0, txid, txid), txid) as reader:
                client.write_ltx_file(0, txid, txid, guarded(reader), if_absent=True)
        except LTXExistsError:
            for info in client.ltx_files(0, txid):
                if info.min_txid == txid:
                    _check_same(client, db, info)
        yield txid


def _check_same(client: ReplicaClient, db: LocalDatabase, info: FileInfo) -> None:
    """Compare by size, header and trailer, in which stands the checksum of all the rest."""
    path = db.ltx_path(info.level, info.min_txid, info.max_txid)
    name = f"{format_txid(info.min_txid)}-{format_txid(info.max_txid)}"
    try:
        with _open(path, info.max_txid) as reader:
            size = reader.seek(0, 2)
            is_same = size == info.size
            for start, end in ((0, HEADER_SIZE), (size - TRAILER_SIZE, size)):
                if is_same:
                    reader.seek(start)
                    is_same = reader.read(end - start) == client.read_ltx(info, start, end)
    except LTXMissingError:
        if path.exists():
            raise  # the replica's is gone: look again
        is_same = False
    if not is_same:
        msg = (
            f"another writer is at work on this replica: its level-0 file {name} has other content than the one of "
            f"{db.path}"
        )
        raise ConflictError(msg)


@contextmanager
def _open(path: Path, txid: TXID) -> Iterator[BinaryIO]:
    """Open a local file; what goes wrong with it is told apart from what goes wrong with the replica."""
    try:
        reader = path.open("rb")
    except FileNotFoundError as error:
        msg = (
            f"{path} is gone before it was replicated, so TXID {format_txid(txid)} cannot be uploaded: reset the "
            "local state, and the database goes on with a file of all its pages"
        )
        raise LTXMissingError(msg) from error
    except OSError as error:
        kind: type[LitestreamError] = DeniedError if isinstance(error, PermissionError) else UnavailableError
        msg = f"{path} cannot be read: {error.strerror}"
        raise kind(msg) from error
    with reader:
        yield reader
