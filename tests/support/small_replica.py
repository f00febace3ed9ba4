"""Small replicas with known TXIDs and instants, made in milliseconds and without the real program.

    url = make_replica(tmp_path, ["CREATE TABLE item (id INTEGER PRIMARY KEY)", "INSERT INTO item VALUES (1)"])

Step n is TXID n and happened n - 1 minutes after `FIRST`. Every file holds all pages, so its bytes are not what the
real program would write; what a reader sees is.
"""

import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw

from replication.client.file import FileReplicaClient
from replication.clock import to_timestamp_ms
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.position import TXID
from tests.support.ltx_files import make_file

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = timedelta(minutes=1)
PAGE_SIZE = 4096


def make_replica(directory: Path, steps: Iterable[str]) -> str:
    """Write a replica of a database after each step, one transaction each, and return its URL."""
    client = FileReplicaClient(directory)
    connection = apsw.Connection(":memory:")
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    for number, sql in enumerate(steps):
        with connection:
            connection.execute(sql)
        data = connection.serialize("main")
        txid = TXID(number + 1)
        header = Header(
            flags=NO_CHECKSUM_FLAG,
            page_size=PAGE_SIZE,
            commit=len(data) // PAGE_SIZE,
            min_txid=txid,
            max_txid=txid,
            timestamp_ms=to_timestamp_ms(FIRST + number * STEP),
        )
        pages = {pgno: data[(pgno - 1) * PAGE_SIZE : pgno * PAGE_SIZE] for pgno in range(1, header.commit + 1)}
        client.write_ltx_file(0, txid, txid, io.BytesIO(make_file(header, pages)))
    connection.close()
    return f"file://{directory}"
