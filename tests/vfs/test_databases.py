"""Databases of every kind, and replicas whose history starts over. Method: compare with what the primary committed."""

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from replication.client.memory import MemoryReplicaClient
from replication.errors import NoSnapshotsError
from replication.position import TXID, lock_pgno
from tests.support.ltx_files import make_file, make_header
from tests.support.primary import Primary, masked
from tests.support.reading import assert_same, begin, file_of, followed, image_of, opened, pager_image_of

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT {} UNION ALL SELECT i + 1 FROM n WHERE i < {}) "


def rows(first: int, last: int, size: int = 200) -> str:
    return f"INSERT INTO item {NUMBERS.format(first, last)} SELECT i, noise(i, {size}) FROM n"


CREATE = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"


@pytest.fixture(autouse=True)
def _little_is_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.load.LEVEL_0_WHOLE_SIZE", 128 * 1024)


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


def test_opening_a_replica_whose_page_1_vanished_finds_the_newer_one(primary: Primary) -> None:
    primary.commit(CREATE)
    primary.commit(rows(1, 1200, 400), full=True)  # too much to be held whole
    with followed(primary.client, cache_size=-1) as replica:
        assert replica.txid == 2
        primary.start_over(CREATE, rows(1, 5))
        with opened(replica) as connection:
            same_everywhere(primary, connection)


