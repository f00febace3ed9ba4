"""One writer at a time: whoever has the lease may write, and knows it when that is over.

Method: the same tests for every place a lease can be stored in, on a clock that the test moves; then two replicas of
one database that take turns.
Bugs planted to try these tests: an expired lease not taken, one that is held taken, a lost answer taken for a lost
lease, the lease renewed by an idle writer, the old position kept under a new lease.
"""

import fcntl
import io
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.client.file import FileReplicaClient
from replication.client.file_lease import FileLeaseStore
from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient
from replication.client.s3_lease import S3LeaseStore
from replication.client.url import replica_client
from replication.errors import LeaseError, LeaseHeldError, LeaseLostError, UnavailableError
from replication.lease import Lease, LeaseRecord, LeaseStore, StoredLease
from replication.lease_reader import lease_reader
from replication.lease_stores import MemoryLeaseStore, lease_store
from replication.position import TXID
from replication.replica import Replica
from tests.replica.test_sync import held, uploads, write
from tests.support.faulty_client import FaultyClient
from tests.support.local_database import LocalStandIn
from tests.support.ltx_files import make_file, make_header
from tests.support.primary import FIRST, StepClock
from tests.support.s3_server import S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(params=["memory", "file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LeaseStore:
    if request.param == "memory":
        return MemoryLeaseStore()
    if request.param == "file":
        return FileLeaseStore(tmp_path / "replica")
    server: S3Server = request.getfixturevalue("server")
    found = lease_store(replica_client(server.url(tmp_path.name)))
    assert isinstance(found, S3LeaseStore)
    return found


@pytest.fixture
def clock() -> StepClock:
    return StepClock()


def stored(store: LeaseStore) -> LeaseRecord:
    found = store.read()
    assert found is not None
    return LeaseRecord.parse(found.data)


def test_a_store_writes_on_condition_only(store: LeaseStore) -> None:
    assert store.read() is None
    assert store.replace(b"0", "nothing") is None
    first = store.create(b"1")
    assert first
    assert store.create(b"2") is None
    second = store.replace(b"3", first)
    assert second
    assert store.replace(b"4", first) is None
    assert store.read() == StoredLease(b"3", second)


def test_of_many_that_create_at_once_one_succeeds(store: LeaseStore) -> None:
    results: list[str | None] = []
    barrier = threading.Barrier(6)

    def create(number: int) -> None:
        barrier.wait()
        results.append(store.create(b"%d" % number))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result is not None for result in results) == 1


def test_one_has_it_and_the_other_is_told_who_and_until_when(store: LeaseStore, clock: StepClock) -> None:
    one, other = (Lease(store, owner=owner, clock=clock) for owner in ("one", "other"))
    assert one.hold() is True
    assert one.hold() is False
    with pytest.raises(LeaseHeldError, match="another writer, one, holds") as caught:
        other.hold()
    assert (caught.value.owner, caught.value.expires_at) == ("one", FIRST + timedelta(seconds=30))
    assert repr(one) == "<Lease one generation=1 until 2026-03-01T12:00:30Z>"
    assert repr(other) == "<Lease other generation=0 not held>"


def test_it_is_renewed_when_half_of_its_time_is_over(store: LeaseStore, clock: StepClock) -> None:
    lease = Lease(store, owner="one", clock=clock)
    lease.hold()
    for seconds, left in ((14, 16), (2, 30), (14, 16), (40, 30)):
        clock.advance(seconds)
        assert lease.hold() is False
        assert stored(store).expires_at == clock.now() + timedelta(seconds=left)
    assert stored(store).generation == 1


def test_an_expired_one_is_taken_and_its_owner_told(store: LeaseStore, clock: StepClock) -> None:
    one, other = (Lease(store, owner=owner, clock=clock) for owner in ("one", "other"))
    one.hold()
    clock.advance(30)
    assert other.hold() is True
    assert stored(store) == LeaseRecord(generation=2, expires_at=clock.now() + timedelta(seconds=30), owner="other")
    with pytest.raises(LeaseLostError, match="other has it"):
        one.hold()
    with pytest.raises(LeaseHeldError):
        one.hold()
    one.release()  # not ours: nothing happens
    assert stored(store).owner == "other"


def test_a_released_one_is_free_at_once(store: LeaseStore, clock: StepClock) -> None:
    one, other = (Lease(store, owner=owner, clock=clock) for owner in ("one", "other"))
    one.hold()
    one.release()
    assert other.hold() is True
    other.release()
    other.release()
    assert one.hold() is True
    assert stored(store).generation == 3


class LosingStore:
    """Stores, and loses the answer, whenever it is told to."""

    def __init__(self) -> None:
        self.inner = MemoryLeaseStore()
        self.is_losing = False

    def read(self) -> StoredLease | None:
        return self.inner.read()

    def create(self, data: bytes) -> str | None:
        return self._lose(self.inner.create(data))

    def replace(self, data: bytes, etag: str) -> str | None:
        return self._lose(self.inner.replace(data, etag))

    def _lose(self, result: str | None) -> str | None:
        if self.is_losing:
            msg = "no answer"
            raise UnavailableError(msg)
        return result


def test_a_lost_answer_is_no_lost_lease(clock: StepClock) -> None:
    store = LosingStore()
    lease = Lease(store, owner="one", clock=clock)
    for seconds in (0, 20, 20, 20):
        clock.advance(seconds)
        store.is_losing = True
        with pytest.raises(UnavailableError):
            lease.hold()
        store.is_losing = False
        clock.advance(1)
        lease.hold()
    assert stored(store).owner == "one"
    with pytest.raises(LeaseHeldError):
        Lease(store, owner="other", clock=clock).hold()


def test_a_deleted_one_is_lost(tmp_path: Path, clock: StepClock) -> None:
    lease = Lease(FileLeaseStore(tmp_path), owner="one", clock=clock)
    lease.hold()
    (tmp_path / "lock.json").unlink()
    clock.advance(20)
    with pytest.raises(LeaseLostError, match="deleted"):
        lease.hold()
    assert lease.hold() is True


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"generation": Infinity, "expires_at": "2026-01-01T00:00:00Z"}',
        b"7",
        b'{"owner": "x"}',
        b'{"generation": 1, "expires_at": "2026-01-01T00:00:00"}',
    ],
)
def test_what_is_no_lease_is_an_error(data: bytes) -> None:
    store = MemoryLeaseStore()
    store.create(data)
    with pytest.raises(LeaseError, match=r"lock\.json"):
        Lease(store).hold()


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_a_lease_or_an_error(data: bytes) -> None:
    with suppress(LeaseError):
        LeaseRecord.parse(data)


