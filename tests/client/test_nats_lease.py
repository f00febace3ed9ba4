"""The lease in a bucket of NATS is only ever written on a condition."""

import threading
from collections.abc import Iterator

import pytest

from replication.client.nats import NatsReplicaClient
from replication.client.nats_lease import MAX_LEASE_SIZE
from replication.errors import LeaseHeldError, UnavailableError
from replication.lease import HasLeaseStore, Lease
from tests.client.ltx_bytes import write
from tests.support.nats_server import NatsServer, nats_client


@pytest.fixture
def client(nats_server: NatsServer) -> Iterator[NatsReplicaClient]:
    made = nats_client(nats_server.url(nats_server.new_bucket()))
    yield made
    made.close()


def test_a_lease_is_created_once_and_replaced_by_who_knows_it(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    assert isinstance(client, HasLeaseStore)
    store = client.lease_store()
    assert store.read() is None
    assert store.replace(b"one", "1") is None
    etag = store.create(b"one")
    assert etag
    assert store.create(b"two") is None
    stored = store.read()
    assert stored is not None
    assert (stored.data, stored.etag) == (b"one", etag)
    newer = store.replace(b"two", etag)
    assert newer
    assert newer != etag
    assert store.replace(b"three", etag) is None
    assert store.replace(b"three", "nonsense") is None
    stored = store.read()
    assert stored is not None
    assert (stored.data, stored.etag) == (b"two", newer)
    assert nats_server.read(client.config.bucket, "lock.json") == b"two"
    assert len(nats_server.subjects(client.config.bucket)) == 2  # no chunks of what was refused or replaced


def test_a_lease_that_was_deleted_can_be_created_again_and_not_replaced(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    store = client.lease_store()
    etag = store.create(b"one")
    assert etag
    nats_server.delete(client.config.bucket, "lock.json")
    assert store.read() is None
    assert store.replace(b"two", etag) is None
    assert store.create(b"three")


def test_of_many_writers_at_once_one_gets_the_lease(client: NatsReplicaClient) -> None:
    for etag in (None, "of the first round"):
        start, results = threading.Barrier(6), list[str | None]()
        stored = client.lease_store().read()
        assert (stored is None) is (etag is None)

        def acquire(number: int, start: threading.Barrier, known: str | None, results: list[str | None]) -> None:
            store, data = client.lease_store(), b"%d" % number
            start.wait()
            results.append(store.replace(data, known) if known else store.create(data))

        threads = [
            threading.Thread(target=acquire, args=(number, start, stored.etag if stored else None, results))
            for number in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len([result for result in results if result]) == 1


def test_delete_all_leaves_the_lease(client: NatsReplicaClient) -> None:
    lease = Lease(client.lease_store(), owner="one")
    assert lease.hold()
    write(client, 0, 1)
    client.delete_all()
    with pytest.raises(LeaseHeldError):
        Lease(client.lease_store(), owner="two").hold()
    lease.release()
    assert Lease(client.lease_store(), owner="two").hold()


def test_a_lease_that_is_too_large_is_not_read(nats_server: NatsServer, client: NatsReplicaClient) -> None:
    nats_server.fill(client.config.bucket, [("lock.json", bytes(MAX_LEASE_SIZE + 1))])
    with pytest.raises(UnavailableError, match="at most"):
        client.lease_store().read()
