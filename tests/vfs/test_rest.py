"""A replica that nobody reads is polled less and less, and whoever reads it again sees the newest state.

Method: the poller with a clock of the test's; then a real one over a client whose listings can be held.
"""

import time

import pytest

import litestream
from replication.client.memory import MemoryReplicaClient
from tests.support.faulty_client import FaultyClient
from tests.support.primary import Primary, StepClock
from tests.support.reading import followed, opened
from tests.support.waiting import wait_until
from vfs.replica import SharedReplica
from vfs.rest import MAX_FACTOR, REST_AFTER_S, WAKE_TIMEOUT_S, Rest


def test_the_interval_doubles_while_nobody_reads_and_is_the_asked_one_again_after_a_read() -> None:
    clock = StepClock()
    state = Rest(2.0, clock)
    assert (state.next_interval_s(), state.is_resting) == (2.0, False)
    clock.advance(REST_AFTER_S - 1)
    assert (state.next_interval_s(), state.is_resting) == (2.0, False)
    clock.advance(1)
    assert [state.next_interval_s() for _ in range(6)] == [4.0, 8.0, 16.0, 20.0, 20.0, 20.0]
    assert state.is_resting
    assert MAX_FACTOR == 10.0
    state.touched = True
    assert (state.next_interval_s(), state.is_resting) == (2.0, False)
    state.interval_s = 1.0
    clock.advance(REST_AFTER_S)
    assert state.next_interval_s() == 2.0
    state.end()
    assert (state.next_interval_s(), state.is_resting) == (1.0, False)


@pytest.fixture
def client() -> FaultyClient:
    return FaultyClient(MemoryReplicaClient())


def let_rest(replica: litestream.ReadReplica) -> SharedReplica:
    """Let a replica that only the test polls rest."""
    shared = replica.open().replica
    shared.rest.touched, shared.rest.is_resting = False, True
    wait_until(lambda: shared.lag_s > shared.rest.interval_s, "the last poll to be too long ago", timeout_s=5)
    return shared


def test_the_first_reader_after_a_rest_sees_what_is_new(client: FaultyClient) -> None:
    with Primary(client.inner) as primary:
        primary.commit("CREATE TABLE item (id INTEGER PRIMARY KEY)")
        primary.snapshot()
        with followed(client) as replica, opened(replica) as connection:
            connection.execute("SELECT count(*) FROM item").fetchall()
            primary.commit("INSERT INTO item VALUES (7)")
            assert connection.execute("SELECT id FROM item").fetchall() == []
            replica.open().replica.rest.interval_s = 0.05
            shared = let_rest(replica)
            assert connection.execute("SELECT id FROM item").fetchall() == [(7,)]
            assert not shared.rest.is_resting


def test_a_storage_that_does_not_answer_keeps_the_first_reader_waiting_a_second_at_most(client: FaultyClient) -> None:
    with Primary(client.inner) as primary:
        primary.commit("CREATE TABLE item (id INTEGER PRIMARY KEY)")
        primary.snapshot()
        with followed(client) as replica, opened(replica) as connection:
            connection.execute("SELECT count(*) FROM item").fetchall()
            gate = client.hold("ltx_files")
            replica.open().replica.rest.interval_s = 0.05
            let_rest(replica)
            began = time.monotonic()
            assert connection.execute("SELECT count(*) FROM item").fetchall() == [(0,)]
            assert WAKE_TIMEOUT_S * 0.9 < time.monotonic() - began < WAKE_TIMEOUT_S + 2
            gate.release()
