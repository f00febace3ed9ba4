"""Random cold point lookups in one thread and in many of one process, each with a connection of its own.

Neither the page cache of the replica nor SQLite's own holds anything. As a program it is that process:
`python -m benchmarks.compare.threads URL EVENTS THREADS SECONDS`; it prints the lookups per second.
"""

import random
import subprocess
import sys
import threading
import time

from benchmarks.compare.reader import load
from benchmarks.static_s3 import ENVIRONMENT
from benchmarks.systems import OURS, PROJECT
from tests.support.litestream_program import environment

THREADS = 16
NO_CACHE = -1
TIMEOUT_S = 120.0
_POLL_INTERVAL_S = 3600.0


def measure(url: str, events: int, threads: int, seconds: float) -> float:
    """Return the lookups per second of so many threads."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare.threads", url, str(events), str(threads), str(seconds)],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds + TIMEOUT_S,
        env={**environment(), **ENVIRONMENT},
    )
    return float(done.stdout)


def look_up(url: str, events: int, count: int, seconds: float) -> float:
    """Look up random rows in `count` threads for so many seconds, and return the lookups per second."""
    import litestream

    ready = threading.Barrier(count + 1)
    done = [0] * count
    stopping = threading.Event()

    def work(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - a workload, not a secret
        connection = litestream.connect(url, cache_size=NO_CACHE, poll_interval_s=_POLL_INTERVAL_S)
        connection.execute("PRAGMA cache_size = 0")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        ready.wait(TIMEOUT_S)
        while not stopping.is_set():
            connection.execute("SELECT * FROM event WHERE id = ?", (chance.randint(1, events),)).fetchall()
            done[number] += 1
        connection.close()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    ready.wait(TIMEOUT_S)
    begun, before = time.monotonic(), sum(done)
    time.sleep(seconds)
    rate = (sum(done) - before) / (time.monotonic() - begun)
    stopping.set()
    for thread in threads:
        thread.join()
    return rate


def main() -> None:
    url, events, count, seconds = sys.argv[1:]
    load(OURS)
    print(look_up(url, int(events), int(count), float(seconds)))


if __name__ == "__main__":
    main()
