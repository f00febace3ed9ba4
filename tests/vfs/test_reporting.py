"""Goal: what a replica says of itself is true: waiting, ages, counters, errors and reprs, in Python and in SQL.

Method: a replica in memory that the test grows step by step, polled only when the test says so, or often.
"""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

import litestream
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.clock import format_instant
from tests.support.faulty_client import FaultyClient
from tests.support.primary import Primary
from tests.support.reading import followed, opened
from tests.support.step_writer import FIRST, STEP, StepWriter
from tests.support.waiting import wait_until

URI = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
NEVER_S = 24 * 3600.0
COUNT = "SELECT count(*) FROM item"


class Shop:
    """A replica of two TXIDs, registered as "shop" and polled by hand."""

    def __init__(self, replica: litestream.ReadReplica, client: FaultyClient, steps: StepWriter) -> None:
        self.replica = replica
        self.client = client
        self.steps = steps

    def open(self, parameters: str = "") -> apsw.Connection:
        return apsw.Connection(f"file:shop?vfs=litestream{parameters}", flags=URI)

    def insert(self) -> None:
        self.steps.commit("INSERT INTO item(name) VALUES ('more')")


@pytest.fixture
def shop() -> Iterator[Shop]:
    client = FaultyClient(MemoryReplicaClient())
    steps = StepWriter(client)
    steps.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    steps.commit("INSERT INTO item VALUES (1, 'one')")
    client.clear_calls()
    with litestream.register_read_replica("shop", client, poll_interval_s=NEVER_S) as replica:
        yield Shop(replica, client, steps)


def test_a_read_replica_tells_its_state(shop: Shop) -> None:
    replica = shop.replica
    assert repr(replica) == "<ReadReplica shop not opened yet>"
    assert (replica.lag_s, replica.error, replica.stats()) == (-1.0, "", {})
    assert shop.client.calls == [], "nothing is asked before it is needed"
    assert replica.txid == 2
    assert replica.time == FIRST + STEP
    age_s = (datetime.now(UTC) - FIRST - STEP) / timedelta(seconds=1)
    assert replica.data_age_s == pytest.approx(age_s, abs=5)
    assert 0 <= replica.lag_s < 5
    assert repr(replica).startswith("<ReadReplica shop txid=0000000000000002 lag=")
    assert repr(replica).endswith("s pages=2 cache=0.0/10.0 MiB>")
    shop.insert()
    assert replica.txid == 2
    assert replica.poll() == replica.txid == 3
    assert [point.txid for point in replica.restore_points()] == [1, 2, 3]
    replica.close()
    replica.close()
    assert repr(replica) == "<ReadReplica shop closed>"
    assert (replica.lag_s, replica.error, replica.stats()) == (-1.0, "", {})
    with pytest.raises(litestream.UsageError, match="no read replica named 'shop'"):
        litestream.read_replica("shop")


def test_a_read_replica_tells_of_a_failed_poll_until_one_succeeds(shop: Shop) -> None:
    assert shop.replica.txid == 2
    shop.client.fail("ltx_files", litestream.UnavailableError("the line is down"), times=None)
    with pytest.raises(litestream.UnavailableError, match="the line is down"):
        shop.replica.poll()
    assert shop.replica.error == "the line is down"
    assert _stats(shop)["last_error"] == "the line is down"
    assert _stats(shop)["poll_errors"] == 1
    connection = shop.open()
    assert connection.pragma("litestream_error") == "the line is down"
    with pytest.raises(apsw.IOError, match="the line is down"):
        connection.execute("PRAGMA litestream_poll")
    shop.client.heal()
    assert connection.pragma("litestream_poll") == f"{2:016x}"
    assert connection.pragma("litestream_error") == shop.replica.error == ""
    connection.close()


def test_an_implicit_read_replica_knows_what_its_connections_know(tmp_path: Path) -> None:
    StepWriter(FileReplicaClient(tmp_path)).commit("CREATE TABLE item (id)")
    url = f"file://{tmp_path}"
    connection = litestream.connect(url)
    replica = litestream.read_replica(url)
    assert replica.lag_s >= 0
    assert replica.stats()["txid"] == f"{1:016x}"
    assert repr(replica).startswith(f"<ReadReplica {url} txid=0000000000000001 ")
    assert replica.txid == 1
    connection.close()
    assert repr(replica) == f"<ReadReplica {url} closed>"