@pytest.mark.parametrize("page_size", [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])
def test_every_page_size_is_read(page_size: int) -> None:
    with Primary(MemoryReplicaClient(), page_size=page_size) as primary:
        primary.commit(CREATE)
        primary.commit(rows(1, 40, page_size // 3))
        with followed(primary.client) as replica, opened(replica) as connection:
            same_everywhere(primary, connection)
            primary.commit("DELETE FROM item WHERE id % 3 = 0")
            primary.compact(1)
            replica.poll()
            same_everywhere(primary, connection)
            assert masked(primary.image.data) == pager_image_of(connection)


@pytest.mark.parametrize("mode", ["FULL", "INCREMENTAL"])
def test_a_database_that_shrinks_and_grows_again_has_its_size_and_its_pages(mode: str) -> None:
    with Primary(MemoryReplicaClient(), setup=f"PRAGMA auto_vacuum = {mode}") as primary:
        primary.commit(CREATE)
        primary.commit(rows(1, 200))
        with followed(primary.client) as replica, opened(replica) as kept, opened(replica, sqlite_cache=False) as bare:
            large = primary.image.commit
            for statements in (["DELETE FROM item WHERE id > 20", "PRAGMA incremental_vacuum"], [rows(300, 420, 250)]):
                primary.commit(*statements)
                replica.poll()
                for connection in (kept, bare):
                    same_everywhere(primary, connection)
                    assert connection.pragma("page_count") == primary.image.commit
                    assert connection.pragma("integrity_check") == "ok"
            assert min(image.commit for image in primary.images.values()) < large


def test_a_changed_page_size_is_followed(primary: Primary) -> None:
    primary.commit(CREATE)
    primary.commit(rows(1, 60))
    with followed(primary.client) as replica, opened(replica) as connection, opened(replica) as old:
        same_everywhere(primary, connection)
        begin(old)
        before = primary.image
        for page_size in (4096, 1024, 65536, 512):
            primary.commit(f"PRAGMA page_size = {page_size}", "VACUUM")
            replica.poll()
            same_everywhere(primary, connection)
            assert connection.pragma("page_size") == page_size
            assert_same(image_of(old), before)
        old.execute("COMMIT")
        same_everywhere(primary, old)


@pytest.mark.parametrize(
    ("setup", "statements"),
    [
        ("PRAGMA encoding = 'UTF-16le'", ["INSERT INTO item VALUES (1, 'h\u00e9llo \u4e16\u754c')"]),
        ("PRAGMA encoding = 'UTF-16be'", ["INSERT INTO item VALUES (1, 'h\u00e9llo \u4e16\u754c')"]),
        ("", ["CREATE TABLE word (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID", "INSERT INTO word VALUES (1, 2), (3, 1)"]),
        ("", ["CREATE VIRTUAL TABLE text USING fts5(body)", "INSERT INTO text VALUES ('one two'), ('two three')"]),
        ("", ["CREATE VIEW seen AS SELECT id FROM item", "CREATE INDEX by_body ON item (body)"]),
    ],
)
def test_every_kind_of_database_is_read(setup: str, statements: list[str]) -> None:
    with Primary(MemoryReplicaClient(), setup=setup) as primary:
        primary.commit(CREATE)
        with followed(primary.client) as replica, opened(replica) as connection:
            for sql in statements:
                primary.commit(sql)
                replica.poll()
                same_everywhere(primary, connection)
            if "fts5" in statements[0]:
                assert connection.execute("SELECT count(*) FROM text WHERE text MATCH 'two'").get == 2
            assert connection.pragma("integrity_check") == "ok"
            assert connection.pragma("encoding") == primary.query("PRAGMA encoding")[0][0]


PAIRS = ("CREATE TABLE pair (a, b); INSERT INTO pair (a, b) VALUES ('a', 'b')",)
OTHER_PAIRS = ("CREATE TABLE pair (b, a); INSERT INTO pair (a, b) VALUES ('a', 'b')",)


def cookie(primary: Primary, txid: int) -> bytes:
    return primary.images[txid].data[40:44]


def test_a_restored_primary_with_the_same_cookie_and_other_columns_is_followed(primary: Primary) -> None:
    primary.commit(CREATE)
    primary.commit(*PAIRS)
    with followed(primary.client) as replica, opened(replica) as connection:
        assert connection.execute("SELECT a, b FROM pair").get == ("a", "b")
        primary.restore_back(1)
        primary.commit(*OTHER_PAIRS)
        assert cookie(primary, 2) == cookie(primary, primary.txid)
        replica.poll()
        assert connection.execute("SELECT a, b FROM pair").get == ("a", "b")
        same_everywhere(primary, connection)


@pytest.mark.parametrize("snapshots", [False, True])
def test_time_travel_between_equal_cookies_and_other_columns_reads_the_right_ones(
    primary: Primary,
    snapshots: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    primary.commit(CREATE)
    primary.commit(*PAIRS)
    primary.restore_back(1)
    primary.commit(*OTHER_PAIRS)
    assert cookie(primary, 2) == cookie(primary, 4)
    if snapshots:
        primary.snapshot(2)
        primary.snapshot(4)
    with followed(primary.client) as replica, opened(replica) as connection:
        for txid in (2, 4, 2, 4):
            connection.pragma("litestream_txid", f"{txid:x}")
            assert connection.execute("SELECT a, b FROM pair").get == ("a", "b")
            assert_same(image_of(connection), primary.images[txid])
        connection.pragma("litestream_time", "latest")
        assert connection.execute("SELECT a, b FROM pair").get == ("a", "b")


def test_a_history_of_the_same_names_and_sizes_is_another_one(primary: Primary) -> None:
    primary.commit(CREATE)
    primary.commit(rows(1, 50))
    with followed(primary.client) as replica, opened(replica) as connection:
        same_everywhere(primary, connection)
        before = [info.size for info in primary.client.ltx_files(0)]
        primary.start_over(CREATE, rows(1, 50).replace("noise(i", "noise(i + 1000"))
        assert [info.size for info in primary.client.ltx_files(0)] == before
        replica.poll()
        same_everywhere(primary, connection)


def test_one_connection_attaches_a_replica_at_several_instants(primary: Primary) -> None:
    primary.commit(CREATE)
    for number in range(1, 5):
        primary.commit(f"INSERT INTO item VALUES ({number}, noise({number}, 700))")
    with followed(primary.client) as replica, opened(replica) as connection:
        for name, txid in (("early", 2), ("late", 4), ("also", 4)):
            connection.execute(f"ATTACH 'file:{replica.name}?vfs=litestream&txid={txid}' AS {name}")
        counts = "SELECT (SELECT count(*) FROM {}.item)"
        seen = [connection.execute(counts.format(name)).get for name in ("main", "early", "late", "also")]
        assert seen == [4, 1, 3, 3]
        primary.commit("DELETE FROM item")
        replica.poll()
        connection.pragma("litestream_time", "latest", schema="late")
        seen = [connection.execute(counts.format(name)).get for name in ("main", "early", "late", "also")]
        assert seen == [0, 1, 0, 3]
        for name, txid in (("main", 6), ("early", 2), ("late", 6), ("also", 4)):
            assert_same(image_of(connection, name), primary.images[txid])


def test_pages_beyond_the_lock_page_are_read() -> None:
    page_size, commit = 65536, 16400
    lock = lock_pgno(page_size)
    with Primary(MemoryReplicaClient(), page_size=page_size) as primary:
        primary.commit(CREATE)
        first = primary.image
    client = MemoryReplicaClient()
    empty = bytes(page_size)
    pages = {pgno: empty for pgno in range(1, commit + 1) if pgno != lock}
    pages |= {1: first.page(1), 2: first.page(2), commit: bytes([7]) * page_size, lock + 1: bytes([8]) * page_size}
    header = make_header(1, commit=commit, page_size=page_size)
    client.write_ltx_file(9, TXID(1), TXID(1), io.BytesIO(make_file(header, pages)))
    with followed(client) as replica, opened(replica) as connection:
        begin(connection)
        file = file_of(connection)
        assert file.xFileSize() == commit * page_size
        for pgno in (2, lock - 1, lock + 1, commit):
            assert file.xRead(page_size, (pgno - 1) * page_size) == pages[pgno]
        assert file.xRead(page_size, (lock - 1) * page_size) == empty
        assert file.xRead(2 * page_size, (lock - 1) * page_size) == empty + pages[lock + 1]
        assert file.xRead(page_size, commit * page_size) == b""
