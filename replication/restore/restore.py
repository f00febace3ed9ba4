"""Restoring: from a replica to a database file that is there whole, or not at all.

A replica may hold files of Litestream 0.3 beside LTX files: the database is restored from those that lead further.
(The Go program compares snapshots where an instant is asked for, and so prefers an old snapshot of 0.3 to LTX files
that no snapshot was made of yet.)

Source: litestream 0.5.17, replica.go, "Restore".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from replication.client.base import ReplicaClient
from replication.client.retry import RetryingClient, RetryPolicy
from replication.client.v3 import V3Files, v3_files_of
from replication.clock import SYSTEM_CLOCK, Clock
from replication.errors import DeniedError, NoSnapshotsError, TxNotAvailableError
from replication.levels import LEVELS
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID
from replication.restore.assemble import Assembler
from replication.restore.options import RestoreOptions, RestoreResult
from replication.restore.progress import ThrottledProgress
from replication.restore.source import calc_restore_plan
from replication.restore.target import OutputFile, check_output
from replication.restore.v3 import V3Restorer
from replication.restore.v3_plan import V3Plan, check_contiguous, plan_v3
from replication.restore.verify import check_integrity
from replication.restore.workers import WorkerExecutor


def restore(
    client: ReplicaClient, output: Path, options: RestoreOptions, *, clock: Clock = SYSTEM_CLOCK
) -> RestoreResult:
    """Restore a replica to a file, which appears when all is read, verified, checked and synced.

    Raises:
        UsageError: the options make no sense together, or the output must not be overwritten.
        NoSnapshotsError, TxNotAvailableError, PositionError: the replica does not reach the target.
        LTXMissingError: files kept being deleted while they were read.
        CorruptError: a file is broken, or SQLite finds the database broken.
        DeniedError, UnavailableError: the storage or the operating system refused, or did not answer.

    """
    begin = clock.monotonic()
    options.validate()
    check_output(output, overwrite=options.overwrite)
    if not isinstance(client, RetryingClient):
        client = RetryingClient(client)
    source = _choose(client, options)  # fails before anything is written
    progress = ThrottledProgress(options.progress, clock)
    with OutputFile(output) as file:
        if isinstance(source, _LTXSource):
            written = source.write(client, file, options, progress)
        else:
            written = source.write(file, options, progress)
        file.sync()
        check_integrity(file.path, options.integrity_check)
        file.publish(overwrite=options.overwrite)
    return RestoreResult(
        output=output,
        txid=written.txid,
        files=written.files,
        bytes_downloaded=written.bytes_read,
        pages=written.pages,
        duration_s=clock.monotonic() - begin,
        integrity_check=options.integrity_check,
    )


@dataclass(frozen=True, slots=True)
class _Written:
    txid: TXID
    files: int
    bytes_read: int
    pages: int


@dataclass(frozen=True, slots=True)
class _LTXSource:
    plan: Sequence[FileInfo]

    def write(
        self, client: ReplicaClient, file: OutputFile, options: RestoreOptions, progress: ThrottledProgress
    ) -> _Written:
        threads = 1 if client.is_local else options.parallelism  # local files wait for nothing
        assembler = Assembler(client, file, threads=threads, progress=progress)
        files = assembler.assemble(self.plan, lambda: _plan(client, options))
        header = files[-1].header
        file.truncate(header.commit * header.page_size)
        return _Written(header.max_txid, len(files), assembler.bytes_read, header.commit)


@dataclass(frozen=True, slots=True)
class _V3Source:
    files: V3Files
    plan: V3Plan

    def write(self, file: OutputFile, options: RestoreOptions, progress: ThrottledProgress) -> _Written:
        check_contiguous(self.plan)
        restorer = V3Restorer(self.files, file, options.parallelism, progress)
        page_size = restorer.run(self.plan)
        pages = file.path.stat().st_size // page_size
        return _Written(NO_TXID, len(self.plan.files), restorer.bytes_read, pages)


def _plan(client: ReplicaClient, options: RestoreOptions) -> Sequence[FileInfo]:
    executor = None if client.is_local else WorkerExecutor(len(LEVELS))
    return calc_restore_plan(client, options.txid, options.timestamp, executor=executor)


def _choose(client: ReplicaClient, options: RestoreOptions) -> _LTXSource | _V3Source:
    """Return what to restore from; Litestream 0.3 knew no TXIDs."""
    v3_files = v3_files_of(client) if options.txid is None else None
    try:
        plan = _plan(client, options)
    except (NoSnapshotsError, TxNotAvailableError):
        v3_plan = _plan_v3(v3_files, options)
        if v3_files is None or v3_plan is None:
            raise
        return _V3Source(v3_files, v3_plan)
    try:
        v3_plan = _plan_v3(v3_files, options)
    except DeniedError:  # who may not look there has nothing there
        v3_plan = None
    if v3_files is not None and v3_plan is not None and v3_plan.newest > plan[-1].created_at:
        return _V3Source(v3_files, v3_plan)
    return _LTXSource(plan)


def _plan_v3(files: V3Files | None, options: RestoreOptions) -> V3Plan | None:
    if files is None:
        return None
    return plan_v3(RetryPolicy().call(lambda: list(files.list())), options.timestamp)
