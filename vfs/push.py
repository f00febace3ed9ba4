"""Being told by the store that a file may have come, so that the poller need not wait for its interval to end.

Not every store can tell, and one that can may fail to: the poller goes on at its intervals either way.
"""

from collections.abc import Callable
from logging import Logger
from threading import get_ident

from replication.client.base import ReplicaClient
from replication.client.watch import Watch, watching_client
from replication.errors import LitestreamError


class Push:
    """The watch of one replica, which begins and ends on the poller's thread."""

    def __init__(self, client: ReplicaClient, on_change: Callable[[], None], logger: Logger) -> None:
        """Watch nothing yet."""
        self._client = watching_client(client)
        self._on_change = on_change
        self._logger = logger
        self._watch: Watch | None = None
        self._heard = False
        self._thread_id: int | None = None  # of the thread that told last

    @property
    def is_on(self) -> bool:
        """Whether the store has begun to tell."""
        return self._watch is not None and self._heard

    @property
    def is_current(self) -> bool:
        """Whether this runs on the thread that tells."""
        return self._thread_id == get_ident()

    def begin(self) -> None:
        """Begin to watch, if the store can be watched; it tells at once that it has begun."""
        if self._client is None:
            return
        try:
            self._watch = self._client.watch(self._tell)
        except LitestreamError as error:
            self._logger.info("new files are found by polling only: %s", error)
        except Exception:  # the poller must go on whatever a store does
            self._logger.exception("watching failed in a way it should not")

    def end(self) -> None:
        """End the watch."""
        watch, self._watch, self._thread_id = self._watch, None, None
        if watch is None:
            return
        try:
            watch.close()
        except Exception:  # what comes after this must come
            self._logger.exception("ending a watch failed in a way it should not")

    def _tell(self) -> None:
        self._heard, self._thread_id = True, get_ident()
        self._on_change()
