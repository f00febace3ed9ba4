"""Goal: whatever is opened goes away again: threads, file descriptors, names, memory, and the process itself.

Method: count threads and descriptors before and after many opens, good and bad; run whole programs in processes of
their own and look at how they end; hold requests at a gate, so that they are stuck while their replica closes.

Planted bugs that were caught: a strong reference to the connection in a hook's closure; a hold not released when the
target cannot be reached; waiting for stuck requests in `close`; worker threads that are no daemons.
"""

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

import litestream
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.url_parse import ReplicaURL
from replication.levels import SNAPSHOT_LEVEL
from tests.support.faulty_client import FaultyClient
from tests.support.s3_server import S3Server
from tests.support.step_writer import StepWriter
from tests.support.waiting import wait_until
from vfs.names import LOGGER
from vfs.read_replica import ReadReplica
from vfs.replica import SharedReplica
from vfs.uri import Options

URI = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
ROOT = Path(__file__).parents[2]
CLOSE_S = 2.5  # closing waits for the poller and for requests, a second each at most
EXIT_S = 10.0  # to start Python, open a replica, and end

BEGIN = """
import sys, threading, time
import apsw, litestream
url = sys.argv[1]
def rows(connection, sql="SELECT id FROM item"):
    return connection.execute(sql).fetchall()
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("good")
    steps = StepWriter(FileReplicaClient(directory))
    steps.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO item VALUES (1, 'one')")
    steps.commit("INSERT INTO item VALUES (2, 'two')")
    return directory


@pytest.fixture(scope="module")
def s3_server(good: Path) -> Iterator[S3Server]:
    with S3Server() as server:
        server.fill(
            [(f"shop/{int(path.parent.name):04x}/{path.name}", path.read_bytes()) for path in good.rglob("*.ltx")]
        )
        yield server


def test_many_opens_and_closes_of_files_leave_nothing(good: Path) -> None:
    _assert_leaves_nothing(f"file://{good}", rounds=50)  # four opens each


def test_many_opens_and_closes_on_s3_leave_nothing(s3_server: S3Server) -> None:
    _assert_leaves_nothing(s3_server.url("shop"), rounds=8)


def _assert_leaves_nothing(url: str, rounds: int) -> None:
    def once() -> None:
        connection = litestream.connect(url, poll_interval_s=0.01)
        assert connection.execute("SELECT count(*) FROM item").fetchall() == [(2,)]
        connection.close()
        with litestream.register_read_replica("again", url, poll_interval_s=0.01):
            connection = apsw.Connection("file:again?vfs=litestream&txid=1", flags=URI)
            assert connection.execute("SELECT count(*) FROM item").fetchall() == [(1,)]
            connection.close()
        for parameters in ({"txid": 99}, {"time": "2020-01-01"}):
            with pytest.raises(apsw.CantOpenError):
                litestream.connect(url, **parameters)

    once()  # a native library keeps some descriptors from its first use on
    gc.collect()
    threads, descriptors = set(threading.enumerate()), _descriptors()
    for _ in range(rounds):
        once()
    assert set(threading.enumerate()) == threads
    wait_until(lambda: _descriptors() <= descriptors, "the descriptors", timeout_s=20)


def test_connections_that_are_forgotten_free_everything(good: Path) -> None:
    gc.collect()
    before = set(threading.enumerate())
    connection: apsw.Connection | None = litestream.connect(f"file://{good}", poll_interval_s=0.01)
    assert connection is not None
    assert connection.execute("SELECT litestream_txid()").fetchall() == [(f"{2:016x}",)]
    assert len(connection.execute("SELECT * FROM litestream_history()").fetchall()) == 2
    forgotten = weakref.ref(connection)
    circle: list[object] = [connection]
    circle.append(circle)
    connection = None
    assert set(threading.enumerate()) > before
    del circle
    gc.collect()
    assert forgotten() is None
    assert set(threading.enumerate()) == before
    with pytest.raises(litestream.UsageError):
        litestream.read_replica(f"file://{good}")


def test_a_connection_that_is_forgotten_needs_no_collector(good: Path) -> None:
    gc.disable()
    try:
        connection = litestream.connect(f"file://{good}")
        connection.execute("SELECT litestream_lag(), litestream_time() FROM litestream_history()").fetchall()
        forgotten = weakref.ref(connection)
        del connection
        assert forgotten() is None
    finally:
        gc.enable()


def test_the_collector_may_close_a_replica_on_its_own_threads(good: Path) -> None:
    before = set(threading.enumerate())
    client = FaultyClient(FileReplicaClient(good))
    gc.disable()  # the collector must not come before the poller is in the middle of something
    connection = litestream.connect(client, poll_interval_s=0.01)
    circle: list[object] = [connection]
    circle.append(circle)
    del connection, circle
    collected = threading.Event()
    read = client.inner.read_ltx

    def collect_and_read(*arguments: object, **options: object) -> object:
        gc.collect()
        collected.set()
        return read(*arguments, **options)  # type: ignore[arg-type]

    client.inner.read_ltx = collect_and_read  # type: ignore[method-assign,assignment]
    try:
        assert collected.wait(5), "the poller has asked, and closed its own replica"
    finally:
        gc.enable()
    wait_until(lambda: set(threading.enumerate()) == before, "the threads", timeout_s=5)


@pytest.mark.timeout(20)
def test_the_collector_may_close_a_replica_while_another_is_being_opened(good: Path) -> None:
    url = f"file://{good}"
    circles: list[weakref.ref[apsw.Connection]] = []

    def forget_a_connection(_url: ReplicaURL, _options: Mapping[str, object]) -> FileReplicaClient:
        connection = litestream.connect(url)
        circles.append(weakref.ref(connection))
        circle: list[object] = [connection]
        circle.append(circle)
        del connection, circle
        gc.collect()  # in the middle of whatever asked for a client
        return FileReplicaClient(good)

    litestream.register_replica_client("collecting", forget_a_connection)
    connection = litestream.connect(f"collecting://{good}")
    connection.close()
    assert circles
    assert all(forgotten() is None for forgotten in circles)
    assert not _replica_threads()


def test_closing_does_not_wait_long_for_a_stuck_poll() -> None:
    storage = _stuck_storage()
    connection = litestream.connect(storage, poll_interval_s=0.01)
    gate = storage.hold("open_ltx_file")  # which is how the next file is asked for
    gate.wait_until_reached()
    began = time.monotonic()
    connection.close()
    assert time.monotonic() - began < CLOSE_S
    connection = litestream.connect(storage)  # anew, while the old request is stuck
    assert connection.execute("SELECT count(*) FROM item").fetchall() == [(200,)]
    connection.close()
    before = set(threading.enumerate())
    gate.release()
    wait_until(lambda: not before & _replica_threads(), "the end of the stuck request", timeout_s=5)


def test_closing_does_not_wait_long_for_a_stuck_read() -> None:
    storage = _stuck_storage()
    connection = litestream.connect(storage, poll_interval_s=60, timeout_s=0.1)
    gate = storage.hold("read_ltx")
    with pytest.raises(apsw.IOError, match="did not answer within"):
        connection.execute("SELECT sum(length(body)) FROM item").fetchall()
    began = time.monotonic()
    connection.close()
    assert time.monotonic() - began < CLOSE_S
    gate.release()
    wait_until(lambda: not _replica_threads(), "the end of the stuck request", timeout_s=5)


def test_a_name_is_free_again_while_its_connections_go_on(good: Path, tmp_path: Path) -> None:
    client = FileReplicaClient(tmp_path)
    steps = StepWriter(client)
    steps.commit("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    first = litestream.register_read_replica("shop", client, poll_interval_s=0.02)
    connection = apsw.Connection("file:shop?vfs=litestream", flags=URI)
    litestream.unregister_read_replica("shop")
    with pytest.raises(litestream.UsageError, match="closed"):
        _ = first.txid
    steps.commit("INSERT INTO item VALUES (7)")
    wait_until(
        lambda: connection.execute("SELECT id FROM item").fetchall() == [(7,)], "the next TXID, still", timeout_s=5
    )
    with litestream.register_read_replica("shop", f"file://{good}"):
        other = apsw.Connection("file:shop?vfs=litestream", flags=URI)
        assert other.execute("SELECT id FROM item").fetchall() == [(1,), (2,)]
        assert connection.execute("SELECT id FROM item").fetchall() == [(7,)]
        other.close()
    connection.close()
    assert not _replica_threads()


def test_a_replica_whose_poller_cannot_be_started_is_not_open_and_can_be_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FileReplicaClient(tmp_path)
    steps = StepWriter(client)
    steps.commit("CREATE TABLE item (id)")
    replica = SharedReplica(client, Options(poll_interval_s=0.02), LOGGER)
    start = threading.Thread.start

    def start_others(thread: threading.Thread) -> None:
        if thread.name.startswith("litestream-poll"):
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_others)
        for _ in range(2):
            with pytest.raises(litestream.UnavailableError, match="can't start new thread"):
                replica.start(replica.waiter())
            assert not replica.started
    replica.start(replica.waiter())
    steps.commit("INSERT INTO item VALUES (1)")
    wait_until(lambda: replica.view.txid == 2, "the next TXID", timeout_s=5)
    replica.close()
    assert not _replica_threads()


@pytest.mark.parametrize("name", [None, "shop"])
def test_threads_connect_and_close_one_replica_in_a_loop(good: Path, name: str | None) -> None:
    url = f"file://{good}"
    threads = 4
    start = threading.Barrier(threads)

    def connect_and_close() -> set[str]:
        start.wait()
        names = set()
        for _ in range(150):
            connection = litestream.connect(url, name=name, cache_size=-1)
            names.add(connection.filename)
            connection.close()
        return names

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(threads) as pool:
            opened = [pool.submit(connect_and_close) for _ in range(threads)]
            assert {one for future in opened for one in future.result()} == {name or url}
    finally:
        sys.setswitchinterval(interval_s)
    assert not _replica_threads()


def test_a_name_is_free_from_the_moment_its_last_connection_closes(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"file://{good}"
    others: list[apsw.Connection] = []
    close = ReadReplica.close

    def connect_and_close(replica: ReadReplica) -> None:
        monkeypatch.undo()
        others.append(litestream.connect(url, name="shop"))
        close(replica)

    connection = litestream.connect(url, name="shop")
    monkeypatch.setattr(ReadReplica, "close", connect_and_close)
    connection.close()
    (other,) = others
    assert other.execute("SELECT id FROM item").fetchall() == [(1,), (2,)]
    assert litestream.read_replica("shop").txid == 2
    other.close()


def test_a_replica_that_could_not_be_opened_opens_once_it_is_there(tmp_path: Path) -> None:
    with litestream.register_read_replica("later", f"file://{tmp_path}") as replica:
        for _ in range(3):
            with pytest.raises(apsw.CantOpenError, match="not there"):
                apsw.Connection("file:later?vfs=litestream", flags=URI)
            with pytest.raises(litestream.NoSnapshotsError):
                _ = replica.txid
        assert not _replica_threads()
        assert repr(replica) == "<ReadReplica later not opened yet>"
        StepWriter(FileReplicaClient(tmp_path)).commit("CREATE TABLE item (id)")
        assert replica.txid == 1
        connection = apsw.Connection("file:later?vfs=litestream", flags=URI)
        connection.close()
    assert not _replica_threads()


PROGRAMS = {
    "connections left open": """
        kept = litestream.connect(url, poll_interval_s=0.01)
        assert rows(kept) == [(1,), (2,)]
    """,
    "a registration and a half-read statement": """
        replica = litestream.register_read_replica("shop", url, poll_interval_s=0.01)
        kept = apsw.Connection("file:shop?vfs=litestream", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        cursor = kept.execute("SELECT id FROM item")
        assert next(cursor) == (1,)
    """,
    "connections in a circle, and one in another thread": """
        circle = [litestream.connect(url, poll_interval_s=0.01)]
        circle.append(circle)
        def read_for_ever():
            connection = litestream.connect(url, poll_interval_s=0.01, name="other", cache_size=-1)
            while True:
                rows(connection)
                started.set()
        started = threading.Event()
        threading.Thread(target=read_for_ever, daemon=True).start()
        started.wait()
    """,
    "an exception": """
        kept = litestream.connect(url, poll_interval_s=0.01)
        sys.stderr.close()
        sys.exit(0)
    """,
    "a handler of its own at exit": """
        import atexit
        kept = []
        atexit.register(lambda: print(rows(kept[0])))
        kept.append(litestream.connect(url, poll_interval_s=0.01, cache_size=-1))
    """,
}
PRINTS = {"a handler of its own at exit": "[(1,), (2,)]\n"}


@pytest.mark.parametrize("what", PROGRAMS)
@pytest.mark.parametrize("storage", ["file", "s3"])
def test_a_program_ends_quietly_with(what: str, storage: str, good: Path, s3_server: S3Server) -> None:
    url = f"file://{good}" if storage == "file" else s3_server.url("shop")
    _run(PROGRAMS[what], url, prints=PRINTS.get(what, ""))


def test_a_program_ends_while_a_server_hangs(s3_server: S3Server) -> None:
    program = """
        kept = litestream.connect(url, poll_interval_s=0.01)
        assert rows(kept) == [(1,), (2,)]
        print("open", flush=True)
        while litestream.read_replica(url).lag_s < 0.3:
            time.sleep(0.02)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _source(program), s3_server.url("shop")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    s3_server.fail("hang", times=None)
    try:
        assert process.communicate(timeout=EXIT_S) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()
        s3_server.reset()


def test_a_program_ends_while_a_request_never_does(good: Path) -> None:
    program = """
        class Stuck(litestream.FileReplicaClient):
            def ltx_files(self, *arguments, **options):
                if stuck:
                    threading.Event().wait()
                return super().ltx_files(*arguments, **options)
        stuck = False
        kept = litestream.connect(Stuck(url.removeprefix("file://")), poll_interval_s=0.01)
        stuck = True
        time.sleep(0.1)
        assert rows(kept) == [(1,), (2,)]
    """
    _run(program, f"file://{good}")


def _run(program: str, url: str, prints: str = "") -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", _source(program), url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=EXIT_S,
        check=False,
    )
    assert (done.stdout, _without_warnings(done.stderr)) == (prints, "")
    assert done.returncode == 0


def _source(program: str) -> str:
    indent = " " * 8
    return BEGIN + "\n".join(line.removeprefix(indent) for line in program.splitlines())


def _without_warnings(text: str) -> str:
    """Leave out what -X dev says of connections left open: that is so, on purpose."""
    return "\n".join(line for line in text.splitlines() if "ResourceWarning" not in line and "Unclosed" not in line)


def _stuck_storage() -> FaultyClient:
    client = FaultyClient(MemoryReplicaClient())
    StepWriter(client).commit(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB); WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n"
        " WHERE i < 200) INSERT INTO item SELECT i, randomblob(3000) FROM n",
        level=SNAPSHOT_LEVEL,
    )
    return client


def _replica_threads() -> set[threading.Thread]:
    others = {"litestream-loop"}  # of the process, once a store needed it
    return {
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("litestream-") and thread.name not in others
    }


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
