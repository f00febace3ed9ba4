"""The function that restores a replica to a database file: `restore`."""

import os
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from replication.client.base import ReplicaClient
from replication.client.url import replica_client
from replication.errors import UsageError
from replication.position import TXID, parse_txid
from replication.restore.options import (
    DEFAULT_INTEGRITY_CHECK,
    DEFAULT_RESTORE_PARALLELISM,
    IntegrityCheck,
    Progress,
    RestoreOptions,
    RestoreResult,
)
from replication.restore.restore import restore as restore_replica


def restore(
    replica: str | ReplicaClient,
    output: str | os.PathLike[str],
    *,
    txid: TXID | int | str | None = None,
    timestamp: datetime | str | None = None,
    parallelism: int = DEFAULT_RESTORE_PARALLELISM,
    integrity_check: IntegrityCheck = DEFAULT_INTEGRITY_CHECK,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RestoreResult:
    """Restore a replica, given by URL or client, to a database file.

    The file appears under its name whole, checked and synced, or not at all. Every file that is used is read whole and
    its checksum verified.

    Args:
        replica: a URL such as `s3://bucket/path` or `file:///path`, or a client.
        output: the path of the database; its directory is made if need be.
        txid: the TXID to reach exactly; text is read as hexadecimal. The newest one if not given.
        timestamp: restore what was there just before this instant: an aware one, or RFC 3339 text.
        parallelism: how many requests to the storage may be under way at once.
        integrity_check: what SQLite checks before the file appears: "none", "quick" or "full".
        overwrite: replace an existing database, and remove its `-wal`, `-shm` and `-journal`.
        progress: called with the bytes done and the bytes in all, now and then; what it raises ends the restore.

    Raises:
        UsageError: an option is out of range, or something is there that must not be overwritten.
        NoSnapshotsError, TxNotAvailableError, PositionError: the replica does not reach the target.
        LTXMissingError: files kept being deleted while they were read.
        CorruptError: a file of the replica is broken, or SQLite finds the database broken.
        DeniedError, UnavailableError: the storage or the operating system refused, or did not answer.

    """
    options = RestoreOptions(
        txid=TXID(parse_txid(txid) if isinstance(txid, str) else txid) if txid is not None else None,
        timestamp=parse_timestamp(timestamp) if isinstance(timestamp, str) else timestamp,
        parallelism=parallelism,
        integrity_check=integrity_check,
        overwrite=overwrite,
        progress=progress,
    )
    options.validate()
    with ExitStack() as stack:
        if isinstance(replica, str):
            client = replica_client(replica)
            stack.callback(client.close)
        else:
            client = replica
        return restore_replica(client, Path(output), options)


def parse_timestamp(text: str) -> datetime:
    """Return the instant of an RFC 3339 text, which has a zone.

    >>> parse_timestamp("2026-01-31T12:00:00Z").isoformat()
    '2026-01-31T12:00:00+00:00'

    Raises:
        UsageError: it is none.

    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        msg = f"expected a time as in 2026-01-31T12:00:00Z, with a zone, got {text!r}"
        raise UsageError(msg)
    return instant
