"""When to checkpoint, and how: without the WAL ever getting away from the reader of its frames.

A checkpoint, in the order that keeps the position in the WAL proven:

1. sync;
2. hold the WAL by another read transaction, end ours, checkpoint, begin ours anew, sync, and let go of the WAL: nearly
   all is in the database file now, and writers went on meanwhile;
3. take the write lock: from here on nobody writes;
4. sync what was committed since 2: the position is now the end of the WAL;
5. end the read transaction, checkpoint, begin the read transaction: it sees the end of the WAL too;
6. let go of the write lock.

Whoever writes next either goes on in the WAL or starts it over, and both can be told apart from then on (see
`replication.sync.primary`). The application's writers wait for steps 4 and 5, at most; its readers never.

Step 2 loses nothing. At any time one of the two transactions lives, and the later one begins while the earlier one
lives. The sync at its end is there because ours may read from the database file alone by then: the end of the WAL must
be seen while the other one still keeps it from being started over.

SQLite's modes beyond PASSIVE wait for readers that are in the way, and so does step 5 then, for as long as the busy
timeout. TRUNCATE also sets the file to size zero, for which SQLite takes the write lock itself; that comes after step
6, with the read transaction alive: if a writer was faster, the file keeps its size.

Source: litestream 0.5.17, db.go, "Checkpoint".
"""

import logging
import time
from typing import Literal, Protocol, get_args

import apsw

from replication.clock import Clock
from replication.errors import UsageError
from replication.sync.primary import CheckpointResult, Primary
from replication.sync.sqlite_errors import PrimaryUnavailableError
from replication.sync.syncer import Syncer

CheckpointMode = Literal["PASSIVE", "FULL", "RESTART", "TRUNCATE"]

CHECKPOINT_MODE_PASSIVE: CheckpointMode = "PASSIVE"
CHECKPOINT_MODE_FULL: CheckpointMode = "FULL"
CHECKPOINT_MODE_RESTART: CheckpointMode = "RESTART"
CHECKPOINT_MODE_TRUNCATE: CheckpointMode = "TRUNCATE"

RETRY_PAUSE_S = 0.02
"""How long a mode that waits does so before it looks for readers again."""


class CheckpointSettings(Protocol):
    """When to checkpoint."""

    min_checkpoint_page_n: int
    truncate_page_n: int
    checkpoint_interval_s: float


def parse_checkpoint_mode(text: str) -> CheckpointMode:
    """Return the mode that a text names, in capitals or not.

    Raises:
        UsageError: there is no such mode.

    """
    for mode in get_args(CheckpointMode):
        if mode == text.upper():
            return mode  # type: ignore[no-any-return]
    msg = f"expected a checkpoint mode of {', '.join(get_args(CheckpointMode))}, got {text!r}"
    raise UsageError(msg)


def choose_checkpoint(
    settings: CheckpointSettings, *, wal_pages: int, blocked_pages: int, synced: bool, elapsed_s: float
) -> CheckpointMode | None:
    """Say which checkpoint is due, if any.

    Args:
        settings: the thresholds; 0 turns `truncate_page_n` and `checkpoint_interval_s` off.
        wal_pages: how many frames of the WAL are synced.
        blocked_pages: how many there were when a checkpoint last ended early; 0 if the last one was complete.
        synced: whether anything was synced since the last checkpoint.
        elapsed_s: since the last checkpoint.

    """
    if 0 < settings.truncate_page_n <= wal_pages - (blocked_pages if blocked_pages >= settings.truncate_page_n else 0):
        return CHECKPOINT_MODE_TRUNCATE
    # While a reader is in the way, each attempt would only make writers wait: let the WAL grow as much again first.
    if wal_pages >= settings.min_checkpoint_page_n + blocked_pages:
        return CHECKPOINT_MODE_PASSIVE
    # One page is what the last checkpoint itself left.
    if 0 < settings.checkpoint_interval_s <= elapsed_s and synced and wal_pages > 1:
        return CHECKPOINT_MODE_PASSIVE
    return None


