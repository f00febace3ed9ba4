"""Restores: `apsw-litestream restore` and `litestream restore` in turns, from files and from S3 with a delay.

Each restore is a process of its own, so its time has the start of the program in it, and its peak memory is what the
operating system says when it has ended. The database is half noise and half text, replicated by the real program: a
snapshot, and level-0 files after it. Both outputs must be the same file. `python -m benchmarks.bench_restore`;
`--size 1000000000` shows more than the start of the programs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import apsw

from benchmarks.systems import GO, OURS, PROJECT
from tests.support.litestream_program import FileReplica, LitestreamProgram, environment, find_program
from tests.support.restoring import sha256
from tests.support.s3_server import S3Server

DATABASE_SIZE = 100_000_000  # bytes
S3_DATABASE_SIZE = 50_000_000  # the server keeps it in memory, and copies an object for each range of it
S3_DELAY_MS = 30
ROUNDS = 3
ROW_SIZE = 2_000
ROWS_AT_ONCE = 50_000
LATER_COMMITS = 10
LATER_SHARE = 500  # each later commit changes one row of so many

_RUN = """
import os, sys, time
start = time.perf_counter()
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, slots=True)
class Restore:
    seconds: float
    cpu_s: float
    peak_mb: float


def make_replica(directory: Path, size: int) -> FileReplica:
    """Replicate a database of about `size` bytes, and then a few commits more."""
    database, replica = directory / "app.db", FileReplica(directory / "replica")
    program = LitestreamProgram(directory, database, replica)
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, noise BLOB NOT NULL, body TEXT NOT NULL)")
    rows = size // (ROW_SIZE + 20)
    for first in range(0, rows, ROWS_AT_ONCE):
        with connection:
            connection.execute(
                """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                   INSERT INTO item (noise, body)
                   SELECT randomblob(?2), substr(replace(printf('%0100d', i), '0', 'some text '), 1, ?2) FROM n""",
                (min(ROWS_AT_ONCE, rows - first), ROW_SIZE // 2),
            )
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    program.once("-force-snapshot")
    for commit in range(LATER_COMMITS):
        with connection:
            connection.execute(
                "UPDATE item SET noise = randomblob(length(noise)) WHERE id % ? = ?", (LATER_SHARE, commit)
            )
        program.once()
    connection.close()
    return replica


def run(command: list[str | Path], variables: dict[str, str]) -> Restore:
    """Run a program to its end, from a small process: the peak memory of a program counts that of its parent."""
    os.sync()  # what was written before must not be written on its time
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *command],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**environment(), **variables},
    )
    seconds, cpu_s, peak_kib = done.stdout.split()
    return Restore(float(seconds), float(cpu_s), int(peak_kib) / 1024)


def compare(urls: dict[str, str], directory: Path, rounds: int, variables: dict[str, str]) -> None:
    """Restore in turns, and report."""
    programs: dict[str, list[str | Path]] = {
        OURS: [sys.executable, "-m", "litestream"],
        GO: [find_program()],
    }
    restores: dict[str, list[Restore]] = {name: [] for name in urls}
    for number in range(rounds):
        hashes = set()
        for name, url in sorted(urls.items(), reverse=number % 2 == 1):
            output = directory / f"{name}.db"
            restores[name].append(run([*programs[name], "restore", "-force", "-o", output, url], variables))
            hashes.add(sha256(output))
            size = output.stat().st_size
            output.unlink()
        assert len(hashes) == 1, "the outputs differ"
    print(f"  {size / 1e6:.0f} MB, medians of {rounds}")
    for name, found in restores.items():
        seconds, cpu_s = median(one.seconds for one in found), median(one.cpu_s for one in found)
        speed, peak = size / 1e6 / seconds, max(one.peak_mb for one in found)
        print(f"  {name:6} {seconds:7.2f} s  {speed:6.0f} MB/s  processor {cpu_s:6.2f} s  peak memory {peak:5.0f} MB")
    if len(urls) > 1:
        ratio = median(b.seconds / a.seconds for a, b in zip(restores[OURS], restores[GO], strict=True))
        print(f"  {OURS} is {ratio:.1f} times as fast as {GO}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare restores.")
    parser.add_argument(
        "--size", type=int, default=DATABASE_SIZE, help="of the database in files, in bytes; 0 for none"
    )
    parser.add_argument("--s3-size", type=int, default=S3_DATABASE_SIZE, help="of the one in S3; 0 for none")
    parser.add_argument("--delay-ms", type=float, default=S3_DELAY_MS, help="of each request to S3")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--systems", nargs="+", choices=[OURS, GO], default=[OURS, GO])
    options = parser.parse_args()
    if options.size:
        with tempfile.TemporaryDirectory(prefix="bench-restore-") as name:
            replica = make_replica(Path(name), options.size)
            print("from files")
            compare(dict.fromkeys(options.systems, replica.url), Path(name), options.rounds, {})
    if options.s3_size:
        with tempfile.TemporaryDirectory(prefix="bench-restore-") as name, S3Server() as server:
            replica = make_replica(Path(name), options.s3_size)
            for path in sorted((replica.path / "ltx").rglob("*.ltx")):
                server.fill([(f"app/{int(path.parent.name):04x}/{path.name}", path.read_bytes())])
            server.set_delay_ms(options.delay_ms)
            print(f"from S3, {options.delay_ms:.0f} ms a request")
            url = server.url("app", keys=False)
            compare(dict.fromkeys(options.systems, url), Path(name), options.rounds, server.environment)


if __name__ == "__main__":
    main()
