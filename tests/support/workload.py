"""The writer of the torture runs and benchmarks: a process of its own that commits at a steady pace.

Every transaction adds a row with the time to `log`, raises the one row of `counter`, and, where there are any, raises
the value of one random row of `cell`. So at every commit: counter = count of log = highest id of log = sum of the
cells. The log makes the database grow by about two pages a second. The cells leave versions of pages far down in older
files, and make these files big. Every two seconds a blob comes into `scratch` or goes from it, whereupon auto-vacuum
moves pages and shrinks the file.

As a program: `python -m tests.support.workload writer DB --interval-ms 22 --seconds 60`. It ends after that time or at
SIGTERM, always between two transactions, and prints `{"commits": N}` after a first line `ready`.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

import apsw

INTERVAL_MS = 22.0
BUSY_TIMEOUT_MS = 30_000
STOP_TIMEOUT_S = 60.0
CELL_BODY_SIZE = 900  # bytes that do not compress, so that files grow too big to be held; four to a page of 4,096
LOG_TEXT = "one more row of the log " * 7
SCRATCH_EVERY = 180  # commits from one deletion to the next: about 4 s
SCRATCH_SIZE = 300_000  # bytes

PROJECT = Path(__file__).resolve().parents[2]


def prepare(database: Path, *, cells: int = 0, page_size: int = 4096) -> None:
    """Make the database, in WAL mode, before its first counted transaction."""
    connection = apsw.Connection(str(database))
    connection.execute(f"PRAGMA page_size = {page_size}")
    connection.execute("PRAGMA auto_vacuum = FULL")
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("CREATE TABLE counter (value INTEGER NOT NULL)")
        connection.execute("INSERT INTO counter VALUES (0)")
        connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, written_at REAL NOT NULL, text TEXT NOT NULL)")
        connection.execute("CREATE TABLE cell (id INTEGER PRIMARY KEY, value INTEGER NOT NULL, body BLOB NOT NULL)")
        connection.execute("CREATE TABLE scratch (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        bytes_of = random.Random(cells).randbytes  # noqa: S311  # a workload, not a secret
        rows = ((number, bytes_of(CELL_BODY_SIZE)) for number in range(1, cells + 1))
        connection.executemany("INSERT INTO cell VALUES (?, 0, ?)", rows)
    connection.close()


def write(database: Path, *, interval_s: float, seconds: float, seed: int = 1) -> int:
    """Commit one transaction per interval until the time is over or SIGTERM arrives; return how many."""
    stopping = False

    def stop(_signal_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)  # noqa: T201  # from here on SIGTERM is answered
    chance = random.Random(seed)  # noqa: S311  # a workload, not a secret
    connection = apsw.Connection(str(database))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.execute("PRAGMA synchronous = NORMAL")
    cells = connection.execute("SELECT count(*) FROM cell").get
    commits = 0
    start = time.monotonic()
    while not stopping and time.monotonic() - start < seconds:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO log (written_at, text) VALUES (?, ?)", (time.time(), LOG_TEXT))
        connection.execute("UPDATE counter SET value = value + 1")
        if cells:
            connection.execute("UPDATE cell SET value = value + 1 WHERE id = ?", (chance.randint(1, cells),))
        if commits % SCRATCH_EVERY == SCRATCH_EVERY // 2:
            connection.execute("INSERT INTO scratch (data) VALUES (zeroblob(?))", (SCRATCH_SIZE,))
        elif commits % SCRATCH_EVERY == 0:
            connection.execute("DELETE FROM scratch")
        connection.execute("COMMIT")
        commits += 1
        # Paced by the clock, so that slow commits do not slow the workload down.
        time.sleep(max(0.0, start + commits * interval_s - time.monotonic()))
    connection.close()
    return commits


@dataclass(slots=True)
class Writer:
    """The writer as a process; as a context manager it starts and stops once."""

    database: Path
    interval_ms: float = INTERVAL_MS
    seconds: float = 3600.0
    commits: int = 0  # known after stop()
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start writing."""
        arguments = [
            "writer",
            str(self.database),
            "--interval-ms",
            str(self.interval_ms),
            "--seconds",
            str(self.seconds),
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.workload", *arguments],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the writer did not start"

    def stop(self) -> int:
        """End the writer between two transactions and return the number of its commits."""
        process, self._process = self._process, None
        if process is None:
            return self.commits
        process.terminate()
        try:
            output, _ = process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        assert process.returncode == 0, f"the writer ended with {process.returncode}"
        self.commits = json.loads(output)["commits"]
        return self.commits

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="Commit at a steady pace.")
    parser.add_argument("command", choices=["writer"])
    parser.add_argument("database", type=Path)
    parser.add_argument("--interval-ms", type=float, default=INTERVAL_MS)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    commits = write(options.database, interval_s=options.interval_ms / 1000, seconds=options.seconds)
    print(json.dumps({"commits": commits}))  # noqa: T201  # the answer to whoever started it


if __name__ == "__main__":
    main()
