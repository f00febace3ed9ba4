"""Warm speed: native SQLite on the restored file, our VFS, and the Go extension, on one 50 MB database.

Each system has a process of its own, and all see the same rounds, one after the other, so that a busy machine is busy
for all of them. SQLite's own `cache_size` is the same everywhere and smaller than the database, so that reads reach the
VFS; the VFS caches hold the whole database. `python -m benchmarks.bench_warm`.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import apsw

from benchmarks.systems import GO, NATIVE, OURS, System
from tests.support.litestream_program import FileReplica, LitestreamProgram, restore

DATABASE_SIZE = 50_000_000  # bytes
ROW_SIZE = 200
CACHE_SIZE = 256 * 2**20  # bytes of pages in the VFS
SQLITE_CACHE_KIB = 2000  # SQLite's own default
POINT_COUNT = 20_000
ROUNDS = 5


def make_database(path: Path, size: int = DATABASE_SIZE) -> None:
    """Make a table of about `size` bytes with rows of about 200."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, number INTEGER NOT NULL, body TEXT NOT NULL)")
    rows = size // (ROW_SIZE + 10)
    with connection:
        connection.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
               INSERT INTO item SELECT i, (i * 7919) % 1000, printf('%032x', i * 7919 * 104729)
                 || substr(printf('%0200d', i * 7919), 1, ?) FROM n""",
            (rows, ROW_SIZE - 32),
        )
    connection.close()


def make_replica(directory: Path, database: Path) -> FileReplica:
    """Replicate a database once, with a snapshot, by the real program."""
    replica = FileReplica(directory / "replica")
    LitestreamProgram(directory, database, replica).once("-force-snapshot")
    return replica


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare warm reads.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--size", type=int, default=DATABASE_SIZE, help="of the database, in bytes")
    parser.add_argument("--systems", nargs="+", choices=[NATIVE, OURS, GO], default=[NATIVE, OURS, GO])
    parser.add_argument(
        "--vfs-cache", type=int, default=CACHE_SIZE, help="of each VFS, in bytes; default above the size"
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-warm-")))
        make_database(directory / "app.db", options.size)
        replica = make_replica(directory, directory / "app.db")
        restored = directory / "restored.db"
        restore(replica, restored)
        places = {NATIVE: str(restored), OURS: replica.url, GO: replica.url}
        systems = [
            stack.enter_context(System(name, places[name], options.vfs_cache, SQLITE_CACHE_KIB))
            for name in options.systems
        ]
        caches = f"VFS cache {options.vfs_cache >> 20} MiB, SQLite cache {SQLITE_CACHE_KIB} KiB"
        print(f"{restored.stat().st_size / 1e6:.0f} MB, {caches}, medians of {options.rounds}")
        report("full scan", "ms", 1e3, measure(systems, options.rounds, work="scan"))
        points = measure(systems, options.rounds, work="points", count=POINT_COUNT, seed=1)
        report(f"{POINT_COUNT:,} point lookups, each", "us", 1e6 / POINT_COUNT, points)


def measure(systems: list[System], rounds: int, **command: object) -> dict[str, float]:
    """Return each system's median seconds, after one round that fills the caches."""
    seconds: dict[str, list[float]] = {system.name: [] for system in systems}
    answers: set[str] = set()
    for number in range(rounds + 1):
        for system in systems:
            answer = system.ask(**command)
            answers.add(str(answer["answer"]))
            if number > 0:
                seconds[system.name].append(answer["seconds"])
    assert len(answers) == 1, f"the systems disagree: {answers}"
    return {name: median(times) for name, times in seconds.items()}


def report(what: str, unit: str, scale: float, seconds: dict[str, float]) -> None:
    """Print one line per system: the median, and how many times the fastest and ours it took."""
    print(what)
    for name, value in seconds.items():
        ratios = [f"{value / seconds[other]:6.2f} x {other}" for other in (NATIVE, OURS) if other in seconds]
        print(f"  {name:8} {value * scale:9.1f} {unit}  {'  '.join(ratios)}")


if __name__ == "__main__":
    main()
