"""Background work: it goes on after failures, waits longer while they last, and ends when told to or for a reason."""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient, RetryPolicy
from replication.errors import ConflictError, DBNotReadyError, DeniedError, LeaseHeldError, UnavailableError
from replication.position import TXID, Pos
from replication.replica import Replica
from replication.scheduler import MAX_BACKOFF_S, Scheduler, Task, backoff_s
from tests.replica.test_sync import foreign_file, held, write
from tests.support.faulty_client import FaultyClient
from tests.support.local_database import LocalStandIn
from tests.support.primary import StepClock
from tests.support.waiting import wait_until

TIMEOUT_S = 20.0
LOGGER = logging.getLogger("litestream.replication")


@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from([0.001, 1.0, 60.0]))
def test_pauses_are_bounded_and_never_shorter_than_the_interval(
    failures: int, chance: float, interval_s: float
) -> None:
    assert interval_s <= backoff_s(failures, interval_s, chance) <= MAX_BACKOFF_S
    assert backoff_s(failures, interval_s, chance) <= backoff_s(failures + 1, interval_s, 1.0)


def script(*results: BaseException | None) -> tuple[Callable[[], None], list[str], threading.Event]:
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


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with Scheduler("litestream-test", max_threads=3) as scheduler:
        yield scheduler


def repeated(scheduler: Scheduler, function: Callable[[], object]) -> Task:
    return Task(scheduler, "some work", function, interval_s=0.001, logger=LOGGER, chance=lambda: 0.0)


def on_demand(scheduler: Scheduler, function: Callable[[], object], *, gap_s: float = 0.0) -> Task:
    return Task(scheduler, "some work", function, gap_s=gap_s, logger=LOGGER)


def test_failures_are_logged_counted_and_forgotten_after_a_success(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    function, threads, done = script(UnavailableError("down"), DeniedError("no"), ValueError("bug"), None, None)
    task = repeated(scheduler, function)
    task.wake()
    task.wake()
    assert done.wait(TIMEOUT_S)
    wait_until(lambda: task.failures == 0, "a success", timeout_s=TIMEOUT_S)
    assert task.error is None
    task.stop()
    count = len(threads)
    task.wake()
    assert {name.rpartition("-")[0] for name in threads} == {"litestream-test"}
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told[0] == "some work failed, 1 in a row: down"
    assert told[2] == "some work failed, 3 in a row: bug"
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]
    scheduler.close()
    assert len(threads) == count


class Panic(BaseException):
    """What a native library raises when it meets a bug of its own."""


def test_a_panic_of_a_native_library_is_a_failure_as_others(scheduler: Scheduler) -> None:
    function, _, done = script(Panic("a bug"), None)
    task = repeated(scheduler, function)
    task.wake()
    assert done.wait(TIMEOUT_S)
    task.stop()
    assert (task.failures, task.error) == (0, None)


def test_the_error_shows_while_it_lasts(scheduler: Scheduler) -> None:
    function, _, done = script(*[UnavailableError("down")] * 3, DeniedError("no"))
    held_back = threading.Event()

    def then_wait() -> None:
        if done.is_set():
            held_back.wait(TIMEOUT_S)
        function()

    task = repeated(scheduler, then_wait)
    task.wake()
    wait_until(lambda: task.failures == 4, "four failures", timeout_s=TIMEOUT_S)
    assert isinstance(task.error, DeniedError)
    assert repr(task) == "<Task some work active failures=4>"
    held_back.set()
    wait_until(lambda: task.failures == 0, "a success", timeout_s=TIMEOUT_S)
    task.stop()
    assert repr(task) == "<Task some work stopped failures=0>"


def test_what_is_not_ready_is_waited_for_quietly(scheduler: Scheduler, caplog: pytest.LogCaptureFixture) -> None:
    function, _, done = script(*[DBNotReadyError("not yet")] * 3, None)
    task = repeated(scheduler, function)
    task.wake()
    assert done.wait(TIMEOUT_S)
    task.stop()
    assert caplog.records == []


def test_a_conflict_ends_it(scheduler: Scheduler, caplog: pytest.LogCaptureFixture) -> None:
    function, threads, _ = script(None, ConflictError("two writers"), None)
    task = repeated(scheduler, function)
    task.wake()
    wait_until(lambda: task.is_stopping, "the end", timeout_s=TIMEOUT_S)
    task.wake()
    assert len(threads) == 2
    assert isinstance(task.error, ConflictError)
    assert [record.getMessage() for record in caplog.records] == ["some work ends: two writers"]


