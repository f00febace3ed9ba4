"""Goal: a store that tells of new files is read at once, whatever the poll interval, and not polled too often.

Method: commits of a writer timed until a reader shows them; then a store in memory that tells, or is silent, and polls
that are counted. Bugs planted to see it fail: no poll when the watch has begun; pushed polls that put off those that
are due, or list other levels; one file of many taken per push; a watch that outlives its replica; pushes while nobody
reads.
"""

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import apsw
import pytest

import litestream
from replication.client.file import FileReplicaClient
from replication.client.file_watch import THREAD_NAME
from replication.clock import SYSTEM_CLOCK
from replication.errors import UnavailableError
from tests.support.faulty_client import FaultyClient
from tests.support.nats_server import NatsServer
from tests.support.primary import Primary, StepClock
from tests.support.pushing_client import PushingClient
from tests.support.reading import NEVER_S, assert_same, followed, image_of, opened
from tests.support.waiting import wait_until
from vfs import follow
from vfs.names import LOGGER
from vfs.next_files import MAX_FILES
from vfs.poller import LEAST_GAP_S
from vfs.read_replica import ReadReplica
from vfs.replica import SharedReplica
from vfs.schedule import LIST_INTERVAL_S, Cause

COMMITS = 50
POLL_INTERVAL_S = 10.0
MEDIAN_S = 0.1
LONGEST_S = 2.0  # of all: far from the poll interval, even on a machine that is busy with other things
TIMEOUT_S = 20.0
CREATE = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"


@pytest.fixture(params=["file", "nats"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield f"file://{tmp_path / 'replica'}"
        return
    with NatsServer(tmp_path / "server") as server:
        yield server.url(server.new_bucket())


def test_a_commit_is_visible_within_100_ms_at_a_poll_interval_of_10_s(url: str, tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "app.db"))) as writer:
        writer.execute("PRAGMA journal_mode = WAL").fetchall()
        writer.execute(CREATE)
        with litestream.replicate(writer, url, sync_interval_s=0.0) as store:
            store.sync()
            with closing(litestream.connect(url, poll_interval_s=POLL_INTERVAL_S)) as reader:
                stats = litestream.read_replica(reader.filename).stats
                wait_until(lambda: bool(stats()["push"]), "the watch", timeout_s=TIMEOUT_S)
                times_s = [_seconds_to_see(number, writer, reader) for number in range(1, COMMITS + 1)]
    assert max(times_s) < LONGEST_S
    assert median(times_s) < MEDIAN_S


def _seconds_to_see(number: int, writer: apsw.Connection, reader: apsw.Connection) -> float:
    writer.execute("INSERT INTO item VALUES (?, 'new')", (number,))
    begin = time.monotonic()
    wait_until(
        lambda: reader.execute("SELECT max(id) FROM item").get == number,
        f"commit {number} to be visible",
        timeout_s=TIMEOUT_S,
        pause_s=0.002,
    )
    return time.monotonic() - begin


@pytest.fixture
def client() -> PushingClient:
    return PushingClient()


@pytest.fixture
def primary(client: PushingClient) -> Iterator[Primary]:
    with Primary(client, clock=StepClock(SYSTEM_CLOCK.now())) as primary:
        primary.commit(CREATE)
        primary.snapshot()
        yield primary


def add(primary: Primary, count: int = 1) -> None:
    for _ in range(count):
        primary.commit(f"INSERT INTO item (body) VALUES (noise({primary.txid}, 700))")


def wait_for(replica: ReadReplica, txid: int) -> None:
    wait_until(lambda: replica.txid == txid, f"TXID {txid}", timeout_s=TIMEOUT_S, pause_s=0.002)


def wait_for_quiet(replica: ReadReplica) -> int:
    """Return how many polls there were when no more came."""
    seen, polls = -1, 0
    while seen != polls:
        seen = polls
        time.sleep(10 * LEAST_GAP_S)
        polls = int(str(replica.stats()["polls"]))
    return polls


