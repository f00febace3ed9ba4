"""Compacting one level of a replica, and writing its snapshots.

Files are merged as they stream by, into a temporary file (in the system's directory for such) that is read back and
verified before the first byte is uploaded: what appears in the replica is whole and right, whatever happens meanwhile,
and an upload that failed can be repeated. Of a file of level 0 the local copy is read, where it is still there,
instead of the replica's.

Source: litestream 0.5.17, compactor.go, and db.go, "Snapshot".
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from tempfile import SpooledTemporaryFile, gettempdir
from typing import BinaryIO, cast

from replication.client.base import ReplicaClient
from replication.compaction_levels import CompactionLevel
from replication.compaction_plan import CompactionPlan, plan_compaction
from replication.errors import (
    CompactionTooEarlyError,
    DBNotReadyError,
    LitestreamError,
    LTXError,
    NoCompactionError,
    PositionError,
    UnavailableError,
    UsageError,
)
from replication.levels import MAX_COMPACTION_LEVEL, SNAPSHOT_LEVEL
from replication.local import LocalDatabase
from replication.ltx.compactor import compacted_header, merge_pages
from replication.ltx.decoder import Decoder
from replication.ltx.encoder import Encoder
from replication.ltx.file_info import FileInfo
from replication.ltx.header import Header
from replication.position import NO_TXID, TXID, format_txid

SPOOL_SIZE = 8 * 2**20
"""How many bytes of a merged file are held in memory; a larger one goes to the disk."""

_FULL = {errno.ENOSPC, errno.EDQUOT}

OpenLocal = Callable[[FileInfo], BinaryIO | None]
"""Gives a reader of the local copy of a file, or None if there is no such copy."""


def no_local_files(info: FileInfo) -> None:
    """Have no local copy of any file."""
    del info


def check_due(level: CompactionLevel, newest: FileInfo | None, now: datetime) -> None:
    """Check that a level was not compacted in the current interval already; a restart must not compact anew.

    Raises:
        CompactionTooEarlyError: it was.

    """
    begin = level.prev_compaction_at(now)
    if newest is not None and newest.created_at > begin:
        next_at = level.next_compaction_at(now)
        msg = (
            f"level {level.level} was compacted at {newest.created_at.isoformat()}, after its interval began at "
            f"{begin.isoformat()}: the next one begins at {next_at.isoformat()}"
        )
        raise CompactionTooEarlyError(msg)


def newest_file(client: ReplicaClient, level: int, known: TXID = NO_TXID) -> FileInfo | None:
    """Return the file of a level that leads furthest, of those that start beyond a TXID.

    Raises:
        UsageError, DeniedError, UnavailableError: as the client's listing.

    """
    begin = TXID(known + 1) if known else NO_TXID
    return max(client.ltx_files(level, begin), key=lambda info: (info.max_txid, info.min_txid), default=None)


def compact_level(
    client: ReplicaClient, level: int, *, known: TXID = NO_TXID, open_local: OpenLocal = no_local_files
) -> FileInfo:
    """Merge what the level below has beyond a level's newest file into one file of it, and return that.

    The very first compaction of a replica may have nothing to write but a snapshot, and then returns that. A call
    takes a bounded number of files; call again until there are no more.

    Args:
        client: the replica.
        level: 1 to 8.
        known: the last TXID the level is known to hold, which saves listing what lies before it.
        open_local: gives local copies of files.

    Raises:
        NoCompactionError: there is nothing to merge.
        PositionError: files are missing, and no snapshot leads over the gap.
        LTXMissingError: a file was deleted meanwhile.
        CorruptError: a file is broken.
        UsageError: there is no such level below the snapshots.
        DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    if not 1 <= level <= MAX_COMPACTION_LEVEL:
        msg = f"expected a level from 1 to {MAX_COMPACTION_LEVEL} to compact into, got {level}"
        raise UsageError(msg)
    return run_compaction(client, _plan(client, level, known), open_local=open_local)


def run_compaction(client: ReplicaClient, plan: CompactionPlan, *, open_local: OpenLocal = no_local_files) -> FileInfo:
    """Do what a plan says, and return the last file written.

    The snapshot comes first: from the moment the level has a file, retention deletes what that was made from.
    """
    snapshot = None if plan.snapshot is None else _write_snapshot_of(client, plan.snapshot, open_local)
    if plan.inputs:
        return _merge(client, plan.level, plan.inputs, open_local)
    if snapshot is None:
        msg = f"the plan for level {plan.level} has no files"
        raise NoCompactionError(msg)
    return snapshot


