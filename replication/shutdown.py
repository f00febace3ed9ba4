"""The last upload of a database that is being closed."""

import time
from logging import Logger

from replication.clock import Clock
from replication.errors import ConflictError, DBNotReadyError, LitestreamError
from replication.replica import Replica


def sync_last(replica: Replica, *, timeout_s: float, interval_s: float, clock: Clock, logger: Logger) -> None:
    """Upload what is left, again and again until it is done or the time is over.

    Raises:
        ConflictError: another writer is at work on the replica.
        LitestreamError: what the last try said.

    """
    deadline = clock.monotonic() + timeout_s
    while True:
        try:
            replica.sync()
        except DBNotReadyError:
            return  # nothing to upload
        except ConflictError:
            raise  # it stays as it is
        except LitestreamError as error:
            if clock.monotonic() + interval_s > deadline:
                raise
            logger.warning("the last sync of %r failed, trying again: %s", replica, error)
            time.sleep(interval_s)
        else:
            return
