"""A client of NATS in a forked child, and while its server comes, goes and hangs."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from replication.client.nats import NatsReplicaClient
from replication.client.url import replica_client
from replication.errors import UnavailableError
from replication.position import TXID
from tests.client.ltx_bytes import WatchedReader, ltx_bytes, names, write
from tests.support.nats_server import NatsServer, nats_client


@pytest.fixture
def client(nats_server: NatsServer) -> Iterator[NatsReplicaClient]:
    """A client that does not try again, of an empty bucket."""
    made = nats_client(nats_server.url(nats_server.new_bucket()))
    yield made
    made.close()


def test_a_forked_child_uses_connections_of_its_own(nats_server: NatsServer) -> None:
    bucket = nats_server.new_bucket()
    program = f"""
import gc, os
from replication.client.url import replica_client
from tests.client.ltx_bytes import names, write
client = replica_client({nats_server.url(bucket)!r}).inner
info = write(client, 0, 1)
client.read_ltx(info)
watch = client.watch(lambda: None)
child = os.fork()
if child == 0:
    gc.collect()
    assert "idle" in repr(client), client
write(client, 0, 2 if child else 3)
assert len(client.read_ltx(info)) == 1000
if child:
    assert os.waitpid(child, 0)[1] == 0
    gc.collect()
    assert names(client, 0) == [(1, 1), (2, 2), (3, 3)]
watch.close()
client.close()
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "multi-threaded" not in line][:5]) == (0, [])


def test_a_restart_of_the_server_in_between_heals(nats_server: NatsServer, capfd: pytest.CaptureFixture[str]) -> None:
    client = replica_client(nats_server.url(nats_server.new_bucket()))
    write(client, 0, 1)
    nats_server.stop()
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match=f"cannot connect to nats://{nats_server.host}"):
        names(client, 0)
    assert time.monotonic() - begin < 10.0
    nats_server.start()
    write(client, 0, 2)
    assert names(client, 0) == [(1, 1), (2, 2)]
    nats_server.stop()
    nats_server.start()
    assert names(client, 0) == [(1, 1), (2, 2)]
    client.close()
    assert capfd.readouterr().err == ""


def test_a_server_that_ends_while_an_answer_is_awaited_is_noticed_at_once(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    client.init()
    begin = time.monotonic()
    nats_server.freeze()
    end = threading.Timer(0.3, nats_server.stop, [signal.SIGKILL])
    end.start()
    try:
        with pytest.raises(UnavailableError, match=r"the connection to .* ended before the answer"):
            client.init()
        assert time.monotonic() - begin < 10.0
    finally:
        end.join()
        nats_server.start()


def test_an_upload_that_the_servers_end_broke_off_is_not_seen(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    client.init()
    reader = WatchedReader(
        ltx_bytes(1, 1, size=9_000_000), lambda position: nats_server.stop() if position > 5_000_000 else None
    )
    begin = time.monotonic()
    try:
        with pytest.raises(UnavailableError):
            client.write_ltx_file(0, TXID(1), TXID(1), reader)
        assert time.monotonic() - begin < 10.0
    finally:
        nats_server.start()
    assert names(client, 0) == []


def test_a_server_that_says_nothing_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = replica_client(f"nats://127.0.0.1:{silent.getsockname()[1]}/bucket", timeout_s=1.0)
        begin = time.monotonic()
        with pytest.raises(UnavailableError, match=r"no answer within 1 s from nats://127\.0\.0\.1"):
            client.init()
        assert time.monotonic() - begin < 5.0


def test_a_server_that_stops_answering_is_unavailable_in_time(nats_server: NatsServer) -> None:
    client = replica_client(nats_server.url(nats_server.new_bucket()), timeout_s=1.0)
    client.init()
    begin = time.monotonic()
    with nats_server.frozen():
        with pytest.raises(UnavailableError, match="no answer within 1 s"):
            names(client, 0)
        assert "idle" in repr(client)  # the connection may be dead, so it is not used again
    assert time.monotonic() - begin < 8.0
    assert names(client, 0) == []
