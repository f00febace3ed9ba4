"""What the command `replicate` does: databases are replicated until a signal comes, or a child process ends, or once.

A first SIGINT or SIGTERM ends it: each database is synced and uploaded a last time, and for as long as the storage does
not answer that is tried again. A second one ends the trying; a third does what signals do by themselves, which loses
nothing either: what is not uploaded lies in the local state, and the next start goes on with it.

Source: litestream 0.5.17, cmd/litestream/replicate.go and main.go.
"""

import shlex
import signal
import subprocess
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version

import litestream
from litestream.config import Config
from litestream.config_db import DBConfig
from litestream.config_source import ReplicaSource
from litestream.config_store import build_store, sync_interval_s
from litestream.logs import LOGGER, fields, logging_to
from litestream.progress import TerminalProgress
from litestream.signals import Events, Work
from replication.compaction import write_snapshot
from replication.db import DB
from replication.errors import DBNotReadyError, NoCompactionError, NoSnapshotsError, TxNotAvailableError, UsageError
from replication.store import Store
from vfs.duration import format_duration

DISTRIBUTION = "apsw-litestream"
SIGNALLED_EXIT_CODE = 128
"""What a shell adds the number of the signal to that ended a child."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What is done beside the one sync."""

    force_snapshot: bool = False
    enforce_retention: bool = False


def run(config: Config, once: Once | None) -> int:
    """Replicate, as the configuration says, until the end, and return the exit code.

    Raises:
        UsageError: the configuration cannot work.
        LitestreamError: the one sync failed, or the last one; or a database cannot be restored or opened.

    """
    with logging_to(config.logging):
        LOGGER.info(DISTRIBUTION, extra=fields(version=version(DISTRIBUTION), log_level=config.logging.level))
        for warning in config.warnings:
            LOGGER.warning(warning)
        databases = config.databases()
        if not databases:
            msg = "no databases specified in configuration"
            raise UsageError(msg)
        for one in databases:
            if one.restore_if_db_not_exists:
                _restore(one)
        store = build_store(config, databases, once=once is not None)
        with Events() as events:
            store.open()
            try:
                _tell(databases)
                exit_code = _run_until_end(store, config.exec, once, events)
            except BaseException:
                store.set_shutdown_sync_timeout(0.0)  # what failed is not tried again
                _close(store, events, is_failed=True)
                raise
            _close(store, events)
        LOGGER.info("litestream shut down")
        return exit_code


def _restore(config: DBConfig) -> None:
    """Restore a database that is not there; that there is no backup is no error."""
    path = fields(path=config.path)
    if config.path.exists():
        LOGGER.info("database exists, skipping restore", extra=path)
        return
    LOGGER.info("attempting restore before replication", extra=path)
    replica = ReplicaSource(replicas=config.replicas).newest(LOGGER.warning)
    try:
        with closing(replica.client()) as client, TerminalProgress(f"restoring {config.path}") as progress:
            litestream.restore(client, config.path, integrity_check="none", progress=progress)
    except (NoSnapshotsError, TxNotAvailableError):
        LOGGER.info("no backup found, starting fresh", extra=path)
    else:
        LOGGER.info("restore completed", extra=path)


def _tell(databases: list[DBConfig]) -> None:
    """Say what is replicated where to."""
    for config in databases:
        LOGGER.info("initialized db", extra=fields(path=config.path))
        for replica in config.replicas:
            interval = format_duration(sync_interval_s(replica.sync_interval_s))
            described = {"type": replica.type, "sync_interval": interval, **replica.described()}
            LOGGER.info("replicating to", extra=fields(**described))


def _run_until_end(store: Store, command: str, once: Once | None, events: Events) -> int:
    """Wait for the end, and return the exit code."""
    if command:
        return _run_child(command, events)
    work = None if once is None else Work("once", lambda: _sync_once(store, once), events)
    event = events.wait()
    if isinstance(event, signal.Signals):
        _tell_signal(event)
        return 0
    if work is not None and work.error is not None:
        raise work.error
    LOGGER.info("replication complete, litestream shutting down")
    return 0


def _sync_once(store: Store, once: Once) -> None:
    for db in store.dbs():
        path = fields(path=db.path)
        LOGGER.info("syncing database", extra=path)
        if not db.sync_and_wait().txid:
            msg = f"expected the database {db.path} with a transaction at least, but it is not there or has none"
            raise DBNotReadyError(msg)
        if once.force_snapshot:
            LOGGER.info("taking snapshot", extra=path)
            _take_snapshots(db)
        if once.enforce_retention:
            LOGGER.info("enforcing retention", extra=path)
            for replica in db.replicas:
                store.enforce_snapshot_retention(db, replica=replica)
    LOGGER.info("one-shot replication complete")


def _take_snapshots(db: DB) -> None:
    for replica in db.replicas:
        try:
            write_snapshot(replica.retrying_client, db)
        except NoCompactionError:
            LOGGER.info("snapshot is up to date", extra=fields(path=db.path))


def _run_child(command: str, events: Events) -> int:
    """Run a command until it ends, handing signals on to it, and return its exit code."""
    child = _start_child(command)
    Work("exec", child.wait, events)
    handed_on: set[int] = set()
    while isinstance(event := events.wait(), signal.Signals):
        if not handed_on:
            _tell_signal(event)
            LOGGER.info("sending signal to exec process, and waiting for it to close")
        handed_on.add(event)
        child.send_signal(event)
    LOGGER.info("subprocess exited, litestream shutting down")
    code = child.returncode
    if code >= 0:
        return code
    return 0 if -code in handed_on else SIGNALLED_EXIT_CODE - code


def _start_child(command: str) -> subprocess.Popen[bytes]:
    """Start a command; an error does not show all of it, because it may hold a password."""
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        msg = f"cannot start exec command: {error}"
        raise UsageError(msg) from None
    if not arguments:
        msg = "cannot start exec command: expected a command, got blanks"
        raise UsageError(msg)
    try:
        return subprocess.Popen(arguments)  # noqa: S603 - the operator's own command
    except OSError as error:
        msg = f"cannot start exec command {arguments[0]}: {error.strerror}"
        raise UsageError(msg) from error


def _close(store: Store, events: Events, *, is_failed: bool = False) -> None:
    """Close the store while listening to signals."""
    work = Work("close", store.close, events)
    while (event := events.wait()) is not work:
        if isinstance(event, signal.Signals):
            LOGGER.warning("signal received, the last sync is not tried again", extra=fields(signal=_name(event)))
            store.stop_retrying()
            events.stop_listening()
    if work.error is None:
        return
    LOGGER.error("failed to close database", extra=fields(error=work.error))
    if not is_failed:
        raise work.error


def _tell_signal(number: signal.Signals) -> None:
    LOGGER.info("signal received, litestream shutting down", extra=fields(signal=_name(number)))


def _name(number: signal.Signals) -> str:
    return (signal.strsignal(number) or number.name).lower()
