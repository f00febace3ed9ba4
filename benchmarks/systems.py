"""The systems that are compared, each opened in a process of its own.

As a program it is that process: it opens one system and then answers one JSON command per line of its standard input,
`{"work": "scan"}` or `{"work": "points", "count": N, "seed": S}`, with `{"seconds": S, "answer": A}`.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import apsw

from tests.support.litestream_program import environment

NATIVE, OURS, GO = "native", "ours", "go"
PROJECT = Path(__file__).resolve().parents[1]
STOP_TIMEOUT_S = 30.0
READ_ONLY = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def open_system(system: str, place: str, cache_size: int) -> apsw.Connection:
    """Open a restored file (NATIVE) or a replica's URL, whose VFS may hold `cache_size` bytes of pages."""
    if system == NATIVE:
        return apsw.Connection(place)
    if system == OURS:
        import litestream

        return litestream.connect(place, cache_size=cache_size)
    loader = apsw.Connection(":memory:")
    loader.enable_load_extension(True)
    loader.load_extension(import_module("litestream_vfs").loadable_path())
    query = f"vfs=litestream&replica_url={quote(place, safe='')}&cache_size={cache_size}"
    return apsw.Connection(f"file:bench.db?{query}", flags=READ_ONLY)


def scan(connection: apsw.Connection) -> int:
    """Read every row of the table once; return the length of all texts."""
    return int(connection.execute("SELECT sum(length(body)) FROM item").get)


def points(connection: apsw.Connection, count: int, seed: int) -> int:
    """Look up random rows by rowid, each in its own transaction; return the sum of one column."""
    rows = connection.execute("SELECT max(id) FROM item").get
    chance = random.Random(seed)  # noqa: S311  # a workload, not a secret
    keys = [chance.randint(1, rows) for _ in range(count)]
    execute = connection.execute
    return sum(execute("SELECT number FROM item WHERE id = ?", (key,)).get for key in keys)


@dataclass(slots=True)
class System:
    """A process with one open system; a context manager."""

    name: str
    place: str
    cache_size: int
    sqlite_cache_kib: int
    _process: subprocess.Popen[str] | None = None

    def ask(self, **command: object) -> dict[str, Any]:
        """Let the process do one piece of work and return how long it took and what it found."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"{self.name} ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        options = [self.name, self.place, str(self.cache_size), str(self.sqlite_cache_kib)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.systems", *options],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        try:
            self._process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=[NATIVE, OURS, GO])
    parser.add_argument("place")
    parser.add_argument("cache_size", type=int)
    parser.add_argument("sqlite_cache_kib", type=int)
    options = parser.parse_args()
    connection = open_system(options.system, options.place, options.cache_size)
    connection.execute(f"PRAGMA cache_size = -{options.sqlite_cache_kib}")
    work: dict[str, Callable[..., int]] = {"scan": scan, "points": points}
    for line in sys.stdin:
        command = json.loads(line)
        function = work[command.pop("work")]
        start = time.perf_counter()
        answer = function(connection, **command)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "answer": answer}), flush=True)


if __name__ == "__main__":
    main()
