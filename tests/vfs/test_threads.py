"""Many connections in threads, opened and closed while a replica is polled. Method: any exception is a failure."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from replication.client.memory import MemoryReplicaClient
from tests.support.primary import Primary
from tests.support.reading import assert_same, connect, followed, image_of

CREATE = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"


@pytest.fixture
def primary() -> Iterator[Primary]:
    with Primary(MemoryReplicaClient()) as primary:
        primary.commit(CREATE)
        yield primary


def test_files_come_and_go_while_the_replica_is_polled(primary: Primary) -> None:
    with followed(primary.client) as replica, ThreadPoolExecutor(3) as pool:
        shared = replica.open().replica
        ended = Event()

        def come_and_go() -> None:
            while not ended.is_set():
                connect(replica).close()

        threads = [pool.submit(come_and_go) for _ in range(3)]
        try:
            for number in range(60):
                primary.commit(f"INSERT INTO item VALUES ({number}, noise({number}, 300))")
                replica.poll()
                replica.stats()
        finally:
            ended.set()
        for thread in threads:
            thread.result()
        assert shared.pins() == []


def test_each_transaction_of_many_threads_sees_one_state(primary: Primary) -> None:
    with followed(primary.client, cache_size=8 * 1024) as replica, ThreadPoolExecutor(4) as pool:
        ended = Event()

        def read() -> int:
            connection = connect(replica, sqlite_cache=False)
            seen = set()
            try:
                while not ended.is_set():
                    connection.execute("BEGIN")
                    count = connection.execute("SELECT count(*) FROM item").get
                    txid = int(connection.pragma("litestream_txid"), 16)
                    assert_same(image_of(connection), primary.images[txid])
                    assert connection.execute("SELECT count(*) FROM item").get == count
                    connection.execute("COMMIT")
                    seen.add(txid)
            finally:
                connection.close()
            return len(seen)

        threads = [pool.submit(read) for _ in range(4)]
        try:
            for number in range(60):
                sql = "DELETE FROM item WHERE id % 3 = 0" if number % 7 == 6 else "SELECT 1"
                primary.commit(f"INSERT INTO item VALUES ({number}, noise({number}, 900))", sql)
                replica.poll()
                if number % 10 == 9:
                    primary.compact(1)
                    primary.retain()
        finally:
            ended.set()
        assert all(thread.result() for thread in threads)
