"""What goes on around a replicator in a crash run: an application that checkpoints, and a store that fails."""

import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import apsw

from tests.support.s3_server import S3Server

LONGEST_PAUSE_S = 0.4
JOIN_TIMEOUT_S = 30.0
CHECKPOINT_SHARE = 0.2  # of these pauses end with one
MODES = (apsw.SQLITE_CHECKPOINT_TRUNCATE, apsw.SQLITE_CHECKPOINT_PASSIVE)
BUSY_TIMEOUT_MS = 50
FAULT_SHARES = (0.0, 0.0, 0.0, 0.2, 1.0)  # of the store's requests; each lasts for one pause


def checkpoint(database: Path, chance: random.Random) -> None:
    """Checkpoint in any mode, as a short-lived application; every other one leaves a WAL that nobody else uses."""
    mode, keeps_wal = chance.choice(MODES), chance.random() < 0.5
    application = apsw.Connection(str(database))
    try:
        application.set_busy_timeout(BUSY_TIMEOUT_MS)
        application.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps_wal)
        with suppress(apsw.BusyError):
            # A connection that never read does not checkpoint.
            application.execute("SELECT 1 FROM sqlite_schema").fetchall()
            application.wal_checkpoint(mode=mode)
    finally:
        application.close()


@dataclass(slots=True)
class Disturbance:
    """A thread that checkpoints, and changes how often the store fails, at random, as long as the context lasts."""

    database: Path
    server: S3Server | None
    seed: int
    checkpoints: int = 0
    _error: BaseException | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="disturbance", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End it; the store is well again. An error of the thread is raised here."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(JOIN_TIMEOUT_S)
            assert not self._thread.is_alive(), f"a checkpoint took longer than {JOIN_TIMEOUT_S} s"
        if self.server is not None:
            self.server.fail_at_random(0.0)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        chance = random.Random(self.seed)  # noqa: S311  # a schedule
        try:
            while not self._stopped.wait(chance.uniform(0.0, LONGEST_PAUSE_S)):
                if self.server is not None:
                    self.server.fail_at_random(chance.choice(FAULT_SHARES))
                if chance.random() < CHECKPOINT_SHARE:
                    checkpoint(self.database, chance)
                    self.checkpoints += 1
        except BaseException as error:  # noqa: BLE001  # handed to __exit__
            self._error = error
