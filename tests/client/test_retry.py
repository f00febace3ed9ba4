"""Retries: how often, how long in between, and what is never repeated. The clock is the test's."""

import io
from collections.abc import Iterator

import pytest

from replication.client.memory import MemoryReplicaClient
from replication.client.retry import MAX_ATTEMPTS, RetryingClient, RetryPolicy
from replication.clock import SYSTEM_CLOCK
from replication.errors import DeniedError, LTXMissingError, ThrottledError, UnavailableError
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID
from tests.client.ltx_bytes import WatchedReader, ltx_bytes, names, write
from tests.support.faulty_client import FaultyClient

DOWN = UnavailableError("down")


class Clock:
    """Time passes only when somebody sleeps, or a test says so."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.sleeps: list[float] = []
        self.now = SYSTEM_CLOCK.now

    def monotonic(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policy(clock: Clock) -> RetryPolicy:
    return RetryPolicy(clock=clock, sleep=clock.sleep, chance=lambda: 1.0)


@pytest.fixture
def faulty() -> FaultyClient:
    return FaultyClient(MemoryReplicaClient())


@pytest.fixture
def client(faulty: FaultyClient, policy: RetryPolicy) -> RetryingClient:
    return RetryingClient(faulty, policy)


def test_pauses_double_until_the_call_succeeds(faulty: FaultyClient, client: RetryingClient, clock: Clock) -> None:
    info = write(client, 0, 1)
    faulty.fail("read_ltx", DOWN, times=MAX_ATTEMPTS - 1)
    assert client.read_ltx(info, 0, 4) == b"LTX1"
    assert clock.sleeps == [0.1, 0.2, 0.4, 0.8]


def test_chance_shortens_pauses_to_half_at_most(faulty: FaultyClient, clock: Clock) -> None:
    client = RetryingClient(faulty, RetryPolicy(clock=clock, sleep=clock.sleep, chance=lambda: 0.0))
    faulty.fail("init", DOWN)
    client.init()
    assert clock.sleeps == [0.05]


def test_throttled_calls_wait_longer(faulty: FaultyClient, client: RetryingClient, clock: Clock) -> None:
    faulty.fail("ltx_files", ThrottledError("slower"), times=4)
    assert names(client, 0) == []
    assert clock.sleeps == [0.5, 1.0, 2.0, 4.0]


def test_the_last_error_comes_out_when_attempts_are_used_up(
    faulty: FaultyClient, client: RetryingClient, clock: Clock
) -> None:
    faulty.fail("delete_all", DOWN, times=None)
    with pytest.raises(UnavailableError) as raised:
        client.delete_all()
    assert raised.value is DOWN
    assert (faulty.count("delete_all"), len(clock.sleeps)) == (MAX_ATTEMPTS, MAX_ATTEMPTS - 1)


@pytest.mark.parametrize("error", [DeniedError("no"), LTXMissingError("gone"), RuntimeError("bug")])
def test_what_time_does_not_heal_is_not_repeated(
    faulty: FaultyClient, client: RetryingClient, error: Exception
) -> None:
    faulty.fail("ltx_files", error)
    with pytest.raises(type(error)):
        list(client.ltx_files(0))
    assert faulty.count("ltx_files") == 1


@pytest.mark.parametrize(("attempt_s", "attempts"), [(0.0, 5), (5.0, 5), (9.0, 3), (12.0, 2), (16.0, 1), (40.0, 1)])
def test_no_attempt_begins_that_would_end_after_the_timeout(
    policy: RetryPolicy, clock: Clock, attempt_s: float, attempts: int
) -> None:
    count = 0

    def hang() -> None:
        nonlocal count
        count += 1
        clock.time_s += attempt_s
        raise DOWN

    with pytest.raises(UnavailableError):
        policy.call(hang)
    assert count == attempts
    assert clock.time_s <= max(policy.timeout_s, attempt_s)


def test_a_listing_that_breaks_goes_on_after_the_last_file(policy: RetryPolicy) -> None:
    class Breaking(MemoryReplicaClient):
        seeks: list[int]

        def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
            self.seeks.append(seek)
            for number, info in enumerate(super().ltx_files(level, seek, use_metadata=use_metadata)):
                if number == 3 and len(self.seeks) < 3:
                    raise DOWN
                yield info

    inner = Breaking()
    inner.seeks = []
    for min_txid, max_txid in [(1, 1), (2, 2), (2, 5), (2, 9), (10, 10), (11, 11)]:
        write(inner, 1, min_txid, max_txid)
    client = RetryingClient(inner, policy)
    assert names(client, 1) == [(1, 1), (2, 2), (2, 5), (2, 9), (10, 10), (11, 11)]
    assert inner.seeks == [0, 2, 2]


def test_a_write_is_repeated_from_the_readers_first_position(faulty: FaultyClient, client: RetryingClient) -> None:
    data = ltx_bytes(1, 1)
    reader = io.BytesIO(b"before" + data)
    reader.seek(6)
    faulty.fail("write_ltx_file", DOWN, times=2)
    info = client.write_ltx_file(0, TXID(1), TXID(1), reader)
    assert client.read_ltx(info) == data


def test_a_write_that_cannot_go_back_is_not_repeated(faulty: FaultyClient, client: RetryingClient) -> None:
    faulty.fail("write_ltx_file", DOWN)
    with pytest.raises(UnavailableError):
        client.write_ltx_file(0, TXID(1), TXID(1), WatchedReader(ltx_bytes(1, 1), lambda _position: None))
    assert faulty.count("write_ltx_file") == 1


def test_an_open_file_is_read_on_after_a_failure(faulty: FaultyClient, client: RetryingClient) -> None:
    data = ltx_bytes(1, 1, size=3 * 2**20)
    write(client, 0, 1, data=data)
    faulty.fail("read_ltx", DOWN, after=1, times=2)
    with client.open_ltx_file(0, TXID(1), TXID(1)) as reader:
        assert reader.read() == data
    assert faulty.count("open_ltx_file") == 1


def test_the_repr_names_what_is_inside(client: RetryingClient) -> None:
    assert repr(client) == "<RetryingClient of <FaultyClient of <MemoryReplicaClient files=0 bytes=0>>>"
