"""Commit to visible: how long after a commit a read replica in another process shows it; both sides are ours.

The writer's program replicates its own connection to files, so that each commit wakes the replication. The reader asks
for the newest row every 2 ms, and only polls as if watchfiles were not installed, or is woken by it too.
`python -m benchmarks.bench_visible`.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median, quantiles

import apsw

import litestream
from benchmarks.systems import PROJECT
from tests.support.litestream_program import FileReplica
from tests.support.waiting import wait_until

POLL_INTERVALS_S = (1.0, 0.02)  # the default, and one for readers in a hurry
WOKEN_POLL_INTERVAL_S = 10.0  # far longer than a commit may take
SECONDS = 20.0
COMMITS_PER_SECOND = 8.0
READ_PAUSE_S = 0.002
TIMEOUT_S = 60.0


def read(url: str, poll_interval_s: float, *, is_woken: bool) -> None:
    """Print for each row when it was first seen, as JSON, until the end of standard input."""
    if not is_woken:
        sys.modules["watchfiles._rust_notify"] = None  # type: ignore[assignment] # cannot be imported
    connection = litestream.connect(url, poll_interval_s=poll_interval_s)
    ended = threading.Event()
    threading.Thread(target=end_with_input, args=(ended,), daemon=True).start()
    seen: list[float] = []
    stats = litestream.read_replica(connection.filename).stats
    wait_until(lambda: stats()["push"] is is_woken, "the watch to begin", timeout_s=TIMEOUT_S)
    print("ready", flush=True)
    while not ended.wait(READ_PAUSE_S):
        newest = connection.execute("SELECT coalesce(max(id), 0) FROM item").get
        seen += [time.monotonic()] * (newest - len(seen))
    print(json.dumps(seen))


def end_with_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def measure(directory: Path, poll_interval_s: float, *, is_woken: bool, seconds: float, seed: int) -> list[float]:
    """Commit at random instants, and return how long each commit took to be seen."""
    chance = random.Random(seed)  # noqa: S311 - a workload, not a secret
    url = FileReplica(directory / "replica").url
    connection = apsw.Connection(str(directory / "app.db"))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    committed: list[float] = []
    with litestream.replicate(connection, url) as store:
        store.sync()
        command = [sys.executable, "-m", "benchmarks.bench_visible", "--read", url]
        reader = subprocess.Popen(
            [*command, "--poll-interval", str(poll_interval_s), *(["--woken"] if is_woken else [])],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n", "the reader did not start"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(chance.expovariate(COMMITS_PER_SECOND))
            connection.execute("INSERT INTO item (body) VALUES (?)", ("a row " * 20,))
            committed.append(time.monotonic())
        time.sleep(3 * max(POLL_INTERVALS_S))
        answer, _ = reader.communicate(timeout=TIMEOUT_S)
    connection.close()
    seen = json.loads(answer)
    assert len(seen) == len(committed), f"expected {len(committed)} rows, the reader saw {len(seen)}"
    return [after - before for before, after in zip(committed, seen, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long commits take to be visible elsewhere.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each poll interval")
    parser.add_argument("--poll-interval", type=float, nargs="+", default=POLL_INTERVALS_S, help="in seconds")
    parser.add_argument("--read", metavar="URL", help="be the reader")
    parser.add_argument("--woken", action="store_true", help="be a reader that is woken")
    options = parser.parse_args()
    if options.read:
        read(options.read, options.poll_interval[0], is_woken=options.woken)
        return
    rows = [*((poll_interval_s, False) for poll_interval_s in options.poll_interval), (WOKEN_POLL_INTERVAL_S, True)]
    for number, (poll_interval_s, is_woken) in enumerate(rows):
        with tempfile.TemporaryDirectory(prefix="bench-visible-") as directory:
            delays = measure(Path(directory), poll_interval_s, is_woken=is_woken, seconds=options.seconds, seed=number)
        p90, p99 = (quantiles(delays, n=100, method="inclusive")[i] for i in (89, 98))
        print(
            f"poll interval {poll_interval_s * 1e3:5.0f} ms{', woken by the store' if is_woken else ''}: "
            f"{len(delays)} commits, visible after p50 "
            f"{median(delays) * 1e3:6.1f} ms, p90 {p90 * 1e3:6.1f} ms, p99 {p99 * 1e3:6.1f} ms"
        )


if __name__ == "__main__":
    main()
