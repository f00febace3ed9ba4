"""Goal: while the storage is away, slow or stuck, a reader gets what is known or an error in time, and it all heals.

Method: a replica in memory behind a client with faults, polled often. What was read before is read again while every
request fails; what was not is asked for, and must fail, never be short or zero. Stuck requests are held at a gate and
must end by `interrupt()` or by the time limit, whichever the test uses.

Planted bugs that were caught: an interrupted poll shown as an error of the storage; a poller that a foreign exception
ended; a second reader joining a request that never ends; opening behind a poll under way.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import apsw
import pytest

import litestream
from replication.client.memory import MemoryReplicaClient
from replication.levels import SNAPSHOT_LEVEL
from tests.support.faulty_client import FaultyClient
from tests.support.step_writer import StepWriter
from tests.support.waiting import wait_until

POLL_S = 0.02
SOON_S = 1.0  # an interrupt must have ended anything by then
FILL = (
    "CREATE TABLE small (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO small VALUES (1, 'one');"
    "CREATE TABLE large (id INTEGER PRIMARY KEY, body BLOB); WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n"
    " WHERE i < 200) INSERT INTO large SELECT i, randomblob(3000) FROM n"
)
SMALL = "SELECT name FROM small ORDER BY id"
LARGE = "SELECT sum(length(body)) FROM large"
LARGE_SUM = [(200 * 3000,)]


class Storage:
    """A replica in memory that can go away."""

    def __init__(self) -> None:
        self.client = FaultyClient(MemoryReplicaClient())
        self.steps = StepWriter(self.client)
        self.steps.commit(FILL, level=SNAPSHOT_LEVEL)

    def go_away(self, error: Exception | None = None) -> None:
        for method in ("ltx_files", "read_ltx"):
            self.client.fail(method, error or litestream.UnavailableError("the line is down"), times=None)

    def come_back(self) -> None:
        self.client.heal()


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_what_is_cached_is_read_while_the_storage_is_away_and_the_error_shows(storage: Storage) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=POLL_S)
    assert _rows(connection, SMALL) == [("one",)]
    storage.go_away()
    wait_until(lambda: _pragma(connection, "error") != "", "the failed poll", timeout_s=5)
    assert _pragma(connection, "error") == "the line is down"
    wait_until(lambda: int(_pragma(connection, "lag")) >= 1, "the lag", timeout_s=5)
    assert _rows(connection, SMALL) == [("one",)]
    assert _rows(connection, "PRAGMA page_count") == [(203,)]
    storage.come_back()
    storage.steps.commit("INSERT INTO small VALUES (2, 'two')")
    wait_until(lambda: _rows(connection, SMALL) == [("one",), ("two",)], "the next TXID", timeout_s=5)
    assert _pragma(connection, "error") == ""
    assert _pragma(connection, "lag") == "0"
    connection.close()


def test_what_is_not_cached_fails_and_is_never_short_or_zero(storage: Storage) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=POLL_S)
    assert _rows(connection, SMALL) == [("one",)]
    for _ in range(3):
        storage.go_away()
        error = _failure(apsw.IOError, lambda: _rows(connection, LARGE))
        assert (error.extendedresult, str(error)) == (apsw.SQLITE_IOERR_READ, "the line is down")  # type: ignore[attr-defined]
        assert isinstance(error.__cause__, litestream.UnavailableError)
        assert _rows(connection, SMALL) == [("one",)]
        storage.come_back()
    assert _rows(connection, LARGE) == LARGE_SUM
    assert _rows(connection, "PRAGMA integrity_check") == [("ok",)]
    connection.close()


def test_storage_that_goes_away_in_the_middle_of_a_scan_fails_the_scan(storage: Storage) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=60)
    connection.execute("PRAGMA cache_size = 0")
    for after in range(0, 60, 7):
        storage.client.fail("read_ltx", litestream.UnavailableError("down"), after=after, times=1)
        before = storage.client.count("read_ltx")
        try:
            assert _rows(connection, LARGE) == LARGE_SUM
        except apsw.IOError as error:
            assert str(error) == "down"  # noqa: PT017 - either is right, depending on what is cached
        storage.come_back()
        assert _rows(connection, LARGE) == LARGE_SUM
        assert storage.client.count("read_ltx") > before or after
    connection.close()


def test_a_pinned_transaction_goes_on_while_the_storage_is_away(storage: Storage) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=POLL_S)
    connection.execute("BEGIN")
    assert _rows(connection, SMALL) == [("one",)]
    storage.steps.commit("UPDATE small SET name = 'other'")
    storage.go_away()
    assert _rows(connection, SMALL) == [("one",)]
    storage.come_back()
    assert _rows(connection, SMALL) == [("one",)]
    connection.execute("COMMIT")
    wait_until(lambda: _rows(connection, SMALL) == [("other",)], "the next TXID", timeout_s=5)
    connection.close()


def test_max_staleness_turns_too_old_into_an_error_of_its_own_and_recovers(storage: Storage) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=POLL_S, max_staleness_s=0.3)
    assert _rows(connection, SMALL) == [("one",)]
    storage.go_away()
    wait_until(lambda: float(litestream.read_replica(_name(connection)).lag_s) > 0.35, "the lag", timeout_s=5)
    error = _failure(apsw.IOError, lambda: _rows(connection, SMALL))
    assert error.extendedresult == apsw.SQLITE_IOERR_READ  # type: ignore[attr-defined]
    assert isinstance(error.__cause__, litestream.StaleError)
    for words in ("max_staleness is 0.3 s", "last successful poll", "the line is down"):
        assert words in str(error)
    assert _pragma(connection, "error") == "the line is down", "what tells the state is not too old to be told"
    storage.come_back()
    wait_until(lambda: _pragma(connection, "error") == "", "a poll that succeeds", timeout_s=5)
    assert _rows(connection, SMALL) == [("one",)]
    connection.close()


def test_max_staleness_does_not_end_a_transaction_that_has_begun(storage: Storage) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=POLL_S, max_staleness_s=0.1)
    connection.execute("BEGIN")
    assert _rows(connection, SMALL) == [("one",)]
    storage.go_away()
    wait_until(lambda: float(litestream.read_replica(_name(connection)).lag_s) > 0.2, "the lag", timeout_s=5)
    assert _rows(connection, SMALL) == [("one",)]
    connection.execute("COMMIT")
    connection.close()


def test_a_second_connection_opens_while_the_storage_is_away(storage: Storage) -> None:
    with litestream.connect(storage.client, poll_interval_s=POLL_S, name="away") as first:
        assert _rows(first, SMALL) == [("one",)]
        storage.go_away()
        wait_until(lambda: _pragma(first, "error") != "", "the failed poll", timeout_s=5)
        second = litestream.connect(storage.client, poll_interval_s=POLL_S, name="away")
        assert _rows(second, SMALL) == [("one",)]
        second.close()
    first.close()


def test_a_second_connection_opens_while_a_poll_is_stuck(storage: Storage) -> None:
    first = litestream.connect(storage.client, poll_interval_s=POLL_S)
    gate = storage.client.hold("open_ltx_file")
    gate.wait_until_reached()
    began = time.monotonic()
    second = litestream.connect(storage.client, poll_interval_s=POLL_S)
    assert _rows(second, SMALL) == [("one",)]
    assert time.monotonic() - began < SOON_S
    gate.release()
    second.close()
    first.close()


def test_polling_goes_on_after_an_exception_of_somebody_elses_client(storage: Storage) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=POLL_S)
    storage.go_away(ZeroDivisionError("a bug"))
    wait_until(lambda: "ZeroDivisionError" in _pragma(connection, "error"), "the failed poll", timeout_s=5)
    error = _failure(apsw.IOError, lambda: _rows(connection, LARGE))
    assert isinstance(error.__cause__, litestream.LitestreamError)
    assert isinstance(error.__cause__.__cause__, ZeroDivisionError)
    storage.come_back()
    storage.steps.commit("UPDATE small SET name = 'other'")
    wait_until(lambda: _rows(connection, SMALL) == [("other",)], "the next TXID", timeout_s=5)
    connection.close()


def test_interrupt_ends_a_stuck_read_and_keeps_the_transaction(storage: Storage, thread: ThreadPoolExecutor) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=POLL_S)
    connection.execute("BEGIN")
    assert _rows(connection, SMALL) == [("one",)]
    gate = storage.client.hold("read_ltx")
    future = thread.submit(_rows, connection, LARGE)
    gate.wait_until_reached()
    _interrupt(connection, future)
    assert connection.in_transaction
    gate.release()
    storage.steps.commit("UPDATE small SET name = 'other'")
    wait_until(
        lambda: litestream.read_replica(_name(connection)).txid == 2, "the next TXID, in the background", timeout_s=5
    )
    assert _rows(connection, SMALL) == [("one",)]
    assert _rows(connection, LARGE) == LARGE_SUM
    connection.execute("COMMIT")
    assert _rows(connection, SMALL) == [("other",)]
    connection.close()


@pytest.mark.parametrize(
    "sql", ["PRAGMA litestream_poll", "PRAGMA litestream_txid = 1", "PRAGMA litestream_time = '-1s'"]
)
def test_interrupt_ends_a_pragma_that_waits_for_the_storage(
    storage: Storage, thread: ThreadPoolExecutor, sql: str
) -> None:
    storage.steps.commit("INSERT INTO small VALUES (2, 'two')")
    connection = litestream.connect(storage.client, poll_interval_s=60)
    gate = storage.client.hold("ltx_files")
    future = thread.submit(_rows, connection, sql)
    gate.wait_until_reached()
    _interrupt(connection, future)
    assert _pragma(connection, "error") == "", "nothing is wrong with the storage"
    gate.release()
    assert _rows(connection, SMALL) == [("one",), ("two",)]
    connection.close()


def test_interrupt_ends_a_wait(storage: Storage, thread: ThreadPoolExecutor) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=POLL_S)
    connection.set_busy_timeout(60_000)
    before = storage.client.count("open_ltx_file")
    future = thread.submit(_rows, connection, "PRAGMA litestream_wait = 9")
    wait_until(lambda: storage.client.count("open_ltx_file") > before + 3, "polls meanwhile", timeout_s=5)
    assert not future.done()
    _interrupt(connection, future)
    assert _rows(connection, SMALL) == [("one",)]
    connection.close()


def test_a_stuck_read_ends_at_the_time_limit_and_the_next_one_asks_anew(storage: Storage) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=60, timeout_s=0.3)
    gate = storage.client.hold("read_ltx")
    began = time.monotonic()
    error = _failure(apsw.IOError, lambda: _rows(connection, LARGE))
    assert 0.25 < time.monotonic() - began < 0.3 + SOON_S
    assert str(error) == "the storage did not answer within 0.3 s"
    assert isinstance(error.__cause__, litestream.UnavailableError)
    assert _rows(connection, LARGE) == LARGE_SUM, "while the first request is still stuck"
    gate.release()
    connection.close()


def test_a_stuck_poll_ends_at_the_time_limit_and_polling_goes_on(storage: Storage) -> None:
    connection = litestream.connect(storage.client, poll_interval_s=POLL_S, timeout_s=0.2)
    gate = storage.client.hold("open_ltx_file")
    wait_until(lambda: "did not answer within 0.2 s" in _pragma(connection, "error"), "the time limit", timeout_s=5)
    storage.steps.commit("UPDATE small SET name = 'other'")
    wait_until(lambda: _rows(connection, SMALL) == [("other",)], "the next TXID", timeout_s=5)
    gate.release()
    connection.close()


def test_threads_that_open_one_replica_at_once_load_it_once(storage: Storage) -> None:
    for _ in range(3):
        storage.steps.commit("INSERT INTO small(name) VALUES ('more')")
    storage.client.clear_calls()
    litestream.connect(storage.client, poll_interval_s=60).close()
    alone = {method: storage.client.count(method) for method in ("init", "ltx_files", "read_ltx")}
    storage.client.clear_calls()
    storage.client.delay("ltx_files", 0.05, times=None)
    start = threading.Barrier(12)

    def open_and_read() -> apsw.Connection:
        start.wait()
        connection = litestream.connect(storage.client, poll_interval_s=60)
        assert _rows(connection, "SELECT count(*) FROM small") == [(4,)]
        return connection

    with ThreadPoolExecutor(12) as pool:
        connections = [future.result() for future in [pool.submit(open_and_read) for _ in range(12)]]
    assert {method: storage.client.count(method) for method in alone} == alone
    for connection in connections:
        connection.close()


def _interrupt(connection: apsw.Connection, future: "Future[list[tuple[object, ...]]]") -> None:
    began = time.monotonic()
    connection.interrupt()
    with pytest.raises(apsw.InterruptError):
        future.result(timeout=10)
    assert time.monotonic() - began < SOON_S


def _failure(kind: type[apsw.Error], do: Callable[[], object]) -> apsw.Error:
    with pytest.raises(kind) as raised:
        do()
    return raised.value


def _rows(connection: apsw.Connection, sql: str) -> list[tuple[object, ...]]:
    return list(connection.execute(sql).fetchall())


def _pragma(connection: apsw.Connection, name: str) -> str:
    return str(connection.pragma(f"litestream_{name}"))


def _name(connection: apsw.Connection) -> str:
    return connection.filename
