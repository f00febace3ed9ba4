"""Goal: what a forked process may do with replicas works, and what it may not do says so at once.

Method: programs in processes of their own, which fork; the child reports on a pipe. Its exit code, its time and what
it prints on standard error count too. Python warns of forks beside threads from 3.12 on; that is what is tested here,
so the programs switch that warning off.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from replication.client.file import FileReplicaClient
from tests.support.s3_server import S3Server
from tests.support.step_writer import StepWriter

ROOT = Path(__file__).parents[2]
LIMIT_S = 15.0

BEGIN = """
import os, signal, sys, time
import apsw
# SQLite counts its memory under a lock of its own, which a thread of the parent may hold at the fork.
apsw.shutdown()
apsw.config(apsw.SQLITE_CONFIG_MEMSTATUS, False)
apsw.initialize()
import litestream

url = sys.argv[1]
URI = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI

def rows(connection):
    return connection.execute("SELECT id FROM item").fetchall()

def named(name="shop"):
    return apsw.Connection(f"file:{name}?vfs=litestream", flags=URI)

def refused(call):
    # It must say so at once, in our words.
    began = time.monotonic()
    try:
        call()
    except (apsw.Error, litestream.UsageError) as error:
        ours = error if isinstance(error, litestream.UsageError) else error.__cause__
        assert isinstance(ours, litestream.UsageError), repr(error)
        assert "fork" in str(error), str(error)
    else:
        raise AssertionError("not refused")
    assert time.monotonic() - began < 0.5

def in_child(call):
    # Run a function in a forked child that ends as programs do, and check its exit code.
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(8)  # a child that hangs dies of it
        call()
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""

REGISTERED_BEFORE = """
litestream.register_read_replica("shop", url, poll_interval_s=0.05)
def use():
    connection = named()
    assert rows(connection) == [(1,), (2,)]
    connection.close()
in_child(use)
use()
"""

OPEN_BEFORE = """
connection = litestream.connect(url, poll_interval_s=0.05)
replica = litestream.register_read_replica("shop", url, poll_interval_s=0.05)
held = named()
assert rows(connection) == rows(held) == [(1,), (2,)]
def use():
    refused(lambda: rows(connection))
    refused(lambda: rows(held))
    refused(lambda: replica.txid)
    refused(lambda: replica.poll())
    refused(lambda: connection.execute("PRAGMA litestream_poll").fetchall())
    refused(lambda: connection.execute("PRAGMA litestream_txid = 1").fetchall())
    refused(named)
in_child(use)
in_child(lambda: None)
assert rows(connection) == rows(held) == [(1,), (2,)]
assert replica.poll() == 2
"""

IN_A_TRANSACTION = """
connection = litestream.connect(url, poll_interval_s=0.05)
connection.execute("PRAGMA cache_size = 0")
connection.execute("BEGIN")
assert rows(connection) == [(1,), (2,)]
in_child(lambda: refused(lambda: rows(connection)))
assert rows(connection) == [(1,), (2,)]
"""

CLOSED_IN_THE_CHILD = """
connection = litestream.connect(url, poll_interval_s=0.05)
replica = litestream.register_read_replica("shop", url, poll_interval_s=0.05)
held = named()
def close():
    held.close()
    connection.close()
    replica.close()
in_child(close)
assert rows(connection) == rows(held) == [(1,), (2,)]
litestream.unregister_read_replica("shop")
"""

ANEW = """
connection = litestream.connect(url, poll_interval_s=0.05)
litestream.register_read_replica("shop", url, poll_interval_s=0.05)
held = named()
assert rows(connection) == [(1,), (2,)]
def open_anew():
    litestream.register_read_replica("child", url, poll_interval_s=0.05)
    mine = named("child")
    assert rows(mine) == [(1,), (2,)]
    assert mine.execute("PRAGMA litestream_poll").fetchall() == [(f"{2:016x}",)]
    litestream.unregister_read_replica("shop")
    litestream.register_read_replica("shop", url, poll_interval_s=0.05)
    again = named()
    assert rows(again) == [(1,), (2,)]
    by_url = litestream.connect(url, poll_interval_s=0.05)
    assert rows(by_url) == [(1,), (2,)]
    mine.close()
in_child(open_anew)
assert rows(held) == [(1,), (2,)]
"""

S3_ANEW = """
connection = litestream.connect(url, poll_interval_s=0.05)
assert rows(connection) == [(1,), (2,)]
def open_anew():
    refused(lambda: litestream.connect(url))
    litestream.register_read_replica("child", url)
    refused(lambda: named("child"))
in_child(open_anew)
assert rows(connection) == [(1,), (2,)]
"""

BUSY = """
import threading
def read_for_ever(number):
    while True:
        connection = litestream.connect(url, poll_interval_s=0.01, cache_size=4096 + number)
        rows(connection)
        connection.close()
for number in range(3):
    threading.Thread(target=read_for_ever, args=(number,), daemon=True).start()
kept = litestream.connect(url, poll_interval_s=0.01)
def use():
    refused(lambda: rows(kept))
    litestream.register_read_replica("child", url)
    if url.startswith("file"):
        assert rows(named("child")) == [(1,), (2,)]
for _ in range(6):
    in_child(use)
assert rows(kept) == [(1,), (2,)]
"""

