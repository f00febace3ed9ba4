"""Goal: every call given to the pool ends, in a result or in an error of ours, and what nobody waits for goes away.

Method: a pool of one thread that is held at a gate, so that what comes next has to wait; the start of a thread fails,
or is held until the pool is closed.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Thread

import pytest

import vfs.request_pool
from replication.client.memory import MemoryReplicaClient
from replication.errors import UnavailableError, UsageError
from tests.support.faulty_client import FaultyClient
from tests.support.waiting import wait_until
from vfs.fetch import MAX_IN_FLIGHT, Fetcher
from vfs.request_pool import RequestPool
from vfs.waiter import InterruptedReadError, Waiter

NAME = "litestream-test"


@pytest.fixture
def gate() -> Iterator[Event]:
    gate = Event()
    yield gate
    gate.set()


@pytest.fixture
def pool(gate: Event) -> Iterator[RequestPool]:
    pool = RequestPool(1, NAME)
    yield pool
    gate.set()
    pool.close(5)


def test_a_call_that_waits_when_the_pool_closes_gets_an_error_of_ours(pool: RequestPool, gate: Event) -> None:
    begun = Event()
    under_way = pool.submit(lambda: begun.set() or gate.wait())  # type: ignore[func-returns-value]
    assert begun.wait(5)
    waiting = pool.submit(int)
    pool.close(0)
    with pytest.raises(UsageError, match="the replica is closed"):
        waiting.result(5)
    gate.set()
    assert under_way.result(5)
    with pytest.raises(UsageError, match="the replica is closed"):
        pool.submit(int)


def test_a_thread_that_cannot_be_started_is_an_error_of_ours_and_the_next_call_tries_again(
    pool: RequestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", _cannot_start)
        for _ in range(3):
            with pytest.raises(UnavailableError, match="can't start new thread"):
                pool.submit(int)
    assert pool.submit(int).result(5) == 0


def test_a_pool_that_could_not_start_a_thread_closes(pool: RequestPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Thread, "start", _cannot_start)
    with pytest.raises(UnavailableError):
        pool.submit(int)
    pool.close(5)


def test_a_pool_may_close_while_a_thread_of_it_is_being_started(
    pool: RequestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, start = Event(), Thread.start
    closing: list[Future[None]] = []

    def start_slowly(thread: Thread) -> None:
        if thread.name.startswith(NAME):
            starting.set()
            wait_until(lambda: pool._lock.locked() or any(one.done() for one in closing), "the lock", timeout_s=5)
        start(thread)

    monkeypatch.setattr(Thread, "start", start_slowly)
    with ThreadPoolExecutor(2) as threads:
        threads.submit(pool.submit, int)
        assert starting.wait(5)
        closing.append(threads.submit(pool.close, 5))
        closing[0].result(5)


def test_no_more_calls_wait_than_may(pool: RequestPool, gate: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vfs.request_pool, "MAX_WAITING", 3)
    pool.submit(gate.wait)
    waiting = [pool.submit(int) for _ in range(3)]
    with pytest.raises(UnavailableError, match="3 requests wait"):
        pool.submit(int)
    gate.set()
    assert [future.result(5) for future in waiting] == [0, 0, 0]
    assert pool.submit(int).result(5) == 0


def test_listings_that_are_no_longer_waited_for_are_not_made() -> None:
    client = FaultyClient(MemoryReplicaClient())
    fetcher = Fetcher(client, "test", 60.0)
    gates = [client.hold("ltx_files", after=number) for number in range(MAX_IN_FLIGHT)]
    try:
        stuck = [fetcher.list(0) for _ in gates]
        for gate in gates:
            gate.wait_until_reached()
        with pytest.raises(UnavailableError):
            list(Waiter(0.01).results([fetcher.list(level) for level in range(10)]))
        with pytest.raises(InterruptedReadError):
            list(fetcher.executor(Waiter(60.0, lambda: True)).map(client.ltx_files, range(10)))
    finally:
        for gate in gates:
            gate.release()
    assert [future.result(5) for future in stuck] == [()] * MAX_IN_FLIGHT
    assert fetcher.list(0).result(5) == ()
    fetcher.close(5)
    assert client.count("ltx_files") == MAX_IN_FLIGHT + 1


def _cannot_start(_thread: Thread) -> None:
    msg = "can't start new thread"
    raise RuntimeError(msg)
