"""The real Litestream program and our clients see the same replicas, in a directory and in S3."""

import json
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from replication.client.base import ReplicaClient
from replication.client.url import replica_client
from replication.clock import from_timestamp_ms
from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.header import HEADER_SIZE, Header
from tests.client.ltx_bytes import TIMESTAMP_MS, ltx_bytes, names, write
from tests.support.litestream_program import find_program
from tests.support.s3_server import S3Server

pytestmark = pytest.mark.interop


class Place:
    """A replica that both can reach."""

    def __init__(self, url: str, client: ReplicaClient, environ: dict[str, str]) -> None:
        self.url = url
        self.client = client
        self._environ = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"} | environ

    def litestream(self, *arguments: str) -> str:
        result = subprocess.run(
            [find_program(), *arguments], env=self._environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 0, result.stderr + result.stdout
        return result.stdout


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        url = f"file://{tmp_path}/replica"
        return Place(url, replica_client(url), {})
    server: S3Server = request.getfixturevalue("s3_server")
    path = f"interop/{tmp_path.name}"
    return Place(server.url(path, keys=False), replica_client(server.url(path)), server.environment)


def test_what_the_program_writes_we_list_and_read(place: Place, tmp_path: Path) -> None:
    database = tmp_path / "app.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE t (x)")
    for number in range(3):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        connection.commit()
        place.litestream("replicate", "-once", str(database), place.url)
    place.litestream("replicate", "-once", "-force-snapshot", str(database), place.url)
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


def test_what_we_write_the_program_lists(place: Place) -> None:
    write(place.client, 0, 7)
    write(place.client, 2, 1, 6, data=ltx_bytes(1, 6, size=6 * 2**20))
    listed = json.loads(place.litestream("ltx", "-level", "all", "-json", place.url))
    assert [(each["level"], each["min_txid"], each["max_txid"], each["size"]) for each in listed] == [
        (0, "0000000000000007", "0000000000000007", 1000),
        (2, "0000000000000001", "0000000000000006", 6 * 2**20),
    ]
    if place.client.accurate_list_times:
        assert from_timestamp_ms(TIMESTAMP_MS).isoformat()[:19] in listed[0]["timestamp"]


def test_what_the_program_deletes_is_missing_and_what_we_delete_it_does_not_list(place: Place) -> None:
    infos = [write(place.client, 0, txid) for txid in (1, 2)]
    place.client.delete_ltx_files(infos[:1])
    listed = json.loads(place.litestream("ltx", "-json", place.url))
    assert [each["min_txid"] for each in listed] == ["0000000000000002"]
