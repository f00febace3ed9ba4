"""The threads that look after a store's replicas: one for each level, which comes at the level's instants, and others.

They hand the replicas to a few others, so that one that is slow does not keep the rest waiting, and so that never more
than a few are worked on. What fails for one replica is logged, and tried again at the next instant.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from logging import Logger
from typing import Protocol

from replication.clock import Clock
from replication.compaction_levels import CompactionLevel
from replication.db import DB
from replication.errors import CompactionTooEarlyError, DBNotReadyError, LitestreamError, NoCompactionError
from replication.heartbeat import DEFAULT_HEARTBEAT_CHECK_INTERVAL_S, Heartbeat
from replication.level_loop import LevelLoop
from replication.levels import SNAPSHOT_LEVEL
from replication.replica import Replica
from replication.validation import report_findings, validate_replica

MAX_UPKEEP_THREADS = 4
"""How many replicas are compacted, or cleaned up, at once."""


class KeptStore(Protocol):
    """The databases, and what is done to their replicas."""

    logger: Logger
    l0_retention_check_interval_s: float
    validation_interval_s: float

    def dbs(self) -> list[DB]:
        """Return the databases."""

    def is_behind(self, db: DB, level: CompactionLevel, *, replica: Replica) -> bool:
        """Say whether a level missed an interval while nobody was there."""

    def compact_db(self, db: DB, level: CompactionLevel, *, replica: Replica) -> object:
        """Compact into a level, or take a snapshot."""

    def enforce_snapshot_retention(self, db: DB, *, replica: Replica) -> object:
        """Delete old snapshots."""

    def enforce_l0_retention(self, db: DB, *, replica: Replica) -> object:
        """Delete old files of level 0."""


class UpkeepThreads:
    """The threads; they run from `start` until they are closed."""

    def __init__(
        self, store: KeptStore, levels: Sequence[CompactionLevel], *, heartbeat: Heartbeat | None, clock: Clock
    ) -> None:
        """Prepare a thread for each level, that of the snapshots being one, and for what else there is to do.

        Args:
            store: the databases.
            levels: what is compacted; none where nothing is to be.
            heartbeat: the pings to send, if any.
            clock: gives the time.

        """
        self._store = store
        self._heartbeat = heartbeat
        self._logger = store.logger
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(MAX_UPKEEP_THREADS, "litestream-upkeep")
        loops: dict[str, Callable[[], None]] = {}
        if levels:
            loops["level 0 retention"] = partial(self._repeat, store.l0_retention_check_interval_s, self._retain)
        if store.validation_interval_s > 0:
            loops["validation"] = partial(self._repeat, store.validation_interval_s, self._validate)
        if heartbeat is not None:
            loops["heartbeat"] = partial(self._repeat, DEFAULT_HEARTBEAT_CHECK_INTERVAL_S, self._ping)
        for level in levels:
            what = f"level {level.level}"
            loops[what] = LevelLoop(
                level,
                catch_up=partial(self._each, what, partial(self._catch_up, level)),
                compact=partial(self._each, what, partial(self._compact, level)),
                stopped=self._stopped,
                clock=clock,
            ).run
        self._threads = [
            threading.Thread(target=run, name=f"litestream-store {what}", daemon=True) for what, run in loops.items()
        ]

    def start(self) -> None:
        """Begin the work."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Begin nothing more, and wait for what runs."""
        self._stopped.set()
        if self._heartbeat is not None:
            self._heartbeat.close()
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join()
        self._pool.shutdown()

    def _catch_up(self, level: CompactionLevel, db: DB, replica: Replica) -> None:
        if self._store.is_behind(db, level, replica=replica):
            self._compact(level, db, replica)

    def _compact(self, level: CompactionLevel, db: DB, replica: Replica) -> None:
        self._store.compact_db(db, level, replica=replica)
        if level.level == 1:
            self._store.enforce_l0_retention(db, replica=replica)
        elif level.level == SNAPSHOT_LEVEL:
            self._store.enforce_snapshot_retention(db, replica=replica)

    def _repeat(self, interval_s: float, function: Callable[[], object]) -> None:
        while not self._stopped.wait(interval_s):
            function()

    def _retain(self) -> None:
        self._each("level 0 retention", lambda db, replica: self._store.enforce_l0_retention(db, replica=replica))

    def _validate(self) -> None:
        def validate(db: DB, replica: Replica) -> None:
            findings = validate_replica(replica.retrying_client)
            report_findings(findings, f"{db.path.name} in {replica.client!r}", self._logger)

        self._each("validation", validate)

    def _ping(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.check([db.last_synced_at() for db in self._store.dbs()])

    def _each(self, what: str, task: Callable[[DB, Replica], object]) -> bool:
        """Do something for each replica, and say whether all of them were ready."""
        pairs = [(db, replica) for db in self._store.dbs() for replica in db.replicas]
        try:
            return all([*self._pool.map(lambda pair: self._try(what, task, *pair), pairs)])
        except RuntimeError:
            return True  # the interpreter ends, and lets no pool begin anything; whoever closes the store comes next

    def _try(self, what: str, task: Callable[[DB, Replica], object], db: DB, replica: Replica) -> bool:
        """Do something for one replica, and say whether it was ready."""
        try:
            if not self._stopped.is_set():  # a stopped store is not to begin another upload
                task(db, replica)
        except (NoCompactionError, CompactionTooEarlyError):
            return True
        except DBNotReadyError:
            return False
        except LitestreamError as error:
            self._logger.warning("%s of %s failed: %s", what, db.path.name, error)
        except BaseException:  # a panic of native code is no Exception
            self._logger.exception("%s of %s met an error that nobody expected", what, db.path.name)
        return True