def write_snapshot(
    client: ReplicaClient, db: LocalDatabase, *, replicate: Callable[[], object] = lambda: None
) -> FileInfo:
    """Write the whole database as it is now to the snapshot level.

    What it is a snapshot of is replicated first. Else a writer that lost the replica to another one would put its own
    history into it; and one that comes after a crash, and knows level 0 only, would use the snapshot's TXID again.

    Args:
        client: the replica.
        db: the database.
        replicate: brings level 0 of the replica to the database's position, and raises what keeps it from that.

    Raises:
        NoCompactionError: the newest snapshot is up to date.
        DBNotReadyError: nothing of the database was read yet.
        UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    if not db.pos().txid:
        msg = f"{db.path} has no position yet, so there is nothing to take a snapshot of"
        raise DBNotReadyError(msg)
    newest = max((info.max_txid for info in client.ltx_files(SNAPSHOT_LEVEL)), default=NO_TXID)
    if newest >= db.pos().txid:
        msg = f"the newest snapshot is of TXID {format_txid(newest)} already"
        raise NoCompactionError(msg)
    pos, reader = db.snapshot_reader()
    with closing(reader):
        replicate()
        return client.write_ltx_file(SNAPSHOT_LEVEL, TXID(1), pos.txid, reader)


def _plan(client: ReplicaClient, level: int, known: TXID) -> CompactionPlan:
    newest = newest_file(client, level, known)
    position = newest.max_txid if newest else known
    if position:
        source = client.ltx_files(level - 1, TXID(position + 1))
        try:
            return plan_compaction(level, position=position, source=source, snapshots=())
        except PositionError:
            pass  # a file that starts earlier may reach over the position, or a snapshot lead over the gap
    source = client.ltx_files(level - 1)
    return plan_compaction(level, position=position, source=source, snapshots=list(client.ltx_files(SNAPSHOT_LEVEL)))


def _merge(client: ReplicaClient, level: int, inputs: Sequence[FileInfo], open_local: OpenLocal) -> FileInfo:
    """Merge files into one of a level, verify it, and upload it."""
    with _spool() as output:
        with ExitStack() as opened:
            readers = [opened.enter_context(closing(_open(client, info, open_local))) for info in inputs]
            header = _write_merged(inputs, readers, output)
        output.seek(0)
        Decoder(output).verify()
        output.seek(0)
        return client.write_ltx_file(level, header.min_txid, header.max_txid, output)


@contextmanager
def _spool() -> Iterator[BinaryIO]:
    """Open a temporary file, and give what the operating system says meanwhile one of our classes."""
    try:
        with SpooledTemporaryFile(max_size=SPOOL_SIZE, prefix="litestream-compaction-") as spool:
            yield cast("BinaryIO", spool)
    except LitestreamError:
        raise
    except OSError as error:
        reason = "no space left on the device" if error.errno in _FULL else error.strerror or str(error)
        msg = f"{error.filename or f'temporary files in {gettempdir()}'}: {reason}"
        raise UnavailableError(msg) from error


def _write_snapshot_of(client: ReplicaClient, info: FileInfo, open_local: OpenLocal) -> FileInfo:
    """Write a file of the whole database to the snapshot level.

    It is large, so where it lies on this machine it is read twice rather than put to the disk once more.
    """
    local = open_local(info) if info.level == 0 else None
    if local is None:
        return _merge(client, SNAPSHOT_LEVEL, [info], no_local_files)
    with closing(local):
        decoder = Decoder(local)
        _check_name(info, decoder.header)
        decoder.verify()
        local.seek(0)
        return client.write_ltx_file(SNAPSHOT_LEVEL, info.min_txid, info.max_txid, local)


def _open(client: ReplicaClient, info: FileInfo, open_local: OpenLocal) -> BinaryIO:
    reader = open_local(info) if info.level == 0 else None
    return reader or client.open_ltx_file(info.level, info.min_txid, info.max_txid)


def _write_merged(inputs: Sequence[FileInfo], readers: Sequence[BinaryIO], output: BinaryIO) -> Header:
    """Merge as the compactor does, but for a change of the page size on the way.

    The file that changes it holds every page, so nothing of those before it is needed; without this no file would
    ever be merged again at this level.
    """
    decoders = [Decoder(reader) for reader in readers]
    for info, decoder in zip(inputs, decoders, strict=True):
        _check_name(info, decoder.header)
    page_size = decoders[-1].header.page_size
    first = max((i + 1 for i, decoder in enumerate(decoders) if decoder.header.page_size != page_size), default=0)
    header = compacted_header([decoder.header for decoder in decoders[first:]])
    header = replace(header, min_txid=decoders[0].header.min_txid)
    encoder = Encoder(output, header)
    count = 0
    for page in merge_pages(decoders[first:]):
        encoder.copy_page(page)
        count += 1
    encoder.close()
    expected = header.commit - (header.commit >= header.lock_pgno)
    if first and count != expected:
        msg = f"expected all {expected} pages after the page size changed to {page_size} bytes, got {count}"
        raise LTXError(msg, min_txid=header.min_txid, max_txid=header.max_txid)
    return header


def _check_name(info: FileInfo, header: Header) -> None:
    if (header.min_txid, header.max_txid) != (info.min_txid, info.max_txid):
        msg = f"expected the TXIDs of the file's name in its header, got {header.min_txid:016x}-{header.max_txid:016x}"
        raise LTXError(msg, level=info.level, min_txid=info.min_txid, max_txid=info.max_txid, offset=16)