def test_wait_for_looks_at_once_and_returns_as_soon_as_the_txid_is_visible(shop: Shop) -> None:
    assert shop.replica.wait_for(2, timeout_s=0) == 2
    assert shop.replica.wait_for("1", timeout_s=0) == 2
    shop.insert()
    began = time.monotonic()
    assert shop.replica.wait_for("0x3", timeout_s=10) == 3, "nobody else polls in this hour"
    assert time.monotonic() - began < 2

    def later() -> None:
        shop.insert()
        shop.replica.poll()

    writer = threading.Timer(0.2, later)
    writer.start()
    began = time.monotonic()
    assert shop.replica.wait_for(4, timeout_s=10) == 4
    assert 0.1 < time.monotonic() - began < 2
    writer.join()


def test_wait_for_says_what_it_waited_for_and_why(shop: Shop) -> None:
    began = time.monotonic()
    with pytest.raises(litestream.UnavailableError, match=rf"{9:016x} was not visible within 0.2 s.*{2:016x}"):
        shop.replica.wait_for(9, timeout_s=0.2)
    assert 0.15 < time.monotonic() - began < 1.2
    shop.client.fail("ltx_files", litestream.UnavailableError("the line is down"), times=None)
    with pytest.raises(litestream.UnavailableError):
        shop.replica.poll()
    with pytest.raises(litestream.UnavailableError, match="the line is down"):
        shop.replica.wait_for(9, timeout_s=0)
    with pytest.raises(litestream.UsageError, match="hexadecimal"):
        shop.replica.wait_for("nine", timeout_s=0)


def test_the_pragma_waits_as_long_as_the_busy_timeout(shop: Shop) -> None:
    connection = shop.open()
    connection.set_busy_timeout(300)
    began = time.monotonic()
    with pytest.raises(
        apsw.BusyError, match=rf"{3:016x} was not visible within 0.3 s, the newest is {2:016x}"
    ) as raised:
        connection.execute("PRAGMA litestream_wait = 3")
    assert 0.25 < time.monotonic() - began < 1.3
    assert isinstance(raised.value.__cause__, litestream.UnavailableError)
    shop.insert()
    poll = threading.Timer(0.1, shop.replica.poll)
    poll.start()
    connection.set_busy_timeout(10_000)
    assert connection.execute("PRAGMA litestream_wait = '0x3'").fetchall() == [(f"{3:016x}",)]
    poll.join()
    assert connection.execute(COUNT).fetchall() == [(2,)]
    assert connection.execute("PRAGMA busy_timeout").fetchall() == [(10_000,)]
    connection.close()


