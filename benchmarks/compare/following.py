"""Following at 1 s: how many GET and LIST each system makes, and what a month of that costs.

Each system follows in a process of its own, with a server of its own that counts; all run at once. As a program it is
such a process: `python -m benchmarks.compare.following SYSTEM URL READS`; with READS 1 it reads a row each second.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from benchmarks.compare.cache import DIRECTORY
from benchmarks.compare.database import PLACE, build_database, replica_of_events
from benchmarks.compare.reader import connect, load
from benchmarks.static_s3 import ENVIRONMENT, StaticS3, link_levels
from benchmarks.systems import GO, OURS, PROJECT
from tests.support.litestream_program import environment

INTERVAL_S = 1.0
SETTLE_S = 35.0  # ours polls less often when nobody has read for 30 s
EVENTS = 3_000
BUCKET = "bucket"
STOP_TIMEOUT_S = 30.0
WRITE_TIMEOUT_MS = 5_000
MONTH_S = 30 * 24 * 3600
GET_PRICE = 0.0004 / 1000  # dollars, of S3 Standard in us-east-1; HEAD costs the same
LIST_PRICE = 0.005 / 1000


@dataclass(frozen=True, slots=True)
class Situation:
    """What goes on while a replica is followed."""

    name: str
    has_writer: bool
    has_reader: bool


SITUATIONS = (
    Situation("nobody writes, nobody reads", has_writer=False, has_reader=False),
    Situation("nobody writes, a read a second", has_writer=False, has_reader=True),
    Situation("a commit a second, a read a second", has_writer=True, has_reader=True),
)


@dataclass(frozen=True, slots=True)
class Followed:
    """What one system asked for in `seconds`."""

    situation: Situation
    system: str
    seconds: float
    gets: int
    lists: int

    @property
    def month_price(self) -> float:
        """Dollars for 30 days of this."""
        return (self.gets * GET_PRICE + self.lists * LIST_PRICE) * MONTH_S / self.seconds


def measure(seconds: float, delay_ms: float, settle_s: float = SETTLE_S) -> list[Followed]:
    """Let both systems follow in all situations, at once; wait until they are settled, and count for some seconds."""
    idle = replica_of_events(EVENTS)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-following-")))
        stack.enter_context(writing(directory))
        servers: list[tuple[Situation, str, StaticS3]] = []
        for situation in SITUATIONS:
            root, bucket = (directory, BUCKET) if situation.has_writer else (DIRECTORY, idle.name)
            for system in (OURS, GO):
                server = stack.enter_context(StaticS3(root, delay_ms))
                stack.enter_context(follower(system, server.url(bucket, PLACE), reads=situation.has_reader))
                servers.append((situation, system, server))
        time.sleep(settle_s)
        for _, _, server in servers:
            server.reset()
        begun = time.monotonic()
        time.sleep(seconds)
        logs = [server.requests() for _, _, server in servers]
        elapsed = time.monotonic() - begun
    found = []
    for (situation, system, _), requests in zip(servers, logs, strict=True):
        lists = sum(request.kind == "LIST" for request in requests)
        found.append(Followed(situation, system, elapsed, len(requests) - lists, lists))
    return found


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Commit once a second, replicated by ours with its defaults, to what is shown as the bucket in this directory."""
    import litestream

    database, replica = directory / "app.db", directory / "replica"
    build_database(database, EVENTS)
    connection = apsw.Connection(str(database))
    connection.set_busy_timeout(WRITE_TIMEOUT_MS)
    stopping = threading.Event()

    def write() -> None:
        while not stopping.wait(INTERVAL_S):
            connection.execute("UPDATE event SET customer = customer % 10 + 1 WHERE id = 1")

    with litestream.replicate(database, f"file://{replica}") as store:
        store.sync()
        link_levels(replica / "ltx", directory / BUCKET / PLACE)
        thread = threading.Thread(target=write, name="bench-writer")
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
            connection.close()


@contextmanager
def follower(system: str, url: str, *, reads: bool) -> Iterator[None]:
    """Run a process that follows, once it has read for the first time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.compare.following", system, url, str(int(reads))],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment(), **ENVIRONMENT},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "following\n", f"{system} did not open the replica"
        yield
        assert process.poll() is None, f"{system} ended by itself"
    finally:
        try:
            process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def main() -> None:
    system, url, reads = sys.argv[1:]
    load(system)
    connection = connect(system, url, poll_interval_s=INTERVAL_S)
    stopping = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        stopping.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    is_first = True
    while is_first or not stopping.wait(INTERVAL_S):
        if is_first or reads == "1":
            connection.execute("SELECT customer FROM event WHERE id = 1").fetchall()
        if is_first:
            print("following", flush=True)
            is_first = False
    connection.close()


if __name__ == "__main__":
    main()
