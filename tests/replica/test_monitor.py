"""Background work: it goes on after failures, waits longer while they last, and ends when told to or for a reason."""

import logging
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient, RetryPolicy
from replication.errors import ConflictError, DBNotReadyError, DeniedError, UnavailableError
from replication.monitor import MAX_BACKOFF_S, Monitor, backoff_s
from replication.position import TXID, Pos
from replication.replica import Replica
from tests.replica.test_sync import foreign_file, held, write
from tests.support.faulty_client import FaultyClient
from tests.support.local_database import LocalStandIn
from tests.support.waiting import wait_until

TIMEOUT_S = 20.0
LOGGER = logging.getLogger("litestream.replication")


@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from([0.001, 1.0, 60.0]))
def test_pauses_are_bounded_and_never_shorter_than_the_interval(
    failures: int, chance: float, interval_s: float
) -> None:
    assert interval_s <= backoff_s(failures, interval_s, chance) <= MAX_BACKOFF_S
    assert backoff_s(failures, interval_s, chance) <= backoff_s(failures + 1, interval_s, 1.0)


def script(*results: Exception | None) -> tuple[Callable[[], None], list[str], threading.Event]:
    """A function that raises or returns these, one after the other, and an event for when all are used."""
    waiting, threads, done = list(results), list[str](), threading.Event()

    def function() -> None:
        threads.append(threading.current_thread().name)
        result = waiting.pop(0) if waiting else None
        if not waiting:
            done.set()
        if result is not None:
            raise result

    return function, threads, done


def monitor(function: Callable[[], object]) -> Monitor:
    return Monitor("litestream-test", function, interval_s=0.001, logger=LOGGER, chance=lambda: 0.0)


def test_failures_are_logged_counted_and_forgotten_after_a_success(caplog: pytest.LogCaptureFixture) -> None:
    function, threads, done = script(UnavailableError("down"), DeniedError("no"), ValueError("bug"), None, None)
    running = monitor(function)
    running.start()
    running.start()  # does nothing
    assert done.wait(TIMEOUT_S)
    wait_until(lambda: running.failures == 0, "a success", timeout_s=TIMEOUT_S)
    assert running.error is None
    running.stop()
    assert not running.is_running
    assert set(threads) == {"litestream-test"}
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told[0] == "litestream-test failed, 1 in a row: down"
    assert told[2] == "litestream-test failed, 3 in a row: bug"
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


def test_the_error_shows_while_it_lasts() -> None:
    function, _, done = script(*[UnavailableError("down")] * 3, DeniedError("no"))
    held_back = threading.Event()

    def then_wait() -> None:
        if done.is_set():
            held_back.wait(TIMEOUT_S)
        function()

    running = monitor(then_wait)
    running.start()
    wait_until(lambda: running.failures == 4, "four failures", timeout_s=TIMEOUT_S)
    assert isinstance(running.error, DeniedError)
    assert repr(running) == "<Monitor litestream-test running failures=4>"
    held_back.set()
    wait_until(lambda: running.failures == 0, "a success", timeout_s=TIMEOUT_S)
    running.stop()
    assert repr(running) == "<Monitor litestream-test stopped failures=0>"


def test_a_database_that_is_not_ready_is_waited_for_quietly(caplog: pytest.LogCaptureFixture) -> None:
    function, _, done = script(*[DBNotReadyError("not yet")] * 3, None)
    running = monitor(function)
    running.start()
    assert done.wait(TIMEOUT_S)
    running.stop()
    assert caplog.records == []


def test_a_conflict_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    function, threads, _ = script(None, ConflictError("two writers"), None)
    running = monitor(function)
    running.start()
    wait_until(lambda: not running.is_running, "the end", timeout_s=TIMEOUT_S)
    assert len(threads) == 2
    assert isinstance(running.error, ConflictError)
    assert [record.getMessage() for record in caplog.records] == ["litestream-test ends: two writers"]


def test_a_hard_stop_does_not_wait_and_a_new_start_works_all_the_same() -> None:
    held_back, entered, again = threading.Event(), threading.Event(), threading.Event()

    def function() -> None:
        if entered.is_set():
            again.set()
        entered.set()
        held_back.wait(TIMEOUT_S)

    running = monitor(function)
    running.start()
    assert entered.wait(TIMEOUT_S)
    running.stop(wait=False)
    assert running.is_stopping
    running.start()
    assert again.wait(TIMEOUT_S)
    held_back.set()
    running.stop()
    assert not running.is_running


def test_a_monitored_replica_follows_its_database_through_failures(db: LocalStandIn) -> None:
    client = FaultyClient(MemoryReplicaClient())
    once = RetryingClient(client, RetryPolicy(max_attempts=1))
    replica = Replica(db, once, sync_interval_s=0.002, chance=lambda: 0.0)
    replica.start()
    client.fail("ltx_files", UnavailableError("down"), times=2)
    write(db, 3)
    wait_until(lambda: replica.pos() == Pos(TXID(3)), "the first files", timeout_s=TIMEOUT_S)
    client.fail("write_ltx_file", UnavailableError("down"), after=1, times=2)
    write(db, 4)
    wait_until(lambda: replica.pos() == Pos(TXID(7)), "the other files", timeout_s=TIMEOUT_S)
    replica.stop()
    assert held(client) == list(range(1, 8))
    write(db, 1)
    assert replica.pos().txid == 7
    replica.start()
    wait_until(lambda: replica.pos() == Pos(TXID(8)), "what came meanwhile", timeout_s=TIMEOUT_S)
    replica.stop()


def test_a_conflict_shows_in_the_replica(db: LocalStandIn) -> None:
    write(db, 2)
    client = MemoryReplicaClient()
    client.write_ltx_file(0, TXID(2), TXID(2), foreign_file(2))
    replica = Replica(db, client, sync_interval_s=0.002)
    assert replica.error is None
    replica.start()
    wait_until(lambda: isinstance(replica.error, ConflictError), "the conflict", timeout_s=TIMEOUT_S)
    replica.stop()
    assert "idle failures=1" in repr(replica)


def test_a_soft_stop_ends_a_backlog_after_the_batch(db: LocalStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication.replica.MAX_BATCH_FILES", 2)
    write(db, 8)
    client = FaultyClient(MemoryReplicaClient())
    gate = client.hold("write_ltx_file", after=2)
    replica = Replica(db, client, sync_interval_s=0.002)
    replica.start()
    gate.wait_until_reached()
    replica.stop(hard=True)
    gate.release()
    replica.stop()
    assert held(client) == [1, 2, 3, 4]


def test_without_monitoring_nothing_starts(db: LocalStandIn) -> None:
    replica = Replica(db, MemoryReplicaClient(), monitor_enabled=False)
    replica.start()
    assert not any(thread.name.startswith("litestream-replica") for thread in threading.enumerate())
    replica.stop()
