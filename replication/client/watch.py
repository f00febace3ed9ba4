"""Stores that can tell of new files, so that a reader need not ask all the time."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from replication.client.base import ReplicaClient
from replication.client.wrapper import WrapperClient


class Watch(Protocol):
    """A watch under way."""

    def close(self) -> None:
        """End it, within a few seconds; a call that comes later all the same must do no harm."""


@runtime_checkable
class HasWatch(Protocol):
    """A replica client whose store can tell of new files."""

    def watch(self, on_change: Callable[[], None]) -> Watch:
        """Call `on_change` soon after a file may have appeared at level 0, until the watch is closed.

        It is called too when the watch has begun, and each time it begins anew after a break: a file may have come
        before. It may be called for nothing, and one call may stand for many files. A call may also be lost, so whoever
        watches asks at intervals all the same. It is called on any thread, and returns at once.

        This does not wait for a network: a store that cannot be reached is tried again until the watch is closed.

        Raises:
            UsageError: what the watch needs is not installed.
            UnavailableError: there can be no more watches in this process.

        """


def watching_client(client: ReplicaClient) -> HasWatch | None:
    """Return the client, or the one inside it, whose store can tell of new files; None where none can."""
    while not isinstance(client, HasWatch):
        if not isinstance(client, WrapperClient):
            return None
        client = client.inner
    return client