def test_what_comes_before_the_watch_has_begun_is_seen_when_it_has(
    primary: Primary, client: PushingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin: Callable[[SharedReplica], None] = SharedReplica._began

    def add_and_begin(shared: SharedReplica) -> None:
        client.is_silent = True
        add(primary)
        client.is_silent = False
        begin(shared)

    monkeypatch.setattr(SharedReplica, "_began", add_and_begin)
    with followed(client) as replica:
        assert replica.txid < primary.txid + 1
        wait_for(replica, 2)
        assert primary.txid == 2


def test_a_push_that_is_lost_costs_one_interval(primary: Primary, client: PushingClient) -> None:
    with followed(client, poll_interval_s=0.1) as replica, opened(replica):
        assert replica.txid == primary.txid
        wait_for_quiet_push(replica)
        client.is_silent = True
        add(primary)
        wait_for(replica, primary.txid)


def wait_for_quiet_push(replica: ReadReplica) -> None:
    wait_until(lambda: bool(replica.stats()["push"]), "the watch", timeout_s=TIMEOUT_S)


def test_connections_of_one_replica_share_one_watch_and_the_last_one_ends_it(
    primary: Primary, client: PushingClient
) -> None:
    add(primary)
    with followed(client) as replica:
        with opened(replica), opened(replica), opened(replica):
            wait_for_quiet_push(replica)
            assert (len(client.watches), client.watched) == (1, 1)
        assert len(client.watches) == 1
    assert (len(client.watches), client.watched) == (0, 1)


@pytest.mark.parametrize("is_local", [True, False])
def test_a_busy_writer_makes_a_bounded_number_of_polls_and_is_followed(
    primary: Primary,
    client: PushingClient,
    is_local: bool,  # noqa: FBT001 - a parameter
) -> None:
    inner = FaultyClient(client)
    vars(inner).update(is_local=is_local)
    with followed(inner) as replica, opened(replica) as connection:
        polls, begin = wait_for_quiet(replica), time.monotonic()
        add(primary, 150)
        wait_for(replica, primary.txid)
        elapsed_s = time.monotonic() - begin
        assert wait_for_quiet(replica) - polls <= elapsed_s / LEAST_GAP_S + 2
        assert_same(image_of(connection), primary.images[primary.txid])


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize("count", [2, MAX_FILES, 3 * MAX_FILES])
def test_one_push_brings_all_files_that_came(
    primary: Primary,
    client: PushingClient,
    count: int,
    is_local: bool,  # noqa: FBT001 - a parameter
) -> None:
    inner = FaultyClient(client)
    vars(inner).update(is_local=is_local)
    add(primary)  # the next one's name is asked for after a file of level 0
    with followed(inner) as replica:
        assert replica.txid == primary.txid
        wait_for_quiet(replica)
        client.is_silent = True
        add(primary, count)
        client.is_silent = False
        client.tell()
        wait_for(replica, primary.txid)


def test_a_pushed_poll_lists_level_0_alone_and_leaves_the_turns_as_they_were(primary: Primary) -> None:
    inner = FaultyClient(primary.client)
    vars(inner).update(is_local=True)
    with followed(inner) as replica:
        shared = replica.open().replica
        wait_for_quiet(replica)
        inner.clear_calls()
        for _ in range(7):
            shared.poll(shared.waiter(), Cause.PUSHED)
        assert [call.level for call in inner.calls] == [0] * 7
        inner.clear_calls()
        for _ in range(6):
            shared.poll(shared.waiter(), Cause.DUE)
            shared.poll(shared.waiter(), Cause.PUSHED)
        assert [call.level for call in inner.calls] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0]


