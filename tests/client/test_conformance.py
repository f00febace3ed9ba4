"""Every client, and every wrapper around one, passes the same suite."""

import itertools
from pathlib import Path

import pytest

from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient
from replication.client.s3 import S3ReplicaClient
from replication.client.url import replica_client
from tests.client.conformance import ReplicaClientTests, SharedStoreTests
from tests.client.ltx_bytes import ltx_bytes
from tests.support.faulty_client import FaultyClient
from tests.support.s3_server import S3Server

_numbers = itertools.count(1)


class TestMemory(ReplicaClientTests):
    @pytest.fixture
    def client(self) -> ReplicaClient:
        return MemoryReplicaClient()


class TestFile(SharedStoreTests):
    @pytest.fixture
    def client(self, tmp_path: Path) -> ReplicaClient:
        return FileReplicaClient(tmp_path / "replica")

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        assert isinstance(client, FileReplicaClient)
        path = client.path / "ltx" / str(level) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        assert isinstance(client, FileReplicaClient)
        return FileReplicaClient(client.path / "other")


class TestS3(SharedStoreTests):
    @pytest.fixture
    def client(self, s3_server: S3Server) -> ReplicaClient:
        self.server = s3_server
        return replica_client(s3_server.url(f"conformance/{next(_numbers)}"))

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        names = (f"{txid:016x}-{txid:016x}.ltx" for txid in txids)
        self.server.fill((f"{_path(client)}/{level:04x}/{name}", ltx_bytes(1, 1)) for name in names)

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        self.server.fill([(f"{_path(client)}/{level:04x}/{name}", data)])

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        return replica_client(self.server.url(_path(client) + "0"))


class TestRetrying(ReplicaClientTests):
    @pytest.fixture
    def client(self) -> ReplicaClient:
        return RetryingClient(MemoryReplicaClient())


class TestFaultyWithoutFaults(ReplicaClientTests):
    @pytest.fixture
    def client(self) -> ReplicaClient:
        return FaultyClient(MemoryReplicaClient())


def _path(client: ReplicaClient) -> str:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, S3ReplicaClient)
    return client.inner.config.path
