"""Goal: the garbage collector may close a replica's last connection on any of its threads, at any step.

Method: a connection that only a circle refers to; then one of the replica's locks is wrapped so that the collector
runs at once when a certain thread of the replica has taken it. All threads must end by themselves.
"""

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

import litestream
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.wrapper import WrapperClient
from tests.support.step_writer import StepWriter
from tests.support.waiting import wait_until

LOCKS = {
    "a poll takes on a view": ("litestream-poll", "cache._lock"),
    "a poll asks for a file": ("litestream-poll", "fetcher._lock"),
    "a poll asks for a listing": ("litestream-poll", "fetcher._pool._lock"),
    "a request ends": ("litestream-fetch", "fetcher._pool._lock"),
    "a file has landed": ("litestream-fetch", "fetcher._lock"),
}


class CollectingLock:
    """A lock inside which one thread runs the garbage collector, once."""

    def __init__(self, lock: Any, thread_name: str) -> None:  # noqa: ANN401
        self._lock = lock
        self._thread_name = thread_name
        self.collected = threading.Event()

    def __enter__(self) -> None:
        self._lock.acquire()
        if threading.current_thread().name.startswith(self._thread_name) and not self.collected.is_set():
            gc.collect()
            self.collected.set()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("what", LOCKS)
def test_the_collector_closes_a_replica_while(what: str) -> None:
    client = MemoryReplicaClient()
    steps = StepWriter(client)
    steps.commit("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    _assert_all_ends(WrapperClient(client), steps, *LOCKS[what])


def test_the_collector_closes_a_replica_while_a_poll_opens_a_local_file(tmp_path: Path) -> None:
    client = FileReplicaClient(tmp_path)
    steps = StepWriter(client)
    steps.commit("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    _assert_all_ends(client, steps, "litestream-fetch", "client.inner._open_files._lock")


def _assert_all_ends(client: litestream.ReplicaClient, steps: StepWriter, thread_name: str, path: str) -> None:
    """Let the collector run where that lock of the shared replica is taken, when the next file comes."""
    gc.collect()
    gc.disable()  # it runs where the test says
    try:
        before = set(threading.enumerate())
        connection = litestream.connect(client, poll_interval_s=0.01)
        holder: Any = litestream.read_replica(connection.filename)._opened()
        circle: list[object] = [connection]
        circle.append(circle)
        del connection, circle
        *owners, name = path.split(".")
        for owner in owners:
            holder = getattr(holder, owner)
        lock = CollectingLock(getattr(holder, name), thread_name)
        setattr(holder, name, lock)
        del holder
        steps.commit("CREATE TABLE large AS SELECT randomblob(2000000)")  # too large to be fetched whole
        assert lock.collected.wait(5), "the collector has come back"
        wait_until(lambda: set(threading.enumerate()) <= before, "the threads", timeout_s=5)
    finally:
        gc.enable()
