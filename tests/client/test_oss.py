"""Alibaba Cloud OSS: the suite of all clients, settings, and what differs from S3."""

import io
import itertools
import threading

import pytest

from replication.client.base import ReplicaClient
from replication.client.oss import OSSReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from replication.errors import LTXExistsError
from replication.position import TXID
from tests.client.conformance import SharedStoreTests
from tests.client.ltx_bytes import ltx_bytes, names
from tests.support.s3_server import S3Server, oss_url

_numbers = itertools.count(1)


def inner(client: ReplicaClient) -> OSSReplicaClient:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, OSSReplicaClient)
    return client.inner


class TestOSS(SharedStoreTests):
    @pytest.fixture
    def client(self, s3_server: S3Server) -> ReplicaClient:
        self.server = s3_server
        return replica_client(oss_url(s3_server, f"oss-conformance/{next(_numbers)}"))

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        names = (f"{txid:016x}-{txid:016x}.ltx" for txid in txids)
        self.server.fill((f"{inner(client).config.path}/{level:04x}/{name}", ltx_bytes(1, 1)) for name in names)

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        self.server.fill([(f"{inner(client).config.path}/{level:04x}/{name}", data)])

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        return replica_client(oss_url(self.server, inner(client).config.path + "0"))

    def test_of_two_writers_at_once_one_is_told_that_the_name_is_taken(self, client: ReplicaClient) -> None:
        """Here both may write, because a listing is all that is asked before; one whole file is there after."""
        contents = [ltx_bytes(1, 1, size=size) for size in (1000, 2000)]
        start = threading.Barrier(2)

        def store(data: bytes) -> None:
            start.wait()
            try:
                client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(data), if_absent=True)
            except LTXExistsError:
                return

        threads = [threading.Thread(target=store, args=(data,)) for data in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert names(client, 0) == [(1, 1)]
        (info,) = client.ltx_files(0)
        assert client.read_ltx(info) in contents