def test_a_writer_that_stands_by_comes_when_the_lease_ends_however_often_it_failed(scheduler: Scheduler) -> None:
    clock = StepClock()
    error = LeaseHeldError("held", owner="other", expires_at=clock.now() + timedelta(seconds=20))

    def function() -> None:
        raise error

    task = Task(scheduler, "some work", function, gap_s=1.0, logger=LOGGER, chance=lambda: 1.0, clock=clock)
    pauses = []
    for _ in range(9):
        task.run()
        pauses.append(task.due - clock.monotonic())
    assert pauses == [2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0, 20.0, 20.0]


def test_what_is_woken_while_it_runs_runs_once_more(scheduler: Scheduler) -> None:
    entered, held_back, calls = threading.Event(), threading.Event(), list[int]()

    def function() -> None:
        calls.append(1)
        entered.set()
        held_back.wait(TIMEOUT_S)

    task = on_demand(scheduler, function)
    task.wake()
    assert entered.wait(TIMEOUT_S)
    for _ in range(5):
        task.wake()
    held_back.set()
    wait_until(lambda: len(calls) == 2, "the second call", timeout_s=TIMEOUT_S)
    scheduler.close()
    assert len(calls) == 2


def test_calls_keep_their_distance_however_often_they_are_woken(scheduler: Scheduler) -> None:
    times = list[float]()
    task = on_demand(scheduler, lambda: times.append(time.monotonic()), gap_s=0.05)
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        task.wake()
    scheduler.close()
    assert len(times) > 1
    assert all(b - a >= 0.049 for a, b in pairwise(times))


def test_what_hangs_keeps_no_other_from_being_called(scheduler: Scheduler) -> None:
    held_back, hanging = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        hanging.release()
        held_back.wait(TIMEOUT_S)

    for _ in range(2):  # one thread is left
        on_demand(scheduler, hang).wake()
        assert hanging.acquire(timeout=TIMEOUT_S)
    function, _, done = script(*[None] * 20)
    repeated(scheduler, function).wake()
    assert done.wait(TIMEOUT_S)
    held_back.set()


def test_thousands_of_tasks_share_a_few_threads(scheduler: Scheduler) -> None:
    names, left = set[str](), threading.Semaphore(0)

    def function() -> None:
        names.add(threading.current_thread().name)
        left.release()

    tasks = [on_demand(scheduler, function) for _ in range(2000)]
    for task in tasks:
        task.wake()
    for _ in tasks:
        assert left.acquire(timeout=TIMEOUT_S)
    assert len(names) <= 3
    assert re.fullmatch(r"<Scheduler litestream-test open threads=[123]>", repr(scheduler))


def test_stopping_waits_for_the_call_that_runs_unless_it_is_told_not_to(scheduler: Scheduler) -> None:
    held_back, entered = threading.Event(), threading.Event()

    def function() -> None:
        entered.set()
        held_back.wait(TIMEOUT_S)

    task = on_demand(scheduler, function)
    task.wake()
    assert entered.wait(TIMEOUT_S)
    task.stop(wait=False)
    stopping = threading.Thread(target=task.stop)
    stopping.start()
    stopping.join(0.05)
    assert stopping.is_alive()
    held_back.set()
    stopping.join(TIMEOUT_S)
    assert not stopping.is_alive()


def test_a_task_may_stop_itself(scheduler: Scheduler) -> None:
    done = threading.Event()

    def function() -> None:
        task.stop()
        done.set()

    task = repeated(scheduler, function)
    task.wake()
    assert done.wait(TIMEOUT_S)


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


def test_a_stop_ends_a_backlog_after_the_file(db: LocalStandIn) -> None:
    write(db, 8)
    client = FaultyClient(MemoryReplicaClient())
    gate = client.hold("write_ltx_file", after=2)
    replica = Replica(db, client, sync_interval_s=0.002)
    replica.start()
    gate.wait_until_reached()
    replica.stop(hard=True)
    gate.release()
    replica.stop()
    assert held(client) == [1, 2, 3]


def test_without_monitoring_nothing_starts(db: LocalStandIn) -> None:
    replica = Replica(db, MemoryReplicaClient(), monitor_enabled=False)
    replica.start()
    assert not any(thread.name.startswith("litestream-replica") for thread in threading.enumerate())
    replica.stop()
