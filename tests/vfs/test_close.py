"""Goal: a replica closed while guesses wait for a thread lets go of everything. Method: a storage that hangs."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import apsw

import litestream
from replication.client.url import replica_client
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID
from tests.support.faulty_client import FaultyClient
from tests.support.waiting import wait_until
from vfs.fetch import MAX_IN_FLIGHT
from vfs.functions import find_file

ROWS = 30_000


class HangingClient(FaultyClient):
    """Answers so many reads, and hangs in what comes after them until it is let go."""

    reads_left = 10**9

    def __init__(self, url: str) -> None:
        super().__init__(replica_client(url))
        self.go_on = threading.Event()

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        if self.reads_left < 10**6:
            self.go_on.wait()
        return super().ltx_files(level, seek, use_metadata=use_metadata)

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            self.go_on.wait()
        return super().read_ltx(info, start, end)


def test_a_replica_closes_while_guesses_wait_for_a_thread(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/replica"
    chance = random.Random(1)  # noqa: S311 - rows, not secrets
    source = apsw.Connection(str(tmp_path / "app.db"))
    source.execute(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB)"
    ).fetchall()
    with source:
        source.executemany("INSERT INTO item (body) VALUES (?)", [(chance.randbytes(300),) for _ in range(ROWS)])
    with litestream.replicate(source, url) as store:
        store.sync()
        store.dbs()[0].snapshot()
    source.close()
    client = HangingClient(url)
    client.delete_ltx_files(list(client.ltx_files(0)))
    connection = litestream.connect(client, poll_interval_s=3600.0)
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    replica = find_file(connection, "main").replica
    client.reads_left = 30
    for _ in range(MAX_IN_FLIGHT - 2):
        replica.fetcher.list(0)

    def scan() -> None:
        try:
            connection.execute("SELECT body FROM item").fetchall()
        except apsw.InterruptError:
            return

    thread = threading.Thread(target=scan)
    thread.start()
    try:
        guesses = replica._pages.ahead._landings
        wait_until(
            lambda: client.reads_left < 0 and sum(_waits(one.future) for one in list(guesses.values())) > 3,
            "guesses",
            timeout_s=5,
        )
        connection.interrupt()
        thread.join(5)
        connection.close(force=True)
    finally:
        client.go_on.set()
        thread.join()
    wait_until(lambda: not replica._poller.is_alive, "the poller to end", timeout_s=5)
    assert replica.fetcher._pool._threads == []


def _waits(future: "Future[bytes]") -> bool:
    return not future.running() and not future.done()