def test_the_pragma_waits_ten_seconds_without_a_busy_timeout(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import vfs.pragma

    assert vfs.pragma.DEFAULT_WAIT_S == 10
    monkeypatch.setattr(vfs.pragma, "DEFAULT_WAIT_S", 0.2)
    connection = shop.open()
    connection.set_busy_timeout(0)
    with pytest.raises(apsw.BusyError, match=r"within 0\.2 s"):
        connection.execute("PRAGMA litestream_wait = 3")
    connection.close()


def test_a_txid_that_is_visible_needs_no_wait_even_in_a_transaction(shop: Shop) -> None:
    connection = shop.open()
    with connection:
        assert connection.execute(COUNT).fetchall() == [(1,)]
        assert connection.pragma("litestream_wait", "1") == f"{2:016x}"
    connection.close()


def test_the_poll_interval_can_be_read_and_set(shop: Shop) -> None:
    connection = shop.open()
    assert connection.pragma("litestream_poll_interval") == "24h0m0s"
    shop.insert()
    assert connection.execute("PRAGMA litestream_poll_interval = '20ms'").fetchall() == [("20ms",)]
    wait_until(lambda: connection.execute(COUNT).fetchall() == [(2,)], "a poll at the new interval", timeout_s=5)
    assert connection.execute("PRAGMA litestream_poll_interval = 2.5").fetchall() == [("2.5s",)]
    connection.close()


def test_ages_are_told_in_seconds(shop: Shop) -> None:
    connection = shop.open()
    age_s = (datetime.now(UTC) - FIRST - STEP) / timedelta(seconds=1)
    assert float(connection.pragma("litestream_data_age")) == pytest.approx(age_s, abs=5)
    assert connection.pragma("litestream_lag") == "0"
    assert connection.execute("SELECT litestream_lag()").fetchall() == [(0,)]
    connection.execute("PRAGMA litestream_txid = 1")
    assert float(connection.pragma("litestream_data_age")) == pytest.approx(age_s + 60, abs=5)
    assert connection.pragma("litestream_time") == "2026-03-01T12:00:00Z"
    connection.close()


def test_counters_count(shop: Shop) -> None:
    connection = shop.open()
    connection.execute("PRAGMA cache_size = 0")
    for _ in range(3):
        assert connection.execute(COUNT).fetchall() == [(1,)]
    stats = _stats(shop)
    assert stats == json.loads(str(connection.pragma("litestream_stats")))
    assert set(stats) >= {"requests", "bytes_read", "cache", "prefetch", "polls", "poll_errors", "last_error", "txid"}
    assert stats["requests"] == {"list": shop.client.count("ltx_files"), "get": shop.client.count("read_ltx")}
    assert stats["bytes_read"] > 200
    assert set(stats["cache"]) >= {"hits", "misses", "size", "max_size"}
    assert stats["cache"]["max_size"] == 10 * 2**20
    assert stats["cache"]["size"] == 2 * 4096
    assert stats["cache"]["misses"] in {1, 2}, "of two pages, one may come with the first request"
    assert stats["cache"]["hits"] >= 2
    assert stats["prefetch"] == {"prefetched": 0, "used": 0, "wasted": 0, "bytes": 0, "bytes_used": 0}
    assert (stats["polls"], stats["poll_errors"], stats["last_error"]) == (0, 0, "")
    shop.insert()
    shop.replica.poll()
    connection.execute(COUNT).fetchall()
    later = _stats(shop)
    assert later["polls"] == 1
    assert later["txid"] == f"{3:016x}"
    assert later["bytes_read"] > stats["bytes_read"]
    hits = later["cache"]["hits"]
    connection.close()
    assert _stats(shop)["cache"]["hits"] >= hits, "what a closed connection has counted stays counted"


def _stats(shop: Shop) -> dict[str, Any]:
    return shop.replica.stats()


def test_the_history_takes_its_schema_once(shop: Shop) -> None:
    connection = shop.open()
    query = "SELECT count(*) FROM litestream_history('main') WHERE schema = 'main' AND schema <> 'other'"
    assert connection.execute(query).get == 2
    connection.close()


def test_one_txid_has_one_time_however_it_is_reached(tmp_path: Path) -> None:
    with Primary(FileReplicaClient(tmp_path)) as primary:
        primary.commit("CREATE TABLE item (id INTEGER PRIMARY KEY)")
        primary.commit("INSERT INTO item VALUES (1)")
        written = format_instant(next(info.created_at for info in primary.client.ltx_files(0) if info.max_txid == 2))
        primary.clock.advance(60)
        primary.snapshot()
        primary.clock.advance(60)
        late = format_instant(primary.clock.now())
        primary.commit("INSERT INTO item VALUES (2)")
        for parameters in (f"&time={late}", "&txid=2", f"&time={late}"):
            with followed(primary.client) as replica, opened(replica, parameters[1:]) as connection:
                assert connection.pragma("litestream_txid") == f"{2:016x}"
                assert connection.pragma("litestream_time") == written
                history = connection.execute("SELECT time FROM litestream_history WHERE txid = ?", (f"{2:016x}",)).get
                assert history == written


@pytest.mark.parametrize(
    ("option", "value"), [("poll_interval_s", None), ("timeout_s", None), ("cache_size", "64MiB"), ("cache_size", None)]
)
def test_an_option_of_the_wrong_type_is_refused_at_once(option: str, value: object) -> None:
    with pytest.raises(litestream.UsageError, match=option):
        litestream.register_read_replica("typed", MemoryReplicaClient(), **{option: value})  # type: ignore[arg-type]
