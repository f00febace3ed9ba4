"""Restores: `apsw-litestream restore` and `litestream restore` in turns, from files and from S3 with a delay.

Each restore is a process of its own, so its time has the start of the program in it, and its peak memory is what the
operating system says when it has ended. The database is half noise and half text, replicated by the real program: a
snapshot, and level-0 files after it. Both outputs must be the same file. `python -m benchmarks.bench_restore`;
`--size 1000000000` shows more than the start of the programs.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

import apsw

from benchmarks.measured import MeasuredProgram, Usage
from benchmarks.static_s3 import ENVIRONMENT, StaticS3
from benchmarks.systems import GO, OURS
from tests.support.litestream_program import FileReplica, LitestreamProgram, find_program
from tests.support.restoring import sha256

DATABASE_SIZE = 100_000_000  # bytes
S3_DELAY_MS = 20
BUCKET = "bucket"
ROUNDS = 3
ROW_SIZE = 2_000
ROWS_AT_ONCE = 50_000
_PIECE_SIZE = 2**20
LATER_COMMITS = 10
LATER_SHARE = 500  # each later commit changes one row of so many


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


def link_as_objects(replica: FileReplica, directory: Path) -> None:
    """Give the files of a replica the names they have in S3 too."""
    for path in sorted((replica.path / "ltx").rglob("*.ltx")):
        link = directory / f"{int(path.parent.name):04x}" / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(path)


def run(command: list[str | Path], variables: dict[str, str], output: Path, size: int) -> Usage:
    """Run a program to its end."""
    # A virtual machine is given memory when it is first used, which takes longer than the restore: use it before.
    with output.open("wb") as file:
        for _ in range(0, size, _PIECE_SIZE):
            file.write(bytes(_PIECE_SIZE))
    output.unlink()
    os.sync()  # what was written before must not be written on its time
    with MeasuredProgram(command, variables) as program:
        return program.wait()


def compare(urls: dict[str, str], directory: Path, rounds: int, variables: dict[str, str], size: int) -> None:
    """Restore in turns, and report."""
    programs: dict[str, list[str | Path]] = {
        OURS: [sys.executable, "-m", "litestream"],
        GO: [find_program()],
    }
    restores: dict[str, list[Usage]] = {name: [] for name in urls}
    for number in range(rounds):
        hashes = set()
        for name, url in sorted(urls.items(), reverse=number % 2 == 1):
            output = directory / f"{name}.db"
            command = [*programs[name], "restore", "-force", "-o", output, url]
            restores[name].append(run(command, variables, output, size))
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
    parser.add_argument("--size", type=int, default=DATABASE_SIZE, help="of the database, in bytes")
    parser.add_argument("--places", nargs="+", choices=["files", "s3"], default=["files", "s3"])
    parser.add_argument("--delay-ms", type=float, default=S3_DELAY_MS, help="of each request to S3")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--systems", nargs="+", choices=[OURS, GO], default=[OURS, GO])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-restore-") as name:
        directory = Path(name)
        replica = make_replica(directory, options.size)
        if "files" in options.places:
            print("from files")
            compare(dict.fromkeys(options.systems, replica.url), directory, options.rounds, {}, options.size)
        if "s3" in options.places:
            link_as_objects(replica, directory / "buckets" / BUCKET / "app")
            with StaticS3(directory / "buckets", options.delay_ms) as server:
                print(f"from S3, {options.delay_ms:.0f} ms a request")
                urls = dict.fromkeys(options.systems, server.url(BUCKET, "app"))
                compare(urls, directory, options.rounds, ENVIRONMENT, options.size)


if __name__ == "__main__":
    main()
