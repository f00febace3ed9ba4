"""Databases of every kind, and replicas whose history starts over. Method: compare with what the primary committed."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from replication.client.memory import MemoryReplicaClient
from replication.errors import NoSnapshotsError
from tests.support.primary import Primary
from tests.support.reading import assert_same, followed, image_of, opened

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT {} UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


def rows(first: int, last: int, size: int = 200) -> str:
    return f"INSERT INTO item {NUMBERS.format(first, last)} SELECT i, noise(i, {size}) FROM n"


CREATE = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"


@pytest.fixture
def primary() -> Iterator[Primary]:
    with Primary(MemoryReplicaClient()) as primary:
        yield primary


def same_everywhere(primary: Primary, connection: apsw.Connection) -> None:
    assert_same(image_of(connection), primary.image)
    sql = "SELECT * FROM item ORDER BY id"
    assert list(connection.execute(sql)) == primary.query(sql)


def test_a_history_that_overtook_the_old_one_is_never_laid_upon_it(primary: Primary) -> None:
    for number in range(5):
        primary.commit(CREATE if number == 0 else rows(number * 10, number * 10 + 9))
    primary.snapshot()
    with followed(primary.client) as replica, opened(replica) as connection:
        same_everywhere(primary, connection)
        primary.start_over(CREATE, *[f"INSERT INTO item VALUES ({i}, noise({i * 7}, 900))" for i in range(8)])
        replica.poll()
        same_everywhere(primary, connection)


def test_a_history_that_came_to_the_same_txid_is_another_one(primary: Primary) -> None:
    primary.commit(CREATE)
    primary.commit(rows(1, 50))
    primary.snapshot()
    with followed(primary.client) as replica, opened(replica) as connection:
        same_everywhere(primary, connection)
        primary.start_over(CREATE, rows(1, 50, 201))
        replica.poll()
        replica.poll()
        same_everywhere(primary, connection)


def test_a_plan_anew_after_a_lost_file_does_not_mix_histories_at_the_same_txid(primary: Primary) -> None:
    primary.commit(CREATE)
    primary.commit(rows(1, 400, 500))  # too much to be held whole
    primary.snapshot()
    primary.delete(0)
    with followed(primary.client, cache_size=64 * 1024) as replica, opened(replica) as connection:
        assert connection.execute("SELECT sum(length(body)) FROM item WHERE id < 20").get
        primary.start_over(CREATE, rows(1, 400, 501))
        with pytest.raises(apsw.BusyError):
            connection.execute("SELECT sum(length(body)) FROM item").fetchall()
        replica.poll()
        same_everywhere(primary, connection)


def test_time_travel_into_a_new_history_does_not_make_it_pass_for_the_old_one(primary: Primary) -> None:
    for number in range(4):
        primary.commit(CREATE if number == 0 else rows(number * 10, number * 10 + 9))
    primary.snapshot()
    primary.delete(0)
    with followed(primary.client) as replica, opened(replica) as connection:
        same_everywhere(primary, connection)
        primary.start_over(CREATE, *[f"INSERT INTO item VALUES ({i}, noise({i * 7}, 900))" for i in range(8)])
        connection.pragma("litestream_txid", f"{6:x}")
        assert_same(image_of(connection), primary.images[6])
        connection.pragma("litestream_time", "latest")
        replica.poll()
        same_everywhere(primary, connection)


def test_a_wiped_replica_shows_its_error_until_it_is_there_again(primary: Primary) -> None:
    primary.commit(CREATE)
    primary.commit(rows(1, 20))
    with followed(primary.client) as replica, opened(replica) as connection:
        before = image_of(connection)
        primary.wipe()
        for _ in range(12):
            with pytest.raises(NoSnapshotsError):
                replica.poll()
            assert "gone" in replica.error
            assert_same(image_of(connection), before)
        primary.start_over(CREATE)  # behind the old position
        for _ in range(2):
            replica.poll()
        assert replica.error == ""
        same_everywhere(primary, connection)


def test_a_replica_is_copied_to_a_local_file_by_naming_its_vfs(tmp_path: Path) -> None:
    with Primary(MemoryReplicaClient(), page_size=1024) as primary:
        primary.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
        primary.commit("INSERT INTO item (body) VALUES (noise(1, 300))")
        with followed(primary.client) as replica, opened(replica) as connection:
            copy = tmp_path / "copy.db"
            with pytest.raises(apsw.CantOpenError, match=r"vfs=unix"):
                connection.execute(f"VACUUM INTO '{copy}'")
            connection.execute(f"VACUUM INTO 'file:{copy}?vfs=unix'")
            with closing(apsw.Connection(str(copy))) as local:
                assert (
                    local.execute("SELECT id, body FROM item").get
                    == connection.execute("SELECT id, body FROM item").get
                )
