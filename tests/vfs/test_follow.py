"""Following a replica whose levels move on in every order. Method: polls by hand, requests counted, pages compared."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import apsw
import pytest

from replication.client.memory import MemoryReplicaClient
from replication.errors import CorruptError, LTXMissingError, NoSnapshotsError, PositionError, UnavailableError
from replication.levels import LEVELS
from replication.ltx.decoder import decode_file
from tests.support.faulty_client import FaultyClient
from tests.support.primary import Primary
from tests.support.reading import assert_same, begin, file_of, followed, image_of, opened
from vfs import follow
from vfs.load import HEAD_SIZE, WHOLE_SIZE
from vfs.schedule import POLLS_PER_TURN, Cause

CREATE = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"


@pytest.fixture
def client() -> FaultyClient:
    return FaultyClient(MemoryReplicaClient())


@pytest.fixture
def primary(client: FaultyClient) -> Iterator[Primary]:
    with Primary(client.inner) as primary:
        primary.commit(CREATE)
        primary.snapshot()
        add(primary, 2)
        yield primary


def add(primary: Primary, count: int = 1) -> None:
    for _ in range(count):
        primary.commit(f"INSERT INTO item (body) VALUES (noise({primary.txid}, 700))")


def test_a_poll_that_finds_nothing_lists_level_0_and_each_other_level_in_turn(
    primary: Primary, client: FaultyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LIST_INTERVAL_S", 0.0)
    with followed(client) as replica:
        assert replica.txid == primary.txid
        client.clear_calls()
        shared = replica.open().replica
        for _ in range(POLLS_PER_TURN * (len(LEVELS) - 1)):
            shared.poll(shared.waiter(), Cause.DUE)
        assert {call.level for call in client.calls} == set(LEVELS)
        assert client.count("ltx_files") == POLLS_PER_TURN * (len(LEVELS) - 1)
        # Eight levels without files do not say whether history is the same: the next name and the newest file do.
        assert client.count("read_ltx") == 2 * (len(LEVELS) - 2)


def test_a_new_transaction_costs_one_list_and_one_read(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica:
        replica.poll()
        add(primary)
        client.clear_calls()
        assert replica.poll() == primary.txid
        assert [call.method for call in client.calls] == ["ltx_files", "read_ltx"]


def test_many_new_files_are_taken_from_a_level_that_holds_them_all(primary: Primary, client: FaultyClient) -> None:
    primary.compact(1)
    with followed(client) as replica, opened(replica) as connection:
        add(primary, 40)
        primary.compact(1)
        client.clear_calls()
        assert replica.poll() == primary.txid
        assert client.count("ltx_files") <= 2 + len(LEVELS)
        assert client.count("read_ltx") == 1
        assert_same(image_of(connection), primary.image)


@pytest.mark.parametrize("level", [1, 2, 9])
def test_a_replica_that_moves_on_at_one_higher_level_only_is_followed(
    primary: Primary, client: FaultyClient, level: int
) -> None:
    primary.compact(1)
    primary.compact(2)
    with followed(client) as replica, opened(replica) as connection:
        for _ in range(3):
            add(primary, 2)
            for number in range(1, level + 1 if level < 9 else 1):
                primary.compact(number)
            if level == 9:
                primary.snapshot()
            primary.delete(*range(min(level, 1)))
            for _ in range(POLLS_PER_TURN * len(LEVELS)):
                if replica.poll() == primary.txid:
                    break
            assert replica.txid == primary.txid
            assert_same(image_of(connection), primary.image)


def test_a_gap_is_an_error_at_each_poll_until_it_is_closed(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        before = image_of(connection)
        add(primary, 3)
        missing = [info for info in client.inner.ltx_files(0) if info.max_txid == primary.txid - 2]
        data = client.inner.read_ltx(missing[0])
        client.inner.delete_ltx_files(missing)
        for _ in range(12):
            with pytest.raises(PositionError, match="gap"):
                replica.poll()
            assert "gap" in replica.error
            assert_same(image_of(connection), before)
        client.inner.write_ltx_file(0, missing[0].min_txid, missing[0].max_txid, io.BytesIO(data))
        assert replica.poll() == primary.txid
        assert replica.error == ""
        assert_same(image_of(connection), primary.image)


def test_a_gap_that_a_snapshot_bridges_is_none(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        add(primary, 5)
        primary.snapshot()
        primary.delete(0)
        add(primary)
        assert replica.poll() == primary.txid
        assert_same(image_of(connection), primary.image)


def test_a_file_that_vanishes_between_list_and_get_is_planned_around(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        add(primary, 2)
        gate = client.hold("read_ltx")
        with ThreadPoolExecutor(1) as pool:
            polled = pool.submit(replica.poll)
            gate.wait_until_reached()
            primary.compact(1)
            primary.retain(level_0_kept=1)
            gate.release()
            assert polled.result() == primary.txid
        assert_same(image_of(connection), primary.image)


def test_a_file_that_is_listed_and_never_there_is_an_error_that_passes(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica:
        add(primary)
        client.vanish(next(iter(client.inner.ltx_files(0, primary.txid))))  # type: ignore[arg-type]
        with pytest.raises(LTXMissingError):
            replica.poll()
        client.heal()
        assert replica.poll() == primary.txid


def test_a_broken_file_is_passed_over_once_a_higher_level_leads_on(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        add(primary)
        client.flip_bit(120, times=1)
        with pytest.raises(CorruptError):
            replica.poll()
        primary.compact(1)
        assert replica.poll() == primary.txid
        assert_same(image_of(connection), primary.image)


@pytest.mark.parametrize("starts_over", [False, True])
def test_a_broken_page_at_the_head_of_a_snapshot_is_an_error_of_that_page_alone(
    primary: Primary, client: FaultyClient, *, starts_over: bool
) -> None:
    with followed(client) as replica:
        if starts_over:
            assert replica.poll() == primary.txid
        primary.start_over(CREATE, "CREATE TABLE more AS SELECT 1 AS one")
        add(primary, 200)
        snapshot = primary.snapshot()
        content = bytearray(client.inner.read_ltx(snapshot))
        index = decode_file(bytes(content)).index
        broken = index.find(4)
        assert broken is not None
        assert broken.end < HEAD_SIZE
        assert len(content) > WHOLE_SIZE
        content[broken.start + 4] ^= 0x40  # a flag that means nothing
        client.inner.write_ltx_file(9, snapshot.min_txid, snapshot.max_txid, io.BytesIO(content))
        primary.delete(0, keep=[info for info in client.inner.ltx_files(0) if info.max_txid == primary.txid])
        assert replica.poll() == primary.txid
        assert replica.error == ""
        with opened(replica) as connection:
            assert connection.execute("SELECT one FROM more").get == 1
            with pytest.raises(apsw.CorruptError, match="flags"):
                connection.execute("SELECT body FROM item").fetchall()


def test_page_numbers_learnt_after_history_started_over_are_kept(primary: Primary, client: FaultyClient) -> None:
    add(primary, 10)
    with followed(client) as replica, opened(replica) as connection:
        begin(connection)
        primary.start_over(CREATE)
        add(primary)
        assert replica.poll() == primary.txid == 2
        known = file_of(connection).replica.table.known()
        assert [one.file.info.max_txid for one in known] == [2], "the position, and nothing of the history before"


def test_a_snapshot_listed_before_its_last_level_0_file_is_followed_by_the_next_one(
    primary: Primary, client: FaultyClient
) -> None:
    add(primary)
    last = list(client.inner.ltx_files(0))[-1]
    data = client.inner.read_ltx(last)
    primary.snapshot()
    client.inner.delete_ltx_files([last])
    with followed(client) as replica, opened(replica) as connection:
        assert replica.txid == primary.txid
        replica.poll()
        client.inner.write_ltx_file(0, last.min_txid, last.max_txid, io.BytesIO(data))
        add(primary)
        assert replica.poll() == primary.txid
        assert_same(image_of(connection), primary.image)


def test_a_failing_store_leaves_what_was_visible_and_says_so(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        before = image_of(connection)
        add(primary)
        client.fail("ltx_files", UnavailableError("down"), times=None)
        for _ in range(4):
            with pytest.raises(UnavailableError):
                replica.poll()
            assert replica.error == "down"
            assert_same(image_of(connection), before)
        client.heal()
        assert replica.poll() == primary.txid
        assert replica.error == ""


def test_a_rewound_replica_is_believed_at_the_second_sight_even_if_a_listing_fails_between(
    primary: Primary, client: FaultyClient
) -> None:
    add(primary, 4)
    with followed(client) as replica, opened(replica) as connection:
        assert replica.txid == primary.txid
        client.inner.delete_ltx_files([info for info in client.inner.ltx_files(0) if info.max_txid > 3])
        replica.poll()
        client.fail("ltx_files", UnavailableError("down"), times=None)
        with pytest.raises(UnavailableError):
            replica.poll()
        client.heal()
        for _ in range(2):
            replica.poll()
        assert replica.txid == 3
        assert_same(image_of(connection), primary.images[3])


def test_a_time_that_runs_backwards_on_the_primary_is_no_matter(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        for seconds in (-86_400, 200_000, -500):
            primary.clock.advance(seconds)
            add(primary)
            assert replica.poll() == primary.txid
            assert replica.time == primary.instants[primary.txid]
            assert_same(image_of(connection), primary.image)


def test_a_long_transaction_lets_polls_go_on_and_stands_still(primary: Primary, client: FaultyClient) -> None:
    with followed(client) as replica, opened(replica) as connection:
        begin(connection)
        before = primary.image
        for _ in range(20):
            add(primary)
            replica.poll()
        primary.compact(1)
        primary.retain()
        replica.poll()
        assert_same(image_of(connection), before)
        connection.execute("COMMIT")
        assert_same(image_of(connection), primary.image)


def test_an_empty_replica_cannot_be_opened_and_can_be_later(client: FaultyClient) -> None:
    with followed(client) as replica, Primary(client.inner) as primary:
        with pytest.raises(NoSnapshotsError):
            _ = replica.txid
        primary.commit(CREATE)
        assert replica.txid == 1
