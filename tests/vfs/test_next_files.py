"""Polling by name: one request, and only what is proven to be of the same history.

Method: polls as the poller makes them, requests counted, pages compared. Bugs planted to see it fail: a file of another
history laid on what is known; a name that is not there taken for good; a listing at each poll.
"""

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

import litestream
from replication.client.memory import MemoryReplicaClient
from replication.position import TXID
from tests.support.faulty_client import FaultyClient
from tests.support.primary import Primary
from tests.support.reading import assert_same, followed, image_of, opened
from vfs import follow, next_files
from vfs.replica import SharedReplica
from vfs.schedule import Cause

ONE_REQUEST = ["open_ltx_file", "read_ltx"]  # what the reader of an open file asks for counts too
CREATE = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"


@pytest.fixture
def client() -> FaultyClient:
    return FaultyClient(MemoryReplicaClient())


@pytest.fixture
def primary(client: FaultyClient) -> Iterator[Primary]:
    with Primary(client.inner) as primary:
        primary.commit(CREATE)
        primary.snapshot()
        add(primary)
        yield primary


def add(primary: Primary, count: int = 1) -> None:
    for _ in range(count):
        primary.commit(f"INSERT INTO item (body) VALUES (noise({primary.txid}, 700))")


def due(shared: SharedReplica) -> TXID:
    return shared.poll(shared.waiter(), Cause.DUE)


def test_a_poll_that_finds_nothing_asks_for_one_name(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica:
        shared = replica.open().replica
        client.clear_calls()
        for _ in range(20):
            assert due(shared) == primary.txid
        assert [call.method for call in client.calls] == ONE_REQUEST * 20
        assert {call.min_txid for call in client.calls} == {primary.txid + 1}


def test_new_files_are_taken_one_after_the_other_without_a_listing(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        shared = replica.open().replica
        add(primary, 3)
        client.clear_calls()
        assert due(shared) == primary.txid
        assert client.count("ltx_files") == 0
        assert_same(image_of(connection), primary.image)


def test_a_file_just_written_is_the_last_one_asked_for(client: FaultyClient, tmp_path: Path) -> None:
    with (
        closing(apsw.Connection(str(tmp_path / "app.db"))) as connection,
        litestream.replicate(connection, client.inner) as store,
    ):
        connection.execute(CREATE)
        store.sync()
        with followed(client) as replica, opened(replica) as reader:
            shared = replica.open().replica
            for number in range(5):
                connection.execute("INSERT INTO item (body) VALUES (?)", (number,))
                position = store.sync()
                client.clear_calls()
                assert due(shared) == position.txid
                # The WAL goes on where the last file ended, so that the answer itself is the proof.
                assert [call.method for call in client.calls] == ONE_REQUEST
                assert reader.execute("SELECT count(*) FROM item").fetchall() == [(number + 1,)]


@pytest.mark.parametrize(("has_identities", "is_there"), [(True, True), (False, True), (True, False)])
def test_the_first_file_of_another_history_is_never_laid_upon_this_one(
    primary: Primary, client: FaultyClient, *, has_identities: bool, is_there: bool
) -> None:
    read = client.inner.read_ltx
    if not has_identities:  # then the header alone tells the files apart
        client.inner.read_ltx = lambda info, *span: read(replace(info, identity=""), *span)  # type: ignore[method-assign]
    with followed(client) as replica, opened(replica) as connection:
        add(primary, 2)
        shared = replica.open().replica
        due(shared)
        client.inner.delete_all()
        with Primary(client.inner) as other:
            # The second table keeps its pages, which a file laid on the wrong history would not bring.
            other.commit("CREATE TABLE other (id INTEGER PRIMARY KEY, body)")
            other.commit("CREATE TABLE more AS SELECT noise(1, 9000) AS body")
            other.snapshot()
            while other.txid <= primary.txid:
                other.commit(f"INSERT INTO other (body) VALUES (noise({other.txid}, 400))")
            if not is_there:
                other.snapshot()
                client.inner.delete_ltx_files([one for one in client.inner.ltx_files(0) if one.max_txid < other.txid])
            assert due(shared) == other.txid
            assert_same(image_of(connection), other.image)


def test_a_name_that_came_and_went_is_found_by_the_next_listing(
    primary: Primary, client: FaultyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with followed(client) as replica, opened(replica) as connection:
        shared = replica.open().replica
        before = primary.txid
        add(primary, 3)
        primary.compact(1)
        primary.delete(0, keep=[])
        assert due(shared) == before
        monkeypatch.setattr(follow, "LIST_INTERVAL_S", 0.0)
        assert due(shared) == primary.txid
        assert_same(image_of(connection), primary.image)


def test_after_files_have_come_a_pause_is_looked_into_once(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        shared = replica.open().replica
        add(primary)
        assert due(shared) == primary.txid
        add(primary, 3)
        primary.compact(1)
        primary.delete(0, keep=[])
        client.clear_calls()
        for _ in range(follow.PAUSE_MISSES):
            due(shared)
        assert shared.view.txid == primary.txid, "level 1 was listed"
        assert_same(image_of(connection), primary.image)
        for _ in range(3 * follow.PAUSE_MISSES):
            due(shared)
        listings = client.count("ltx_files")
        for _ in range(3 * follow.PAUSE_MISSES):
            due(shared)
        assert client.count("ltx_files") == listings


def test_a_large_file_is_left_to_a_listing(
    primary: Primary, client: FaultyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_files, "LEVEL_0_WHOLE_SIZE", 500)
    with followed(client) as replica, opened(replica) as connection:
        shared = replica.open().replica
        add(primary)
        client.clear_calls()
        assert due(shared) == primary.txid
        assert client.count("ltx_files") == 1
        assert_same(image_of(connection), primary.image)


def test_a_broken_file_is_an_error_and_the_next_poll_tries_again(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        shared = replica.open().replica
        add(primary)
        name = TXID(primary.txid)
        whole = client.inner.open_ltx_file(0, name, name).read()
        client.inner.write_ltx_file(0, name, name, io.BytesIO(whole[:-9] + bytes(9)))
        with pytest.raises(litestream.CorruptError):
            due(shared)
        client.inner.write_ltx_file(0, name, name, io.BytesIO(whole))
        assert due(shared) == primary.txid
        assert_same(image_of(connection), primary.image)
