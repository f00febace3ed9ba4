"""A replica grown step by step, in milliseconds: each step is one transaction and one level-0 file.

    steps = StepWriter(MemoryReplicaClient())
    steps.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, value TEXT)")   # TXID 1
    steps.commit("INSERT INTO item VALUES (1, 'one')")                       # TXID 2

A file holds the pages its step changed. Step n happened n - 1 minutes after `FIRST`.
"""

import io
from datetime import UTC, datetime, timedelta

import apsw

from replication.client.base import ReplicaClient
from replication.clock import to_timestamp_ms
from replication.ltx.file_info import FileInfo
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.position import TXID
from tests.support.ltx_files import make_file

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = timedelta(minutes=1)


class StepWriter:
    """Writes what each step changed into a replica."""

    def __init__(self, client: ReplicaClient, *, page_size: int = 4096) -> None:
        self.client = client
        self.page_size = page_size
        self.txid = 0
        self._before: dict[int, bytes] = {}
        self._source = apsw.Connection(":memory:")
        self._source.execute(f"PRAGMA page_size = {page_size}")

    def commit(self, sql: str, *, level: int = 0) -> FileInfo:
        """Run one step and store its file; a first one may be stored as a snapshot, which is not fetched whole."""
        with self._source:
            self._source.execute(sql)
        return self.store(level=level)

    def store(self, *, level: int = 0, whole: bool = False) -> FileInfo:
        """Store what changed since the last file, or with `whole` a snapshot of everything up to now."""
        data = self._source.serialize("main")
        pages = {at // self.page_size + 1: data[at : at + self.page_size] for at in range(0, len(data), self.page_size)}
        if not whole:
            self.txid += 1
        txid = TXID(self.txid)
        header = Header(
            flags=NO_CHECKSUM_FLAG,
            page_size=self.page_size,
            commit=len(pages),
            min_txid=TXID(1) if whole else txid,
            max_txid=txid,
            timestamp_ms=to_timestamp_ms(FIRST + (self.txid - 1) * STEP),
        )
        changed = {pgno: page for pgno, page in pages.items() if whole or self._before.get(pgno) != page}
        self._before = pages
        return self.client.write_ltx_file(level, header.min_txid, txid, io.BytesIO(make_file(header, changed)))