def test_pushes_put_off_no_listing_that_is_due(primary: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = FaultyClient(primary.client)
    with followed(inner) as replica:
        shared = replica.open().replica
        wait_for_quiet(replica)
        monkeypatch.setattr(follow, "LIST_INTERVAL_S", 0.0)
        assert LIST_INTERVAL_S > 0
        inner.clear_calls()
        for _ in range(3):
            shared.poll(shared.waiter(), Cause.PUSHED)
            assert inner.count("ltx_files") == 0
        for number in range(1, 4):
            shared.poll(shared.waiter(), Cause.DUE)
            assert inner.count("ltx_files") == number
        assert [call.level for call in inner.calls if call.method == "ltx_files"] == [0, 0, 1]


def test_while_nobody_reads_one_poll_answers_the_pushes_of_an_interval(primary: Primary, client: PushingClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        assert connection.execute("SELECT count(*) FROM item").get == 0
        polls = wait_for_quiet(replica)
        shared = replica.open().replica
        shared.rest.touched, shared.rest.is_resting = False, True
        shared._set_pace(NEVER_S)
        add(primary, 5)
        assert wait_for_quiet(replica) == polls
        assert connection.execute("SELECT count(*) FROM item").get == 5, "the first reader does not see an old state"
        add(primary)
        wait_for(replica, primary.txid)


@pytest.mark.parametrize("error", [UnavailableError("no more watches"), ValueError("a mistake")])
def test_a_store_that_cannot_be_watched_is_polled(
    primary: Primary,
    client: PushingClient,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_on_change: Callable[[], None]) -> None:
        raise error

    monkeypatch.setattr(client, "watch", refuse)
    with caplog.at_level(logging.INFO, LOGGER.name), followed(client, poll_interval_s=0.05) as replica:
        assert replica.txid == primary.txid
        add(primary)
        wait_for(replica, primary.txid)
        assert replica.stats()["push"] is False
    assert str(error) in caplog.text


def test_files_are_polled_for_where_watchfiles_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    with Primary(FileReplicaClient(tmp_path)) as primary, caplog.at_level(logging.INFO, LOGGER.name):
        primary.commit(CREATE)
        with followed(primary.client, poll_interval_s=0.05) as replica:
            assert replica.txid == 1
            add(primary)
            wait_for(replica, 2)
            assert replica.stats()["push"] is False
    assert "apsw-litestream[watch]" in caplog.text
    assert all(record.levelno == logging.INFO for record in caplog.records)


def test_a_replica_deleted_and_written_anew_is_seen_at_once(tmp_path: Path) -> None:
    with Primary(FileReplicaClient(tmp_path)) as primary:
        primary.commit(CREATE)
        add(primary, 3)
        with followed(primary.client) as replica:
            assert replica.txid == primary.txid
            wait_for_quiet_push(replica)
            primary.client.delete_all()
            with Primary(FileReplicaClient(tmp_path)) as other:
                other.commit("CREATE TABLE other (id)")
                wait_until(lambda: replica.txid == 1, "the new history", timeout_s=TIMEOUT_S)
                other.commit("CREATE TABLE another (id)")
                wait_for(replica, 2)


def test_many_opens_and_closes_leave_no_watch(tmp_path: Path) -> None:
    with Primary(FileReplicaClient(tmp_path)) as primary:
        primary.commit(CREATE)
    before = set(threading.enumerate())
    for _ in range(20):
        with closing(litestream.connect(f"file://{tmp_path}", poll_interval_s=POLL_INTERVAL_S)) as connection:
            replica = litestream.read_replica(connection.filename)
            wait_for_quiet_push(replica)
            assert [thread.name for thread in threading.enumerate()].count(THREAD_NAME) == 1
        assert set(threading.enumerate()) == before


def test_the_collector_may_close_a_replica_on_the_thread_that_tells(primary: Primary, client: PushingClient) -> None:
    gc.collect()
    gc.disable()
    try:
        before = set(threading.enumerate())
        connection = litestream.connect(client, poll_interval_s=POLL_INTERVAL_S)
        wait_for_quiet_push(litestream.read_replica(connection.filename))
        circle: list[object] = [connection]
        circle.append(circle)
        del connection, circle
        watch = client.watches[0]
        tell, close, told, took_s = watch.on_change, watch.close, threading.Event(), []

        def tell_and_collect() -> None:
            tell()
            begin = time.monotonic()
            gc.collect()
            took_s.append(time.monotonic() - begin)
            told.set()

        def wait_and_close() -> None:
            told.wait(TIMEOUT_S)  # as a watch does that has a thread
            close()

        watch.on_change = tell_and_collect
        watch.close = wait_and_close  # type: ignore[method-assign]
        add(primary)
        wait_until(lambda: set(threading.enumerate()) <= before, "the threads", timeout_s=TIMEOUT_S)
        assert client.watches == []
        assert took_s[0] < 0.5, "who tells does not wait for the end of what is told"
    finally:
        gc.enable()
