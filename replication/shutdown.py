"""The last uploads of a database that is being closed."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from logging import Logger

from replication.clock import Clock
from replication.errors import (
    ConflictError,
    DBNotReadyError,
    DeniedError,
    LitestreamError,
    PositionError,
    UsageError,
)
from replication.parallel import in_parallel
from replication.replica import Replica

DEFAULT_SHUTDOWN_SYNC_TIMEOUT_S = 30.0
DEFAULT_SHUTDOWN_SYNC_INTERVAL_S = 0.5

_LASTING = (ConflictError, DeniedError, PositionError, UsageError)
"""What stays as it is until somebody does something about it, for which nobody who ends a program should wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to go on trying: until the time is over, or until `give_up` is set."""

    timeout_s: float
    interval_s: float
    give_up: threading.Event


def finish_replicas(replicas: Sequence[Replica], patience: Patience, *, clock: Clock, logger: Logger) -> None:
    """Upload what is left, to each replica again and again until it is done or patience is over, and let go of it.

    What does not heal by itself is raised at once.

    Raises:
        LitestreamError: what the last try said, of the first replica that failed.

    """
    finish = partial(_finish, patience, clock.monotonic() + patience.timeout_s, clock, logger)
    in_parallel([partial(finish, replica) for replica in replicas])


def _finish(patience: Patience, deadline: float, clock: Clock, logger: Logger, replica: Replica) -> None:
    replica.stop_monitor()
    try:
        _sync_last(patience, deadline, clock, logger, replica)
    finally:
        replica.stop()


def _sync_last(patience: Patience, deadline: float, clock: Clock, logger: Logger, replica: Replica) -> None:
    told = ""
    while True:
        try:
            replica.sync()
        except DBNotReadyError:
            return  # nothing to upload
        except _LASTING:
            raise
        except LitestreamError as error:
            if patience.give_up.is_set() or clock.monotonic() + patience.interval_s > deadline:
                raise
            if told != str(error):
                told = str(error)
                left_s = deadline - clock.monotonic()
                logger.warning("the last sync of %r failed, trying again for %.0f s: %s", replica, left_s, told)
            patience.give_up.wait(patience.interval_s)
        else:
            return