class Checkpointer:
    """Checkpoints one database; not for several threads at once."""

    def __init__(
        self, primary: Primary, syncer: Syncer, *, busy_timeout_s: float, clock: Clock, logger: logging.Logger
    ) -> None:
        self._primary = primary
        self._syncer = syncer
        self._busy_timeout_s = busy_timeout_s
        self._clock = clock
        self._logger = logger
        self._last = clock.monotonic()
        self._last_txid = 0 if syncer.newest is None else syncer.newest.txid
        self._blocked_pages = 0

    def run_if_due(self, settings: CheckpointSettings) -> None:
        """Checkpoint if one is due, and rest; a busy database is left alone until the next time."""
        mode = choose_checkpoint(
            settings,
            wal_pages=self._syncer.wal_page_count,
            blocked_pages=self._blocked_pages,
            synced=self._newest_txid() > self._last_txid,
            elapsed_s=self._clock.monotonic() - self._last,
        )
        if mode is None:
            return
        try:
            self.run(mode)
        except PrimaryUnavailableError as error:
            self._logger.info("no %s checkpoint this time: %s", mode, error)
        else:
            self._primary.rest()

    def due_at(self, settings: CheckpointSettings) -> float:
        """Return when, by the monotonic clock, the passing of time alone makes a checkpoint due; infinity if never."""
        is_wanted = self._newest_txid() > self._last_txid and self._syncer.wal_page_count > 1
        if settings.checkpoint_interval_s <= 0 or not is_wanted:
            return float("inf")
        return self._last + settings.checkpoint_interval_s

    def run(self, mode: CheckpointMode) -> None:
        """Checkpoint; if it was complete, leave the WAL with one frame, and that synced.

        Raises:
            PrimaryUnavailableError: a writer held the write lock for longer than the busy timeout.

        """
        self._last = self._clock.monotonic()
        self._syncer.sync()
        self._copy_ahead()
        with self._primary.barrier():
            self._syncer.sync()
            wal_pages = self._syncer.wal_page_count
            self._syncer.end_read()
            try:
                result = self._copy(waits=mode != CHECKPOINT_MODE_PASSIVE)
            finally:
                self._syncer.begin_read()
        was_blocked = self._blocked_pages > 0
        self._blocked_pages = 0 if result.is_complete else wal_pages
        if not result.is_complete:
            self._logger.log(
                logging.WARNING if was_blocked else logging.INFO,  # once may be a long query, and no harm
                "%s checkpoint of %s ended at frame %d of %d: a reader of the database is in the way, so the WAL grows",
                mode,
                self._primary.path,
                result.checkpointed_frames,
                result.wal_frames,
            )
        else:
            if mode == CHECKPOINT_MODE_TRUNCATE:
                self._truncate()
            self._primary.bump_seq()  # starts the WAL over, which would else wait for the next writer
            self._syncer.sync()
        self._last_txid = self._newest_txid()

    def _copy_ahead(self) -> None:
        """Copy what is in the WAL by now, while writers go on."""
        with self._primary.hold():
            try:
                self._syncer.end_read()
                self._primary.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._syncer.begin_read()
                self._syncer.sync()
            except BaseException:
                self._syncer.end_read()  # what was known of the end of the WAL does not hold for another transaction
                raise

    def _copy(self, *, waits: bool) -> CheckpointResult:
        deadline = self._clock.monotonic() + self._busy_timeout_s
        result = self._primary.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        while waits and not result.is_complete and self._clock.monotonic() < deadline:
            time.sleep(RETRY_PAUSE_S)
            result = self._primary.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        return result

    def _truncate(self) -> None:
        try:
            self._primary.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except PrimaryUnavailableError as error:
            self._logger.info("the WAL keeps its size: %s", error)

    def _newest_txid(self) -> int:
        return 0 if self._syncer.newest is None else self._syncer.newest.txid
