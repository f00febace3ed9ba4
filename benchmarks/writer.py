"""The application of the benchmarks of the write side: one process, one connection, with SQLite's own defaults.

As a program it commits a number of transactions, as fast as they go or at a steady pace, and prints one JSON object:
the seconds from the first to the last, and how long each took from BEGIN to the end of COMMIT, in milliseconds.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import apsw

import litestream
from benchmarks.systems import PROJECT

BUSY_TIMEOUT_MS = 30_000
NOISE_SIZE = 950  # bytes of a row that do not compress; as many again do
TEXT = "a text that is much the same in every row, as texts are; " * 17
TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer did."""

    seconds: float
    latencies_ms: tuple[float, ...]


def prepare(database: Path) -> None:
    """Make the table, in WAL mode."""
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, noise BLOB NOT NULL, body TEXT NOT NULL)")
    connection.close()


def write(
    database: Path, *, transactions: int, rows: int, per_second: float = 0.0, seed: int = 1, replica: str = ""
) -> Written:
    """Let a process of its own commit so many transactions of so many rows, and wait for it.

    With the URL of a replica, it replicates its connection itself.
    """
    options = [f"--transactions={transactions}", f"--rows={rows}", f"--per-second={per_second}", f"--seed={seed}"]
    options += [f"--replica={replica}"] if replica else []
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.writer", database, *options],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    answer = json.loads(done.stdout)
    return Written(answer["seconds"], tuple(answer["latencies_ms"]))


def connect(database: Path) -> apsw.Connection:
    connection = apsw.Connection(str(database))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    return connection


def commit_all(connection: apsw.Connection, *, transactions: int, rows: int, per_second: float, seed: int) -> Written:
    chance = random.Random(seed)  # noqa: S311 - a workload, not a secret
    latencies_ms = []
    start = time.perf_counter()
    for number in range(transactions):
        values = [(chance.randbytes(NOISE_SIZE), TEXT) for _ in range(rows)]
        if per_second:
            time.sleep(max(0.0, start + number / per_second - time.perf_counter()))
        before = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO item (noise, body) VALUES (?, ?)", values)
        connection.execute("COMMIT")
        latencies_ms.append((time.perf_counter() - before) * 1e3)
    return Written(time.perf_counter() - start, tuple(latencies_ms))


def main() -> None:
    parser = argparse.ArgumentParser(description="Commit transactions.")
    parser.add_argument("database", type=Path)
    parser.add_argument("--transactions", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--per-second", type=float, default=0.0, help="0: as fast as they go")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replica", default="", metavar="URL", help="replicate the connection there")
    options = parser.parse_args()
    connection = connect(options.database)
    with ExitStack() as stack:
        if options.replica:
            store = stack.enter_context(litestream.replicate(connection, options.replica))
            store.sync()
        written = commit_all(
            connection,
            transactions=options.transactions,
            rows=options.rows,
            per_second=options.per_second,
            seed=options.seed,
        )
    connection.close()
    print(json.dumps({"seconds": written.seconds, "latencies_ms": written.latencies_ms}))


if __name__ == "__main__":
    main()
