"""Replicas in an object store of NATS: the suite, and what is special about it."""

import base64
import io
import json
import threading
from collections.abc import Iterator

import pytest
from nats.aio.client import Client

from replication.client.base import ReplicaClient
from replication.client.kept_files import MAX_MEMORY_SIZE
from replication.client.nats import NatsReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from replication.clock import SYSTEM_CLOCK, from_timestamp_ms
from replication.errors import LTXError, LTXExistsError, LTXMissingError
from replication.levels import LEVELS
from replication.position import TXID
from tests.client.conformance import SharedStoreTests
from tests.client.ltx_bytes import TIMESTAMP_MS, WatchedReader, ltx_bytes, names, write
from tests.support.nats_server import NatsServer, nats_client


def bucket_of(client: ReplicaClient) -> str:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, NatsReplicaClient)
    return client.inner.config.bucket


class TestNats(SharedStoreTests):
    @pytest.fixture
    def client(self, nats_server: NatsServer) -> ReplicaClient:
        self.server = nats_server
        return replica_client(nats_server.url(nats_server.new_bucket()))

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        names = (f"ltx/{level}/{txid:016x}-{txid:016x}.ltx" for txid in txids)
        self.server.fill(bucket_of(client), ((name, ltx_bytes(1, 1)) for name in names))

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        self.server.fill(bucket_of(client), [(f"ltx/{level}/{name}", data)])

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        return replica_client(self.server.url(self.server.create_bucket(f"{bucket_of(client)}-other")))


@pytest.fixture
def client(nats_server: NatsServer) -> Iterator[NatsReplicaClient]:
    """A client that does not try again, of an empty bucket."""
    made = nats_client(nats_server.url(nats_server.new_bucket()))
    yield made
    made.close()


def chunks(server: NatsServer, client: NatsReplicaClient) -> list[str]:
    return [name for name in server.subjects(client.config.bucket) if ".C." in name]


# Objects


def test_a_written_object_is_read_by_natss_own_client(nats_server: NatsServer, client: NatsReplicaClient) -> None:
    data = ltx_bytes(1, 9, size=5_000_000)
    write(client, 2, 1, 9, data=data)
    name = "ltx/2/0000000000000001-0000000000000009.ltx"
    assert nats_server.names(client.config.bucket) == [name]
    assert nats_server.read(client.config.bucket, name) == data


@pytest.mark.parametrize(
    ("headers", "has_header_time"),
    [
        ({"Litestream-Timestamp": ["2026-11-22T08:31:03.442Z"]}, True),
        ({"Litestream-Timestamp": "2026-11-22T08:31:03.442Z"}, True),
        ({"Litestream-Timestamp": []}, False),
        ({"Litestream-Timestamp": ["yesterday"]}, False),
        (None, False),
    ],
)
def test_without_a_header_of_the_time_the_time_is_that_of_the_upload(
    nats_server: NatsServer, client: NatsReplicaClient, headers: dict[str, object] | None, *, has_header_time: bool
) -> None:
    nats_server.fill(client.config.bucket, [("ltx/0/0000000000000001-0000000000000001.ltx", ltx_bytes(1, 1))], headers)
    (info,) = client.ltx_files(0)
    if has_header_time:
        assert info.created_at == from_timestamp_ms(TIMESTAMP_MS)
    else:
        assert abs((SYSTEM_CLOCK.now() - info.created_at).total_seconds()) < 60


def test_a_name_that_others_deleted_can_be_written_again(nats_server: NatsServer, client: NatsReplicaClient) -> None:
    for if_absent in (True, False):
        write(client, 0, 1)
        nats_server.delete(client.config.bucket, "ltx/0/0000000000000001-0000000000000001.ltx")
        assert names(client, 0) == []
        with pytest.raises(LTXMissingError):
            client.open_ltx_file(0, TXID(1), TXID(1))
        client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(ltx_bytes(1, 1)), if_absent=if_absent)
        assert names(client, 0) == [(1, 1)]


def test_nothing_is_left_of_what_was_deleted(nats_server: NatsServer, client: NatsReplicaClient) -> None:
    infos = [write(client, 0, txid, data=ltx_bytes(txid, txid, size=300_000)) for txid in (1, 2, 3)]
    client.delete_ltx_files(infos[:2])
    nats_server.delete(client.config.bucket, "ltx/0/0000000000000003-0000000000000003.ltx")
    client.delete_ltx_files(infos)
    assert nats_server.subjects(client.config.bucket) == {}


def test_what_is_refused_replaced_or_broken_off_leaves_no_chunks(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    write(client, 0, 1, data=ltx_bytes(1, 1, size=300_000))
    write(client, 0, 1, data=ltx_bytes(1, 1, size=200_000))
    for size in (1000, 300_000):
        with pytest.raises(LTXExistsError):
            client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(ltx_bytes(1, 1, size=size)), if_absent=True)

    def fail_later(position: int) -> None:
        if position > 6_000_000:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        client.write_ltx_file(0, TXID(2), TXID(2), WatchedReader(ltx_bytes(2, 2, size=9_000_000), fail_later))
    assert len(chunks(nats_server, client)) == 1


