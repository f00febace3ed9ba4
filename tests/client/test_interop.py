"""The real Litestream program and our clients see the same replicas, in every store that both know.

Each store's fixture `NAME_place` gives an empty replica that both can reach.
"""

from pathlib import Path

import apsw
import pytest

import litestream
from replication.clock import from_timestamp_ms
from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.header import HEADER_SIZE, Header
from tests.client.ltx_bytes import TIMESTAMP_MS, ltx_bytes, names, write
from tests.client.places import Place
from tests.support.litestream_program import LitestreamProgram, ltx, restore

pytestmark = pytest.mark.interop

PLACES = ("abs", "file", "gs", "nats", "oss", "s3", "sftp", "webdav")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


def make_database(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(5000)
    connection.execute("PRAGMA journal_mode = wal; CREATE TABLE t (x)").fetchall()
    return connection


def insert(connection: apsw.Connection, number: int) -> None:
    connection.execute("INSERT INTO t VALUES (?)", (number,))


def rows(path: Path) -> list[int]:
    connection = apsw.Connection(str(path))
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [number for (number,) in connection.execute("SELECT x FROM t ORDER BY x")]
    finally:
        connection.close()


def test_what_the_program_writes_we_list_read_and_restore(place: Place, tmp_path: Path) -> None:
    program = LitestreamProgram(tmp_path / "program", tmp_path / "app.db", place.replica)
    connection = make_database(program.database)
    for number in range(3):
        insert(connection, number)
        program.once()
    program.once("-force-snapshot")
    connection.close()
    levels = {level: names(place.client, level) for level in range(10)}
    assert levels.pop(0) == [(1, 1), (2, 2), (3, 3)]
    assert levels.pop(SNAPSHOT_LEVEL) == [(1, 3)]
    assert all(listing == [] for listing in levels.values())
    for level in (0, SNAPSHOT_LEVEL):
        for info in place.client.ltx_files(level, use_metadata=True):
            header = Header.unpack(place.client.read_ltx(info, 0, HEADER_SIZE))
            assert (header.min_txid, header.max_txid) == (info.min_txid, info.max_txid)
            assert from_timestamp_ms(header.timestamp_ms) == info.created_at
            assert len(place.client.read_ltx(info)) == info.size
    for txid in (1, 2, 3):
        output = tmp_path / f"restored-{txid}.db"
        litestream.restore(place.client, output, txid=txid, integrity_check="full")
        assert rows(output) == list(range(txid))


def test_what_we_replicate_the_program_restores(place: Place, tmp_path: Path) -> None:
    connection = make_database(tmp_path / "app.db")
    with litestream.replicate(connection, place.client) as store:
        txids = []
        for number in range(3):
            insert(connection, number)
            txids.append(store.sync().txid)
        store.dbs()[0].snapshot()
    connection.close()
    for number, txid in enumerate(txids):
        output = tmp_path / f"restored-{number}.db"
        restore(place.replica, output, txid=txid, integrity_check="full")
        assert rows(output) == list(range(number + 1))
    restore(place.replica, tmp_path / "latest.db", integrity_check="full")
    assert rows(tmp_path / "latest.db") == [0, 1, 2]


def test_what_we_write_the_program_lists(place: Place) -> None:
    write(place.client, 0, 7)
    write(place.client, 2, 1, 6, data=ltx_bytes(1, 6, size=6 * 2**20))
    listed = ltx(place.replica)
    assert [(each["level"], each["min_txid"], each["max_txid"], each["size"]) for each in listed] == [
        (0, 7, 7, 1000),
        (2, 1, 6, 6 * 2**20),
    ]
    if place.program_knows_times:
        assert from_timestamp_ms(TIMESTAMP_MS).isoformat()[:19] in listed[0]["timestamp"]


def test_what_the_program_deletes_is_missing_and_what_we_delete_it_does_not_list(place: Place) -> None:
    infos = [write(place.client, 0, txid) for txid in (1, 2)]
    place.client.delete_ltx_files(infos[:1])
    assert [each["min_txid"] for each in ltx(place.replica)] == [2]