LOCKED = """
import contextlib, threading
from vfs.names import READ_REPLICAS
from vfs.registry import SHARED_REPLICAS

client = litestream.FileReplicaClient(url.removeprefix("file://"))
connection = litestream.connect(client, poll_interval_s=0.05)
replica = litestream.register_read_replica("shop", client, poll_interval_s=0.05)
assert replica.txid == 2
locked, done = threading.Event(), threading.Event()
def locks():
    # Of the registries and of all that a replica shares; an event has its lock inside.
    shared = replica.open().replica
    parts = [shared, shared.cache, shared.fetcher, shared.fetcher._pool, shared._pages, shared._poller]
    parts += [shared._pages.ahead, shared._pages.interiors]
    for owner in [READ_REPLICAS, SHARED_REPLICAS, replica, client._open_files, *parts]:
        for value in vars(owner).values():
            value = getattr(value, "_cond", value)
            if hasattr(value, "acquire"):
                yield value
def hold():
    with contextlib.ExitStack() as held:
        for lock in list(locks()):
            held.enter_context(lock)
        locked.set()
        done.wait()
holder = threading.Thread(target=hold, daemon=True)
holder.start()
locked.wait()
def use():
    connection.close()
    litestream.unregister_read_replica("shop")
    litestream.register_read_replica("shop", client)
    assert rows(named()) == [(1,), (2,)]
in_child(use)
in_child(lambda: None)
done.set()
holder.join()
assert rows(connection) == [(1,), (2,)]
"""

PUSHED = """
from pathlib import Path
import shutil
root = Path(url.removeprefix("file://"))
files = sorted((root / "ltx" / "0").glob("*.ltx"))
shown = root / "shown"
def show(number):
    directory = shown / "ltx" / "0"
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy2(files[number - 1], directory / "copy.tmp")
    (directory / "copy.tmp").rename(directory / files[number - 1].name)
def wait_for(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
def is_pushed(connection):
    return litestream.read_replica(connection.filename).stats()["push"]
show(1)
connection = litestream.connect(f"file://{shown}", poll_interval_s=1000)
wait_for(lambda: is_pushed(connection))
def use():
    refused(lambda: rows(connection))
    mine = litestream.connect(f"file://{shown}", poll_interval_s=1000)
    wait_for(lambda: is_pushed(mine))
    show(2)
    wait_for(lambda: rows(mine) == [(1,), (2,)])
    connection.close()
    mine.close()
in_child(use)
wait_for(lambda: rows(connection) == [(1,), (2,)])
show(3)
wait_for(lambda: rows(connection) == [(1,), (2,), (3,)])
before = litestream.FileReplicaClient(shown).watch(lambda: None)
in_child(before.close)  # does nothing there, and ends
before.close()
"""

BOTH = {
    "what was registered before a fork works on both sides": REGISTERED_BEFORE,
    "what was open before a fork is refused in the child, and goes on in the parent": OPEN_BEFORE,
    "a transaction is refused in the child, and goes on in the parent": IN_A_TRANSACTION,
    "closing in the child leaves the parent's alone": CLOSED_IN_THE_CHILD,
    "a fork in the middle of anything leaves no lock held": BUSY,
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("good")
    steps = StepWriter(FileReplicaClient(directory))
    steps.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO item VALUES (1, 'one')")
    # Too large to be held whole, so that its file is kept open.
    steps.commit("INSERT INTO item VALUES (2, 'two'); CREATE TABLE large AS SELECT randomblob(1100000)")
    return directory


@pytest.fixture(scope="module")
def s3_server(good: Path) -> Iterator[S3Server]:
    with S3Server() as server:
        server.fill(
            [(f"shop/{int(path.parent.name):04x}/{path.name}", path.read_bytes()) for path in good.rglob("*.ltx")]
        )
        yield server


@pytest.mark.parametrize("what", BOTH)
def test_with_files(what: str, good: Path) -> None:
    _run(BOTH[what], f"file://{good}")


@pytest.mark.parametrize("what", BOTH)
def test_with_s3(what: str, s3_server: S3Server) -> None:
    _run(BOTH[what], s3_server.url("shop"))


def test_a_child_opens_files_anew(good: Path) -> None:
    _run(ANEW, f"file://{good}")


def test_a_child_is_told_of_new_files_by_a_watch_of_its_own_and_the_parent_by_its(tmp_path: Path) -> None:
    steps = StepWriter(FileReplicaClient(tmp_path))
    steps.commit("CREATE TABLE item (id INTEGER PRIMARY KEY); INSERT INTO item VALUES (1)")
    steps.commit("INSERT INTO item VALUES (2)")
    steps.commit("INSERT INTO item VALUES (3)")
    _run(PUSHED, f"file://{tmp_path}")


def test_a_child_needs_no_lock_that_a_thread_of_its_parent_held(good: Path) -> None:
    _run(LOCKED, f"file://{good}")


def test_a_child_is_told_that_s3_cannot_be_opened_anew(s3_server: S3Server) -> None:
    _run(S3_ANEW, s3_server.url("shop"))


def _run(program: str, url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + program, url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert done.returncode == 0
