"""Who has the local state of a writer that ended without letting go of its lease takes the lease over at once.

Bugs planted to try these tests: any owner taken for a predecessor, one on the same host too, or one whose name only
contains the id; the id asked for once; taken over without the lock; the generation kept.
"""

import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from replication.client.file_lease import FileLeaseStore
from replication.errors import LeaseHeldError, LeaseLostError, LocalStateHeldError
from replication.lease import Lease, LeaseRecord
from replication.lease_stores import MemoryLeaseStore
from replication.sync.local_files import LocalFiles
from replication.sync.meta_lock import MetaLock
from tests.support.primary import FIRST, StepClock
from tests.support.workload import PROJECT

OURS = "0123456789abcdef"
OTHERS = "fedcba9876543210"
HOLD = """
import sys, threading
from pathlib import Path
from replication.lease import Lease
from replication.client.file_lease import FileLeaseStore
from replication.sync.meta_lock import MetaLock
lock = MetaLock(Path(sys.argv[1]), Path(sys.argv[2]))
lease = Lease(FileLeaseStore(Path(sys.argv[3])), local_id=lambda: lock.id)
lease.hold()
print(lock.id, flush=True)
threading.Event().wait()
"""


def stored(store: FileLeaseStore | MemoryLeaseStore) -> LeaseRecord:
    found = store.read()
    assert found is not None
    return LeaseRecord.parse(found.data)


def test_the_successor_of_a_killed_process_has_its_lease_within_a_second(tmp_path: Path) -> None:
    database, meta_path, store = tmp_path / "app.db", tmp_path / "meta", FileLeaseStore(tmp_path / "replica")
    database.write_bytes(b"")
    LocalFiles(str(meta_path), str(database)).make_directories()
    command = [sys.executable, "-c", HOLD, str(meta_path), str(database), str(tmp_path / "replica")]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held_id = process.stdout.readline().strip()
        with pytest.raises(LocalStateHeldError):
            MetaLock(meta_path, database)
        with pytest.raises(LeaseHeldError, match=held_id):
            Lease(store).hold()
        process.kill()
    before = stored(store)
    begin = time.monotonic()
    with closing(MetaLock(meta_path, database)) as lock:
        lease = Lease(store, local_id=lambda: lock.id)
        assert lease.hold() is True
        assert time.monotonic() - begin < 1.0
        after = stored(store)
        assert (after.generation, after.owner.rpartition(":")[2]) == (before.generation + 1, held_id)
        assert before.expires_at - after.expires_at < timedelta(0) < before.expires_at - FIRST, "it had not expired"


@pytest.mark.parametrize(
    "owner",
    [
        "host:4711",
        f"host:4711:{OTHERS}",
        f"host:{OURS}:4711",
        OURS,
        f"host:4711:x{OURS}",
        f"host:4711:{OURS}:",
        "",
        ":",
        "::",
    ],
)
def test_the_lease_of_anybody_else_lasts_its_time(owner: str) -> None:
    clock, store = StepClock(), MemoryLeaseStore()
    store.create(LeaseRecord(generation=4, expires_at=FIRST + timedelta(seconds=30), owner=owner).format())
    lease = Lease(store, owner="host:4712", local_id=lambda: OURS, clock=clock)
    for _ in range(3):
        with pytest.raises(LeaseHeldError):
            lease.hold()
        clock.advance(9)
    clock.advance(3)
    assert lease.hold() is True
    assert stored(store) == LeaseRecord(
        generation=5, expires_at=clock.now() + timedelta(seconds=30), owner=f"host:4712:{OURS}"
    )


@pytest.mark.parametrize("host", ["host", "another", "name:with:colons"])
def test_a_predecessor_whose_clock_was_ahead_is_not_waited_for(host: str) -> None:
    ahead, clock, store = StepClock(FIRST + timedelta(hours=5)), StepClock(), MemoryLeaseStore()
    Lease(store, owner=f"{host}:1", local_id=lambda: OURS, clock=ahead).hold()
    with pytest.raises(LeaseHeldError) as caught:
        Lease(store, owner="host:1", local_id=lambda: OTHERS, clock=clock).hold()
    assert caught.value.expires_at == ahead.now() + timedelta(seconds=30)
    lease = Lease(store, owner="host:1", local_id=lambda: OURS, clock=clock)
    assert lease.hold() is True
    assert stored(store).expires_at == clock.now() + timedelta(seconds=30)
    clock.advance(20)
    assert lease.hold() is False


def test_a_predecessor_whose_clock_was_behind_has_nothing_to_take_over() -> None:
    behind, clock, store = StepClock(FIRST - timedelta(hours=5)), StepClock(), MemoryLeaseStore()
    Lease(store, local_id=lambda: OURS, clock=behind).hold()
    assert Lease(store, local_id=lambda: OTHERS, clock=clock).hold() is True


def test_without_the_lock_nothing_is_taken_over() -> None:
    clock, store, held = StepClock(), MemoryLeaseStore(), [OURS]
    Lease(store, owner="one:1", local_id=lambda: OURS, clock=clock).hold()
    lease = Lease(store, owner="one:2", local_id=lambda: held[0], clock=clock)
    held[0] = ""
    with pytest.raises(LeaseHeldError, match=f"one:1:{OURS}"):
        lease.hold()
    held[0] = OURS
    assert lease.hold() is True
    store = MemoryLeaseStore()
    store.create(LeaseRecord(generation=1, expires_at=FIRST + timedelta(seconds=30), owner="host:1:").format())
    with pytest.raises(LeaseHeldError):
        Lease(store, owner="host:2", clock=clock).hold()


def test_what_was_written_without_the_lock_is_waited_for_and_kept_when_the_lock_comes() -> None:
    clock, store, held = StepClock(), MemoryLeaseStore(), [""]
    lease = Lease(store, owner="one:1", local_id=lambda: held[0], clock=clock)
    lease.hold()
    assert stored(store).owner == "one:1"
    held[0] = OURS
    with pytest.raises(LeaseHeldError):
        Lease(store, owner="one:2", local_id=lambda: OURS, clock=clock).hold()
    clock.advance(20)
    assert lease.hold() is False
    assert stored(store).owner == f"one:1:{OURS}"


def test_one_that_was_taken_over_all_the_same_is_told() -> None:
    clock, store = StepClock(), MemoryLeaseStore()
    one, other = (Lease(store, owner=f"host:{pid}", local_id=lambda: OURS, clock=clock) for pid in (1, 2))
    one.hold()
    other.hold()
    clock.advance(20)
    with pytest.raises(LeaseLostError, match=f"host:2:{OURS} has it"):
        one.hold()


def test_a_name_with_an_id_lets_go_as_any_other() -> None:
    clock, store = StepClock(), MemoryLeaseStore()
    one = Lease(store, owner="host:1", local_id=lambda: OURS, clock=clock)
    one.hold()
    one.release()
    assert stored(store).owner == f"host:1:{OURS}"
    assert Lease(store, owner="host:2", clock=clock).hold() is True