def test_the_record_is_that_of_litestream() -> None:
    data = b'{"generation":7,"expires_at":"2026-03-01T12:00:30.123456789Z","owner":"host:1"}'
    record = LeaseRecord.parse(data)
    assert (record.generation, record.owner) == (7, "host:1")
    assert json.loads(record.format()) == {
        "generation": 7,
        "expires_at": "2026-03-01T12:00:30.123456Z",
        "owner": "host:1",
    }
    assert LeaseRecord.parse(record.format()) == record


def test_stores_without_conditional_writes_have_none(tmp_path: Path) -> None:
    assert lease_store(MemoryReplicaClient()) is None
    assert isinstance(lease_store(RetryingClient(FileReplicaClient(tmp_path))), FileLeaseStore)


def test_two_writers_of_one_replica_are_kept_apart(db: LocalStandIn, clock: StepClock) -> None:
    store, client = MemoryLeaseStore(), FaultyClient(MemoryReplicaClient())
    new: Callable[[str], Replica] = lambda owner: Replica(db, client, lease=Lease(store, owner=owner, clock=clock))  # noqa: E731
    one, other = new("one"), new("other")
    write(db, 2)
    one.sync()
    write(db, 2)
    with pytest.raises(LeaseHeldError):
        other.sync()
    assert held(client) == [1, 2]
    one.stop()
    assert other.sync().txid == 4
    write(db, 1)
    with pytest.raises(LeaseHeldError):
        one.sync()
    clock.advance(31)
    assert one.sync().txid == 5
    write(db, 1)
    with pytest.raises(LeaseLostError):
        other.sync()
    with pytest.raises(LeaseHeldError):
        other.sync()
    assert one.sync().txid == 6
    assert uploads(client) == [1, 2, 3, 4, 5, 6]


def test_under_a_new_lease_the_position_is_asked_for_anew(db: LocalStandIn, clock: StepClock) -> None:
    store, client = MemoryLeaseStore(), FaultyClient(MemoryReplicaClient())
    replica = Replica(db, client, lease=Lease(store, owner="one", clock=clock))
    write(db, 2)
    replica.sync()
    replica.stop()
    client.delete_ltx_files(list(client.ltx_files(0)))
    write(db, 1)
    assert replica.sync().txid == 3
    assert held(client) == [1, 2, 3], "it was emptied meanwhile"