def test_of_many_writers_of_one_name_the_chunks_of_one_are_left(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    threads = [
        threading.Thread(target=write, args=(client, 0, 1), kwargs={"data": ltx_bytes(1, 1, size=200_000 + number)})
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (info,) = client.ltx_files(0)
    assert [name.rpartition(".")[2] for name in chunks(nats_server, client)] == [info.identity]


@pytest.mark.parametrize("size", [1000, 300_000])
def test_a_file_whose_content_is_not_what_its_digest_says_is_corrupt(
    nats_server: NatsServer, client: NatsReplicaClient, size: int
) -> None:
    info = write(client, 0, 1, data=ltx_bytes(1, 1, size=size))
    subject = f"$O.{client.config.bucket}.C.{info.identity}"

    async def spoil(connection: Client) -> None:
        stream = connection.jetstream()
        await stream.purge_stream(f"OBJ_{client.config.bucket}", subject=subject)
        await stream.publish(subject, b"x" * min(size, 100_000))

    nats_server.do(spoil)
    for _ in range(2):  # nothing of it is kept
        with pytest.raises(LTXError, match="digest"):
            client.read_ltx(info, 0, 100)


def test_what_others_publish_beside_the_objects_is_passed_over(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    name = "ltx/0/0000000000000001-0000000000000001.ltx"
    prefix = f"$O.{client.config.bucket}.M."

    async def publish(connection: Client) -> None:
        stream = connection.jetstream()
        for data in (b"", b"garbage", b"[]", b"{}", b'{"name":"ltx/0/a","nuid":"b","size":"many"}'):
            await stream.publish(prefix + base64.urlsafe_b64encode(name.encode()).decode(), data)
        await stream.publish(f"{prefix}elsewhere", json.dumps({"name": name, "nuid": "x", "size": 1}).encode())

    nats_server.do(publish)
    nats_server.fill(client.config.bucket, [(name.rpartition("/")[2], b"at the top")])
    assert names(client, 0) == []
    client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(ltx_bytes(1, 1)), if_absent=True)
    assert names(client, 0) == [(1, 1)]


# Files are fetched once


def test_a_file_is_fetched_once_however_often_and_by_whom_it_is_read(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    size = 6_000_000
    data = ltx_bytes(1, 1, size=size)
    info = write(client, 0, 1, data=data)
    before = nats_server.counters()
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(client.read_ltx(info, 1_000_000, 1_000_100))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [data[1_000_000:1_000_100]] * 8
    with client.open_ltx_file(0, TXID(1), TXID(1)) as reader:
        assert reader.read() == data
    sent = nats_server.counters()["out_bytes"] - before["out_bytes"]
    assert size < sent < size * 1.1
    asked = nats_server.counters()["in_msgs"]
    for start in range(0, size, 100_000):
        assert client.read_ltx(info, start, start + 10) == data[start : start + 10]
    assert nats_server.counters()["in_msgs"] == asked


def test_what_is_kept_is_bounded_on_disk_and_in_memory(nats_server: NatsServer) -> None:
    client = nats_client(nats_server.url(nats_server.new_bucket()), keep_size="5MiB")
    infos = [write(client, 0, txid, data=ltx_bytes(txid, txid, size=2_000_000)) for txid in range(1, 5)]
    small = [write(client, 0, txid, data=ltx_bytes(txid, txid, size=900_000)) for txid in range(5, 30)]
    large = write(client, 0, 30, data=ltx_bytes(30, 30, size=9_000_000))
    for info in (*infos, *small, large):
        assert len(client.read_ltx(info)) == info.size
        assert client.kept_files.disk_size <= 5 * 2**20 + (large.size if info is large else 0)
        assert client.kept_files.memory_size <= MAX_MEMORY_SIZE
    before = nats_server.counters()["out_bytes"]
    for start in range(0, large.size, 1_000_000):
        client.read_ltx(large, start, start + 10)
        client.read_ltx(infos[-1], 0, 10)
    assert nats_server.counters()["out_bytes"] == before
    client.close()
    assert client.kept_files.disk_size == client.kept_files.memory_size == 0


def test_an_open_file_is_read_to_its_end_though_it_is_no_longer_kept(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    data = ltx_bytes(1, 1, size=3_000_000)
    info = write(client, 0, 1, data=data)
    with client.open_ltx_file(0, TXID(1), TXID(1)) as reader:
        assert reader.read(10) == data[:10]
        client.delete_ltx_files([info])
        client.close()
        assert reader.read() == data[10:]
    assert chunks(nats_server, client) == []


# Listings


def test_listings_at_the_same_time_share_one_that_began_after_them(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    nats_server.fill(client.config.bucket, [(f"ltx/0/{n:016x}-{n:016x}.ltx", ltx_bytes(n, n)) for n in range(1, 1501)])
    names(client, 0)
    before = nats_server.counters()["out_msgs"]
    threads = [threading.Thread(target=names, args=(client, level)) for level in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = (nats_server.counters()["out_msgs"] - before) / 1500
    assert 1 <= listed < 4  # one that runs, and one for those who came meanwhile


def test_all_levels_are_one_listing_however_many_files_there_are(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    nats_server.fill(client.config.bucket, [(f"ltx/0/{n:016x}-{n:016x}.ltx", ltx_bytes(n, n)) for n in range(1, 1501)])
    snapshot = write(client, 9, 1, 18)
    files = list(client.ltx_files(0))
    before = nats_server.counters()["out_msgs"]
    found = client.ltx_levels()
    listed = (nats_server.counters()["out_msgs"] - before) / 1500
    assert found == {level: {0: files, 9: [snapshot]}.get(level, []) for level in LEVELS}
    assert 1 <= listed < 2
