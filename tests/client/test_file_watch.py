"""Goal: a file replica tells of a new file soon, whatever happens to its directory, and nothing of it stays behind.

Method: watches that count their calls, over directories that are written, deleted, moved and made anew; watchfiles
away, or without a watch to give. Bugs planted to see it fail: no look at which directory is the one to watch; a call
for any file; a place among the watches that is not given back; a call that raises and ends the thread.
"""

import logging
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from replication.client import file_watch
from replication.client.file import FileReplicaClient
from replication.client.file_watch import MAX_WATCHES, THREAD_NAME
from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient
from replication.client.watch import watching_client
from replication.errors import UnavailableError, UsageError
from replication.lease import Lease
from tests.client.ltx_bytes import write
from tests.support.waiting import wait_until

TIMEOUT_S = 20.0
QUIET_S = 0.3  # far longer than a change needs to be told of


class Calls:
    """Counts calls."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1

    def wait_for(self, count: int) -> None:
        wait_until(lambda: self.count >= count, f"call {count} of the watch", timeout_s=TIMEOUT_S, pause_s=0.001)

    def settled(self) -> int:
        """Return how many there were once no more come."""
        seen = -1
        while seen != self.count:
            seen = self.count
            time.sleep(QUIET_S)
        return seen


@pytest.fixture
def client(tmp_path: Path) -> FileReplicaClient:
    return FileReplicaClient(tmp_path / "replica")


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]
    with ExitStack() as taken:
        for _ in range(MAX_WATCHES):
            assert file_watch._free.acquire(blocking=False), "each watch gives its place back"
            taken.callback(file_watch._free.release)


def test_a_new_file_is_told_of_within_100_ms(client: FileReplicaClient) -> None:
    write(client, 0, 1)
    calls, times_s = Calls(), []
    with client.watch(calls):
        calls.wait_for(1)  # it has begun
        for txid in range(2, 32):
            before = calls.settled() if txid == 2 else calls.count
            write(client, 0, txid)
            begin = time.monotonic()
            calls.wait_for(before + 1)
            times_s.append(time.monotonic() - begin)
    assert median(times_s) < 0.1


def test_only_finished_files_of_level_0_are_told_of(client: FileReplicaClient) -> None:
    info = write(client, 0, 1)
    write(client, 1, 1)
    calls = Calls()
    with client.watch(calls):
        assert calls.settled() == 1
        write(client, 1, 2)
        Lease(client.lease_store()).hold()
        client.delete_ltx_files([info])
        (client.path / "ltx" / "0" / "0000000000000002-0000000000000002.ltx.tmp").write_bytes(b"unfinished")
        (client.path / "ltx" / "0" / "README.ltx").write_bytes(b"other")
        assert calls.settled() == 1
        write(client, 0, 2)
        calls.wait_for(2)


def test_many_files_at_once_need_few_calls(client: FileReplicaClient) -> None:
    write(client, 0, 1)
    calls = Calls()
    with client.watch(calls):
        calls.wait_for(1)
        begin = time.monotonic()
        for txid in range(2, 202):
            write(client, 0, txid)
        took_s = time.monotonic() - begin
        assert 2 <= calls.settled() <= 3 + took_s * 1000 / file_watch.STEP_MS


def test_a_directory_that_is_made_later_is_told_of(client: FileReplicaClient) -> None:
    calls = Calls()
    with client.watch(calls):
        calls.wait_for(1)
        write(client, 0, 1)
        before = calls.settled()
        assert before >= 2
        write(client, 0, 2)
        calls.wait_for(before + 1)


@pytest.mark.parametrize("how", ["delete all files", "delete the root", "move the root away"])
def test_a_replica_made_anew_is_told_of(how: str, client: FileReplicaClient, tmp_path: Path) -> None:
    write(client, 0, 1)
    calls = Calls()
    with client.watch(calls):
        calls.wait_for(1)
        if how == "delete all files":
            client.delete_all()
        elif how == "delete the root":
            shutil.rmtree(client.path)
        else:
            client.path.rename(tmp_path / "elsewhere")
        write(FileReplicaClient(client.path), 0, 1)
        calls.wait_for(2)
        before = calls.settled()
        write(client, 0, 2)
        calls.wait_for(before + 1)


def test_what_is_called_may_fail(client: FileReplicaClient, caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls()

    def on_change() -> None:
        calls()
        msg = "as the test asked"
        raise RuntimeError(msg)

    write(client, 0, 1)
    with client.watch(on_change):
        calls.wait_for(1)
        write(client, 0, 2)
        calls.wait_for(2)
    assert "as the test asked" in caplog.text


def test_what_is_called_may_close_the_watch(client: FileReplicaClient) -> None:
    closed = threading.Event()

    def on_change() -> None:
        assert ready.wait(TIMEOUT_S)
        watch.close()
        closed.set()

    ready = threading.Event()
    watch = client.watch(on_change)
    ready.set()
    assert closed.wait(TIMEOUT_S)
    watch.close()


def test_nothing_is_called_once_it_is_closed_and_closing_is_quick(client: FileReplicaClient) -> None:
    write(client, 0, 1)
    calls = Calls()
    watch = client.watch(calls)
    calls.wait_for(1)
    begin = time.monotonic()
    watch.close()
    assert time.monotonic() - begin < file_watch.CLOSE_TIMEOUT_S
    watch.close()
    before = calls.count
    write(client, 0, 2)
    time.sleep(QUIET_S)
    assert calls.count == before
    assert repr(watch) == f"<FileWatch {client.path} closed>"


def test_without_watchfiles_the_error_says_how_to_install_it(
    client: FileReplicaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    with pytest.raises(UsageError, match=r"pip install apsw-litestream\[watch\]"):
        client.watch(lambda: None)


def test_a_system_without_a_watch_to_give_is_asked_again(
    client: FileReplicaClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = 3

    notify = file_watch._load()

    def refused(*arguments: Any) -> object:  # noqa: ANN401
        nonlocal refusals
        if refusals:
            refusals -= 1
            msg = "Too many open files (os error 24)"
            raise OSError(msg)
        return notify(*arguments)

    write(client, 0, 1)
    monkeypatch.setattr(file_watch, "RETRY_S", 0.05)
    monkeypatch.setattr(file_watch, "_load", lambda: refused)
    calls = Calls()
    with caplog.at_level(logging.INFO, "litestream.replication"), client.watch(calls):
        calls.wait_for(1)
        write(client, 0, 2)
        calls.wait_for(2)
    assert caplog.text.count("by polling only for now") == 1
    assert "os error 24" in caplog.text


def test_a_process_has_a_bounded_number_of_watches(client: FileReplicaClient) -> None:
    with ExitStack() as open_watches:
        for _ in range(MAX_WATCHES):
            open_watches.enter_context(client.watch(lambda: None))
        with pytest.raises(UnavailableError, match=str(MAX_WATCHES)):
            client.watch(lambda: None)


def test_the_client_that_can_be_watched_is_found_inside_others(client: FileReplicaClient) -> None:
    assert watching_client(RetryingClient(client)) is client
    assert watching_client(RetryingClient(MemoryReplicaClient())) is None
