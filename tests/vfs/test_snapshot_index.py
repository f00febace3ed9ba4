"""The page index of a large snapshot in parts: any page is found in few windows, and found where it is.

Method: indexes with frames of all sizes, a lock page among the pages, looked into at random; then a database with its
snapshot in a client that counts. Bugs planted to see it fail: the lock page counted as a page; a window taken for
entries one varint out of step; a guess that does not get better.
"""

import json
import random
from contextlib import closing
from pathlib import Path

import apsw
import numpy as np
import pytest

import litestream
from replication.client.memory import MemoryReplicaClient
from replication.errors import LTXError
from replication.ltx.index import PageIndex, encode_page_index
from replication.position import lock_pgno
from tests.support.faulty_client import FaultyClient
from tests.support.ltx_files import make_header
from vfs import load, snapshot_index
from vfs.snapshot_index import SnapshotIndex

MAX_WINDOWS = 4
LONG_S = 3600.0


def make_index(count: int, page_size: int, *, seed: int) -> tuple[PageIndex, SnapshotIndex, bytes]:
    """Return the whole index of a snapshot, the one that knows nothing yet, and the stored form."""
    pgnos = np.arange(1, count + 1)
    pgnos = pgnos[pgnos != lock_pgno(page_size)]
    chance = np.random.default_rng(seed)
    # Stretches of pages that compress well, and others that do not.
    sizes = chance.choice([22, 60, 300, 4000], size=count // 500 + 1).repeat(500)[: len(pgnos)]
    sizes = sizes + chance.integers(0, 20, size=len(pgnos))
    offsets = np.concatenate([[100], 100 + np.cumsum(sizes)])
    whole = PageIndex.of(pgnos, offsets)
    data = encode_page_index(whole)
    header = make_header(1, commit=count, page_size=page_size)
    return whole, SnapshotIndex(header, whole.end + 6, len(data)), data


@pytest.mark.parametrize(("count", "page_size"), [(40_000, 65_536), (400_000, 4096), (9, 4096)])
def test_any_page_is_found_in_few_windows(count: int, page_size: int) -> None:
    whole, index, data = make_index(count, page_size, seed=count)
    chance = random.Random(count)  # noqa: S311 - pages, not secrets
    wanted = [1, count, *(chance.randint(1, count) for _ in range(60))]
    assert lock_pgno(page_size) not in index
    for pgno in wanted:
        if pgno == lock_pgno(page_size):
            continue
        for _ in range(MAX_WINDOWS):
            if index.find(pgno) is not None:
                break
            start, end = index.window(pgno)
            assert 0 < end - start <= 65 * 1024
            index.add(start, data[start - index.start : end - index.start])
        assert index.find(pgno) == whole.find(pgno)
    assert (index.find(lock_pgno(page_size)), index.find(0), index.find(count + 1)) == (None, None, None)


def test_guesses_get_better_with_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_index, "WINDOW_SIZE", 256)
    monkeypatch.setattr(snapshot_index, "MAX_WINDOW_SIZE", 256)
    whole, index, data = make_index(400_000, 4096, seed=7)
    for pgno in (70_001, 150_002, 330_003):
        for _ in range(8):
            if index.find(pgno) is not None:
                break
            start, end = index.window(pgno)
            index.add(start, data[start - index.start : end - index.start])
        assert index.find(pgno) == whole.find(pgno)


def test_the_whole_index_takes_eight_bytes_a_page_and_says_the_same() -> None:
    whole, index, _ = make_index(40_000, 65_536, seed=1)
    index.add_all(whole.offsets)
    assert len(index) == len(whole) == 39_999
    assert index.nbytes <= 8 * (len(index) + 1)
    assert np.array_equal(index.pgnos(), whole.pgnos)
    assert [index.find(pgno) for pgno in (1, 16_384, 16_386, 40_000)] == [
        whole.find(pgno) for pgno in (1, 16_384, 16_386, 40_000)
    ]
    with pytest.raises(LTXError, match="expected frames of 39999 pages"):
        index.add_all(whole.offsets[:-1])


def test_bytes_that_are_no_entries_are_refused() -> None:
    _, index, data = make_index(40_000, 4096, seed=2)
    chance = random.Random(2)  # noqa: S311
    for junk in (b"", bytes(1000), chance.randbytes(16_384), b"\xff" * 5000, data[5000:5020]):
        with pytest.raises(LTXError):
            index.add(index.start + 5000, junk)
    assert index.window_count == 0


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyClient:
    """A replica of a database whose page index counts as large, in a client that counts."""
    monkeypatch.setattr(load, "LARGE_INDEX_SIZE", 1024)
    client = FaultyClient(MemoryReplicaClient())
    with closing(apsw.Connection(str(tmp_path / "app.db"))) as connection:
        connection.execute("PRAGMA page_size = 512; PRAGMA journal_mode = WAL").fetchall()
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB)")
        with connection:
            for number in range(12_000):
                connection.execute("INSERT INTO item VALUES (?, randomblob(400))", (number,))
        with litestream.replicate(connection, client) as store:
            store.sync()
            store.dbs()[0].snapshot()
            connection.execute("UPDATE item SET body = 'new' WHERE id % 4000 = 7")
            store.sync()
        client.delete_ltx_files(list(client.ltx_files(0))[:1])
    return client


def test_a_point_query_reads_a_part_of_the_index(client: FaultyClient, tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "app.db"))) as connection:
        expected = connection.execute("SELECT body FROM item WHERE id IN (3, 4007, 11000)").fetchall()
    with closing(litestream.connect(client, poll_interval_s=LONG_S)) as connection:
        found = connection.execute("SELECT body FROM item WHERE id IN (3, 4007, 11000)").fetchall()
        assert found == expected
        assert found[1] == ("new",)
        stats = json.loads(str(connection.pragma("litestream_stats")))
    (snapshot,) = client.ltx_files(9)
    assert stats["bytes_read"] < 200_000 < snapshot.size / 10
    assert stats["index_size"] < 8 * 12_000


@pytest.mark.parametrize("prefetch", [True, False])
def test_a_scan_reads_the_whole_index_once(client: FaultyClient, tmp_path: Path, *, prefetch: bool) -> None:
    with closing(apsw.Connection(str(tmp_path / "app.db"))) as connection:
        expected = connection.execute("SELECT count(*), sum(length(body)) FROM item").fetchall()
    with closing(litestream.connect(client, poll_interval_s=LONG_S, prefetch=prefetch)) as connection:
        assert connection.execute("SELECT count(*), sum(length(body)) FROM item").fetchall() == expected
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stats = json.loads(str(connection.pragma("litestream_stats")))
        assert stats["index_size"] < 12 * stats["pages"]


def test_a_snapshot_that_goes_before_its_index_is_known_is_told_and_the_next_transaction_works(
    client: FaultyClient,
) -> None:
    query = "SELECT length(body) FROM item WHERE id = 6000"
    with closing(litestream.connect(client, poll_interval_s=LONG_S, cache_size=-1)) as connection:
        connection.execute("SELECT body FROM item WHERE id = 3").fetchall()
        client.vanish(next(client.ltx_files(9)))
        with pytest.raises(apsw.BusyError, match="is no longer in the replica"):
            connection.execute(query).fetchall()
        client.heal()
        connection.pragma("litestream_poll")
        assert connection.execute(query).fetchall() == [(400,)]
