"""Azure Blob Storage: the suite of all clients, errors sorted by what to do next, credentials, secrets."""

import itertools

import pytest

from replication.client.azure import AzureReplicaClient
from replication.client.base import ReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from tests.client.conformance import SharedStoreTests
from tests.client.ltx_bytes import ltx_bytes
from tests.support.azure_server import AzureServer

_numbers = itertools.count(1)


def inner(client: ReplicaClient) -> AzureReplicaClient:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, AzureReplicaClient)
    return client.inner


class TestAzure(SharedStoreTests):
    @pytest.fixture
    def client(self, abs_server: AzureServer) -> ReplicaClient:
        self.server = abs_server
        return replica_client(abs_server.url(f"conformance/{next(_numbers)}"))

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        names = (f"{txid:016x}-{txid:016x}.ltx" for txid in txids)
        self.server.fill((f"{inner(client).config.path}/ltx/{level}/{name}", ltx_bytes(1, 1)) for name in names)

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        self.server.fill([(f"{inner(client).config.path}/ltx/{level}/{name}", data)])

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        return replica_client(self.server.url(inner(client).config.path + "0"))