def test_a_file_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    store = FileLeaseStore(tmp_path)
    store.create(b"1")
    with (tmp_path / "lock.json.guard").open("wb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        thread = threading.Thread(target=store.create, args=(b"2",))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
    thread.join()


class CountingStore(MemoryLeaseStore):
    """Counts what is written."""

    count = 0

    def replace(self, data: bytes, etag: str) -> str | None:
        self.count += 1
        return super().replace(data, etag)


def test_an_idle_writer_makes_no_request_and_a_long_upload_renews(db: LocalStandIn, clock: StepClock) -> None:
    store, client = CountingStore(), FaultyClient(MemoryReplicaClient())
    replica = Replica(db, client, lease=Lease(store, owner="one", clock=clock))
    write(db, 1)
    replica.sync()
    for _ in range(5):
        clock.advance(20)
        replica.sync()
    assert store.count == 0

    class SlowReplicaClient(FaultyClient):
        def write_ltx_file(self, level, min_txid, max_txid, reader, **options):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN202
            clock.advance(10)
            return super().write_ltx_file(level, min_txid, max_txid, reader, **options)

    replica = Replica(db, SlowReplicaClient(client), lease=Lease(store, owner="two", clock=clock))
    write(db, 6)
    replica.sync()
    assert store.count == 1 + 3, "acquired, and renewed on the way"


class SlowReader(io.BytesIO):
    """Each read takes 10 s by the clock, and lets a test do something at the second."""

    def __init__(self, data: bytes, clock: StepClock, at_second: Callable[[], object] = lambda: None) -> None:
        super().__init__(data)
        self._clock = clock
        self._at_second = at_second
        self._count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._clock.advance(10)
        self._count += 1
        if self._count == 2:
            thread = threading.Thread(target=self._at_second)  # on this one obstore is at work
            thread.start()
            thread.join()
        return super().read(size)


def large_file() -> bytes:
    """A file that goes to S3 in several parts."""
    chance = random.Random(1)  # noqa: S311 - not cryptography
    pages = {pgno: chance.randbytes(4096) for pgno in range(1, 1500)}
    return make_file(make_header(1, commit=len(pages), page_size=4096), pages)


def test_an_upload_that_takes_longer_than_the_lease_keeps_it(server: S3Server, clock: StepClock) -> None:
    client = replica_client(server.url("long"))
    store = lease_store(client)
    assert store is not None
    lease = Lease(store, owner="one", clock=clock)
    lease.hold()
    data = large_file()
    client.write_ltx_file(0, TXID(1), TXID(1), lease_reader(SlowReader(data, clock), lease))
    assert client.read_ltx(next(client.ltx_files(0))) == data
    assert clock.now() - FIRST > timedelta(seconds=45)
    assert stored(store).generation == 1
    with pytest.raises(LeaseHeldError):
        Lease(store, owner="other", clock=clock).hold()


def test_an_upload_whose_lease_is_lost_leaves_nothing(server: S3Server, clock: StepClock, tmp_path: Path) -> None:
    for client in (replica_client(server.url("lost")), FileReplicaClient(tmp_path)):
        store = lease_store(client)
        assert store is not None
        lease, other = Lease(store, owner="one", clock=clock), Lease(store, owner="other", clock=clock)
        lease.hold()

        def take(other: Lease = other) -> None:
            clock.advance(31)
            other.hold()

        reader = lease_reader(SlowReader(large_file(), clock, take), lease)
        with pytest.raises(LeaseLostError):
            client.write_ltx_file(0, TXID(1), TXID(1), reader)
        assert list(client.ltx_files(0)) == []


def test_a_snapshot_that_heals_is_not_put_into_a_replica_that_another_took_over(
    db: LocalStandIn, clock: StepClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, client = MemoryLeaseStore(), MemoryReplicaClient()
    one, other = (Replica(db, client, lease=Lease(store, owner=owner, clock=clock)) for owner in ("one", "other"))
    write(db, 3)
    db.ltx_path(0, TXID(1), TXID(1)).unlink()
    pos, reader = db.snapshot_reader()

    def take_over() -> None:
        clock.advance(31)
        other.sync()

    slow = SlowReader(reader.read(), clock, take_over)
    monkeypatch.setattr("replication.lease_reader._READ_SIZE", 100)
    readers = iter([(pos, slow), db.snapshot_reader()])
    monkeypatch.setattr(db, "snapshot_reader", lambda: next(readers))
    with pytest.raises(LeaseLostError):
        one.sync()
    assert [info.max_txid for info in client.ltx_files(9)] == held(client) == [3]


def test_one_that_was_got_long_ago_without_an_answer_is_renewed(clock: StepClock) -> None:
    store = LosingStore()
    lease = Lease(store, owner="one", clock=clock)
    store.is_losing = True
    with pytest.raises(UnavailableError):
        lease.hold()
    store.is_losing = False
    clock.advance(40)
    assert lease.hold()
    with pytest.raises(LeaseHeldError):
        Lease(store, owner="other", clock=clock).hold()
