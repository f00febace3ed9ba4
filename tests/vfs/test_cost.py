"""Goal: opening, idling and asking again cost exactly the requests they need.

Method: replicas on a real HTTP S3 server that delays each request, logs it, and tells which had to wait for others.
Polls are made by hand where they are counted, so that no clock decides what a test sees.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import apsw
import pytest

import litestream
from replication.client.fetch import fetch_ltx_header
from replication.client.url import replica_client
from replication.clock import from_timestamp_ms
from replication.levels import LEVELS
from replication.ltx.file_info import FileInfo
from tests.support.litestream_program import FileReplica, LitestreamProgram
from tests.support.s3_server import S3Server, count_by_kind, sequential_depth
from tests.support.waiting import wait_until
from vfs.file import ReplicaFile
from vfs.functions import find_file
from vfs.schedule import POLLS_PER_TURN

DELAY_MS = 20
LONG_S = 3600.0  # no poll happens by itself
FILES = 6


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        server.create_bucket("cost-bucket")
        yield server


@pytest.fixture(scope="module")
def url(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A replica of six files, written by the real program into a directory and copied to S3."""
    return make_replica(server, tmp_path_factory.mktemp("six"), "six", rows=40)


@pytest.fixture(scope="module")
def large_url(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same with a first file too large to be fetched whole."""
    return make_replica(server, tmp_path_factory.mktemp("large"), "large", rows=18_000)


def make_replica(server: S3Server, directory: Path, path: str, *, rows: int) -> str:
    database, replica = directory / "app.db", FileReplica(directory / "replica")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, data BLOB)")
        for number in range(FILES):
            for _ in range(rows if number == 0 else 3):
                connection.execute("INSERT INTO item (data) VALUES (randomblob(300))")
            connection.commit()
            LitestreamProgram(directory, database, replica).once()
    url = server.url(path, bucket="cost-bucket")
    source, target = replica_client(replica.url), replica_client(url)
    for info in source.ltx_files(0):
        with source.open_ltx_file(0, info.min_txid, info.max_txid) as reader:
            target.write_ltx_file(0, info.min_txid, info.max_txid, reader)
    return url


def counts(server: S3Server) -> Counter[str]:
    return count_by_kind(server.requests())


@pytest.mark.interop
@pytest.mark.parametrize("which", ["url", "large_url"])
def test_opening_six_files_and_reading_the_schema_takes_three_requests_in_sequence(
    server: S3Server, which: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(which)
    assert len(list(replica_client(url).ltx_files(0))) == FILES
    server.reset()
    server.set_delay_ms(DELAY_MS)
    try:
        with closing(litestream.connect(url, poll_interval_s=LONG_S)) as connection:
            assert connection.execute("SELECT name FROM sqlite_schema WHERE name = 'item'").get == "item"
            requests = server.requests()
    finally:
        server.set_delay_ms(0)
    assert sequential_depth(requests) <= 3
    assert count_by_kind(requests)["LIST"] == 1
    assert count_by_kind(requests)["GET"] <= FILES + 1
    assert set(count_by_kind(requests)) == {"LIST", "GET"}


@pytest.mark.interop
def test_a_poll_by_hand_lists_level_0_and_in_turn_another_whatever_the_number_of_connections(
    server: S3Server, url: str
) -> None:
    polls = 10 * POLLS_PER_TURN
    with litestream.register_read_replica("idle", url, poll_interval_s=LONG_S) as replica:
        connections = [litestream.connect(url, name="idle", poll_interval_s=LONG_S) for _ in range(5)]
        for connection in connections:
            connection.execute("SELECT count(*) FROM item").fetchall()
        server.reset()
        for _ in range(polls):
            replica.poll()
        assert counts(server) == {"LIST": polls + polls // POLLS_PER_TURN}
        for connection in connections:
            connection.close()


@pytest.mark.interop
def test_an_idle_process_makes_at_most_one_request_per_interval_whatever_the_number_of_connections(
    server: S3Server, url: str
) -> None:
    interval_s = 0.05
    with litestream.register_read_replica("poller", url, poll_interval_s=interval_s) as replica:
        connections = [apsw.Connection("file:poller?vfs=litestream", flags=READ_ONLY_URI) for _ in range(4)]
        # The first poll cannot know yet that nothing happens.
        wait_until(lambda: polls_of(replica) >= POLLS_PER_TURN + 1, "the poller to begin", timeout_s=20)
        before = polls_of(replica), counts(server).total()
        wait_until(lambda: polls_of(replica) >= before[0] + 30, "thirty polls", timeout_s=30)
        # A poll counts when it begins, its request when it is answered.
        assert counts(server).total() - before[1] <= polls_of(replica) - before[0] + 1
        for connection in connections:
            connection.close()


@pytest.mark.interop
def test_a_repeated_query_at_an_unchanged_txid_makes_one_read_and_no_request(
    server: S3Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(litestream.connect(url, poll_interval_s=LONG_S)) as connection:
        query = "SELECT count(*), sum(length(data)) FROM item"
        expected = connection.execute(query).get
        reads: list[tuple[int, int]] = []
        read = ReplicaFile.xRead

        def counted(file: ReplicaFile, amount: int, offset: int) -> bytes:
            reads.append((amount, offset))
            return read(file, amount, offset)

        monkeypatch.setattr(ReplicaFile, "xRead", counted)
        server.reset()
        assert connection.execute(query).get == expected
        assert reads == [(16, 24)]
        assert counts(server).total() == 0


@pytest.mark.interop
def test_a_new_file_costs_one_listing_and_one_get(server: S3Server, tmp_path: Path) -> None:
    url = make_replica(server, tmp_path, "growing", rows=3)
    client = replica_client(url)
    infos: list[FileInfo] = list(client.ltx_files(0))
    last = infos[-1]
    content = client.read_ltx(last)
    client.delete_ltx_files([last])
    with closing(litestream.connect(url, poll_interval_s=LONG_S)) as connection:
        file = find_file(connection, "main")
        before = connection.execute("SELECT count(*) FROM item").get
        client.write_ltx_file(0, last.min_txid, last.max_txid, BytesIO(content))
        server.reset()
        assert file.replica.poll(file.waiter()) == last.max_txid
        assert counts(server) == {"LIST": 1, "GET": 1}
        assert connection.execute("SELECT count(*) FROM item").get == before + 3
        assert counts(server) == {"LIST": 1, "GET": 1}  # the file brought its pages along


@pytest.mark.interop
def test_travelling_lists_all_levels_with_one_request(server: S3Server, url: str) -> None:
    client = replica_client(url)
    fourth = from_timestamp_ms(fetch_ltx_header(client, list(client.ltx_files(0))[3]).timestamp_ms)
    with (
        litestream.register_read_replica("travelling", url, poll_interval_s=LONG_S) as replica,
        closing(litestream.connect(url, name="travelling", poll_interval_s=LONG_S)) as connection,
    ):
        server.reset()
        points = replica.restore_points()
        assert [point.txid for point in points] == list(range(1, FILES + 1))
        assert counts(server) == {"LIST": 1}
        server.reset()
        connection.pragma("litestream_txid", "3")
        assert counts(server) == {"LIST": 1, "GET": 3}
        server.reset()
        connection.pragma("litestream_time", fourth.isoformat())
        assert connection.pragma("litestream_txid") == f"{3:016x}"  # the view that is there
        assert counts(server) == {"LIST": 1, "GET": 3}  # headers, in a binary search of six files


@pytest.mark.interop
def test_that_one_request_does_not_tell_of_all_files_is_found_out_once(server: S3Server, tmp_path: Path) -> None:
    url = make_replica(server, tmp_path, "many", rows=3)
    server.fill([(f"many/other/{number}", b"") for number in range(1000 - FILES)], bucket="cost-bucket")
    server.reset()
    with (
        litestream.register_read_replica("many", url, poll_interval_s=LONG_S) as replica,
        closing(litestream.connect(url, name="many", poll_interval_s=LONG_S)) as connection,
    ):
        assert counts(server)["LIST"] == 1 + len(LEVELS)
        server.reset()
        connection.pragma("litestream_txid", "3")
        assert counts(server) == {"LIST": len(LEVELS), "GET": 3}
        server.reset()
        assert len(replica.restore_points()) == FILES
        assert counts(server) == {"LIST": len(LEVELS)}


def polls_of(replica: litestream.ReadReplica) -> int:
    polls = replica.stats()["polls"]
    assert isinstance(polls, int)
    return polls


READ_ONLY_URI = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


@pytest.mark.interop
def test_an_instant_attached_to_another_shares_the_pages_they_have_in_common(server: S3Server, large_url: str) -> None:
    with closing(litestream.connect(large_url, name="twice", poll_interval_s=LONG_S, cache_size=64 * 2**20)) as newest:
        query = "SELECT sum(length(data)) FROM {}.item WHERE id <= 1000"
        expected = newest.execute(query.format("main")).get
        ahead = find_file(newest, "main").replica._pages.ahead
        wait_until(lambda: ahead._in_flight == 0, "what was fetched ahead", timeout_s=20)
        server.reset()
        newest.execute(f"ATTACH 'file:twice?vfs=litestream&txid={FILES - 1:x}' AS earlier")
        assert newest.execute(query.format("earlier")).get == expected
        # The listing, the page indexes of five files (two parts of the large one), and no page at all.
        assert counts(server) == {"LIST": 1, "GET": FILES}
        assert newest.execute("SELECT litestream_txid('earlier')").get == f"{FILES - 1:016x}"
