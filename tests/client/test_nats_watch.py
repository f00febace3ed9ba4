"""A watch on a bucket of NATS tells of new files soon, and goes on when the server has been away."""

import io
import logging
import threading
import time
from collections.abc import Iterator
from statistics import median

import pytest

from replication.client.nats import NatsReplicaClient
from replication.client.nats_watch import NatsWatch
from replication.errors import LTXExistsError
from replication.lease import Lease
from replication.position import TXID
from tests.client.ltx_bytes import ltx_bytes, names, write
from tests.support.nats_server import NatsServer, nats_client
from tests.support.waiting import wait_until

TIMEOUT_S = 20.0


class Calls:
    """Counts calls, and keeps what a listing shows when one comes."""

    def __init__(self, client: NatsReplicaClient) -> None:
        self.client = client
        self.count = 0
        self.seen: list[tuple[int, int]] = []

    def __call__(self) -> None:
        self.seen = names(self.client, 0)
        self.count += 1

    def wait_for(self, count: int) -> None:
        wait_until(lambda: self.count >= count, f"call {count} of the watch", timeout_s=TIMEOUT_S, pause_s=0.002)


@pytest.fixture
def client(nats_server: NatsServer) -> Iterator[NatsReplicaClient]:
    made = nats_client(nats_server.url(nats_server.new_bucket()), reconnect_wait_s=0.1)
    yield made
    made.close()


def test_a_new_file_is_told_of_within_100_ms_and_is_listed_then(client: NatsReplicaClient) -> None:
    calls = Calls(client)
    with client.watch(calls):
        calls.wait_for(1)  # it has begun to listen
        times_s = []
        for txid in range(1, 51):
            write(client, 0, txid)
            begin = time.monotonic()
            calls.wait_for(txid + 1)
            times_s.append(time.monotonic() - begin)
            assert calls.seen[-1] == (txid, txid)
    assert median(times_s) < 0.1


def test_only_new_files_are_told_of(nats_server: NatsServer, client: NatsReplicaClient) -> None:
    info = write(client, 0, 1)
    calls = Calls(client)
    with client.watch(calls):
        calls.wait_for(1)
        nats_server.fill(client.config.bucket, [("other", b"data")])
        Lease(client.lease_store()).hold()
        client.delete_ltx_files([info])
        write(client, 0, 2)
        calls.wait_for(2)
        nats_server.delete(client.config.bucket, "ltx/0/0000000000000002-0000000000000002.ltx")
        write(client, 0, 3)
        calls.wait_for(3)
        with pytest.raises(LTXExistsError):
            client.write_ltx_file(0, TXID(3), TXID(3), io.BytesIO(ltx_bytes(3, 3)), if_absent=True)
        write(client, 0, 4)
        calls.wait_for(4)
    assert calls.count == 4


def test_many_files_at_once_need_few_calls(nats_server: NatsServer, client: NatsReplicaClient) -> None:
    entered, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def on_change() -> None:
        entered.set()
        assert go_on.wait(TIMEOUT_S)
        seen.append(len(names(client, 0)))

    with client.watch(on_change):
        assert entered.wait(TIMEOUT_S)
        nats_server.fill(
            client.config.bucket, [(f"ltx/0/{n:016x}-{n:016x}.ltx", ltx_bytes(n, n)) for n in range(1, 301)]
        )
        go_on.set()
        wait_until(lambda: bool(seen) and seen[-1] == 300, "all files to be seen", timeout_s=TIMEOUT_S)
    assert len(seen) < 20


def test_a_watch_survives_a_restart_of_the_server_and_what_its_function_raises(
    nats_server: NatsServer, client: NatsReplicaClient, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls(client)

    def on_change() -> None:
        calls()
        msg = "as the test asked"
        raise RuntimeError(msg)

    with caplog.at_level(logging.DEBUG, "litestream.replication"), client.watch(on_change):
        calls.wait_for(1)
        nats_server.stop()
        wait_until(lambda: "found by polling only" in caplog.text, "the warning", timeout_s=TIMEOUT_S)
        wait_until(lambda: caplog.text.count("found by polling only") > 2, "two attempts", timeout_s=TIMEOUT_S)
        nats_server.start()
        calls.wait_for(2)  # something may have come meanwhile
        write(client, 0, 1)
        calls.wait_for(3)
    assert calls.seen == [(1, 1)]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "as the test asked" in caplog.text


def test_a_watch_begun_without_a_server_begins_when_it_comes(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    nats_server.stop()
    calls = Calls(client)
    with client.watch(calls):
        nats_server.start()
        calls.wait_for(1)
        write(client, 0, 1)
        calls.wait_for(2)


def test_a_consumer_that_the_server_lost_is_made_anew(
    nats_server: NatsServer, client: NatsReplicaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication.client.nats_watch.HEARTBEAT_S", 0.2)
    monkeypatch.setattr("replication.client.nats_watch.SILENCE_S", 0.5)
    calls = Calls(client)
    with client.watch(calls):
        calls.wait_for(1)
        sent = nats_server.counters()["out_msgs"]  # from now on heartbeats, for longer than silence may last
        wait_until(lambda: nats_server.counters()["out_msgs"] >= sent + 5, "heartbeats", timeout_s=TIMEOUT_S)
        assert calls.count == 1
        nats_server.delete_consumers(client.config.bucket)
        calls.wait_for(2)
        write(client, 0, 1)
        calls.wait_for(3)


def test_a_closed_watch_is_quiet_and_leaves_no_thread_and_no_connection(
    nats_server: NatsServer, client: NatsReplicaClient
) -> None:
    client.init()
    before = nats_server.connection_count()
    calls = Calls(client)
    watch = client.watch(calls)
    calls.wait_for(1)
    assert nats_server.connection_count() == before + 1
    begin = time.monotonic()
    watch.close()
    watch.close()
    assert time.monotonic() - begin < 2.0
    assert not [thread for thread in threading.enumerate() if thread.name == "litestream-nats-watch"]
    wait_until(lambda: nats_server.connection_count() == before, "the connection to end", timeout_s=TIMEOUT_S)
    write(client, 0, 1)
    assert calls.count == 1


def test_a_watch_may_be_closed_by_its_own_function(client: NatsReplicaClient) -> None:
    done = threading.Event()
    box: list[NatsWatch] = []

    def on_change() -> None:
        wait_until(lambda: bool(box), "the watch", timeout_s=TIMEOUT_S)
        box[0].close()
        done.set()

    box.append(client.watch(on_change))
    assert done.wait(TIMEOUT_S)
    box[0].close()
