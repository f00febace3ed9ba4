"""The last uploads of a database that is being closed."""

import time
from collections.abc import Sequence
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


def finish_replicas(
    replicas: Sequence[Replica], *, timeout_s: float, interval_s: float, clock: Clock, logger: Logger
) -> None:
    """Upload what is left, to each replica again and again until it is done or the time is over, and let go of it.

    What does not heal by itself is raised at once.

    Raises:
        LitestreamError: what the last try said, of the first replica that failed.

    """
    deadline = clock.monotonic() + timeout_s
    finish = partial(_finish, deadline=deadline, interval_s=interval_s, clock=clock, logger=logger)
    in_parallel([partial(finish, replica) for replica in replicas])


def _finish(replica: Replica, *, deadline: float, interval_s: float, clock: Clock, logger: Logger) -> None:
    replica.stop_monitor()
    try:
        _sync_last(replica, deadline=deadline, interval_s=interval_s, clock=clock, logger=logger)
    finally:
        replica.stop()


def _sync_last(replica: Replica, *, deadline: float, interval_s: float, clock: Clock, logger: Logger) -> None:
    told = ""
    while True:
        try:
            replica.sync()
        except DBNotReadyError:
            return  # nothing to upload
        except _LASTING:
            raise
        except LitestreamError as error:
            if clock.monotonic() + interval_s > deadline:
                raise
            if told != str(error):
                told = str(error)
                left_s = deadline - clock.monotonic()
                logger.warning("the last sync of %r failed, trying again for %.0f s: %s", replica, left_s, told)
            time.sleep(interval_s)
        else:
            return
