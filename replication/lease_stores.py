"""Where leases are stored: the stores that can keep one say so themselves; and one in memory."""

import threading
from collections.abc import Callable

from replication.client.base import ReplicaClient
from replication.client.wrapper import WrapperClient
from replication.clock import Clock
from replication.lease import HasLeaseStore, Lease, LeaseStore, StoredLease, content_etag


def lease_store(client: ReplicaClient) -> LeaseStore | None:
    """Return where the lease of a client's replica is stored, or None if its store has no conditional writes."""
    while isinstance(client, WrapperClient):
        client = client.inner
    return client.lease_store() if isinstance(client, HasLeaseStore) else None


def default_lease(client: ReplicaClient, local_id: Callable[[], str], clock: Clock) -> Lease | None:
    """Return a lease on a client's replica, or None if its store cannot keep one."""
    store = lease_store(client)
    return None if store is None else Lease(store, local_id=local_id, clock=clock)


class MemoryLeaseStore:
    """A lease in this process's memory."""

    def __init__(self) -> None:
        """Begin without one."""
        self._lock = threading.Lock()
        self._data: bytes | None = None  # guarded by _lock

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none."""
        with self._lock:
            return None if self._data is None else StoredLease(self._data, content_etag(self._data))

    def create(self, data: bytes) -> str | None:
        """Store a lease if there is none."""
        with self._lock:
            if self._data is not None:
                return None
            self._data = data
            return content_etag(data)

    def replace(self, data: bytes, etag: str) -> str | None:
        """Replace the lease that has this etag."""
        with self._lock:
            if self._data is None or content_etag(self._data) != etag:
                return None
            self._data = data
            return content_etag(data)
