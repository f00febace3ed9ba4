"""Load: 2,000 transactions of 100 rows as fast as they go, about 400 MB of WAL, replicated by ours, by the real program
and by nobody, in turns.

The application and the replicators are processes of their own, all with their defaults; the replica is in files. What a
replicator took is counted from its start to its end, after its last sync; each restore must be the database itself.
`python -m benchmarks.bench_load`.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import apsw

from benchmarks.measured import Usage
from benchmarks.replicators import NOBODY, level_0, replicating
from benchmarks.systems import GO, OURS
from benchmarks.writer import prepare, write
from tests.support.litestream_program import FileReplica, restore

TRANSACTIONS = 2_000
ROWS = 100
ROUNDS = 3
LEVEL_1_INTERVAL_S = 30  # the default


@dataclass(frozen=True, slots=True)
class Run:
    """One load with one replicator."""

    writer_s: float
    usage: Usage | None
    files: int
    size: int  # bytes of level 0


def run(system: str, directory: Path, *, transactions: int, rows: int) -> Run:
    """Write under replication, stop it, and compare what a restore gives with the database."""
    database, replica = directory / "app.db", FileReplica(directory / "replica")
    prepare(database)
    with replicating(system, database, replica) as program:
        written = write(database, transactions=transactions, rows=rows)
        usage = program.stop() if program else None
    if usage is None:
        return Run(written.seconds, None, 0, 0)
    files = level_0(replica)
    restored = directory / "restored.db"
    restore(replica, restored)
    assert contents(restored) == contents(database), f"the replica by {system} is another database"
    return Run(written.seconds, usage, len(files), sum(path.stat().st_size for path in files))


def contents(database: Path) -> tuple[object, ...]:
    """Return what tells one database of this load from another."""
    connection = apsw.Connection(str(database))
    try:
        assert connection.execute("PRAGMA quick_check").get == "ok"
        return tuple(
            connection.execute("SELECT count(*), max(id), sum(length(body)), sum(unicode(hex(noise))) FROM item").get
        )
    finally:
        connection.close()


def wait_for_boundary(interval_s: float) -> None:
    """Wait until a compaction is over, so that none falls into the run of one system and not of the next."""
    time.sleep(interval_s - time.time() % interval_s + 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare replicators under load.")
    parser.add_argument("--transactions", type=int, default=TRANSACTIONS)
    parser.add_argument("--rows", type=int, default=ROWS, help="of each transaction")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--systems", nargs="+", choices=[NOBODY, OURS, GO], default=[NOBODY, OURS, GO])
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the instants of compactions to pass")
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {name: [] for name in options.systems}
    for number in range(options.rounds):
        for name in options.systems[:: 1 if number % 2 == 0 else -1]:
            if not options.no_wait:
                wait_for_boundary(LEVEL_1_INTERVAL_S)
            with tempfile.TemporaryDirectory(prefix="bench-load-") as directory:
                runs[name].append(run(name, Path(directory), transactions=options.transactions, rows=options.rows))
    report(runs)


def report(runs: dict[str, list[Run]]) -> None:
    for name, found in runs.items():
        line = f"{name:7} writer {median(one.writer_s for one in found):6.2f} s"
        usages = [one.usage for one in found if one.usage is not None]
        if usages:
            cpu_s, system_s = median(usage.cpu_s for usage in usages), median(usage.system_s for usage in usages)
            line += f"  processor {cpu_s:6.2f} s ({system_s:.2f} in the system)"
            line += f"  peak memory {max(usage.peak_mb for usage in usages):4.0f} MB"
            line += f"  level 0: {found[-1].files} files, {found[-1].size / 1e6:.0f} MB"
        print(line)
    if OURS in runs and GO in runs:
        ratio = median(
            ours.usage.cpu_s / go.usage.cpu_s
            for ours, go in zip(runs[OURS], runs[GO], strict=True)
            if ours.usage is not None and go.usage is not None
        )
        print(f"processor time, {OURS} / {GO}: {ratio:.2f}")


if __name__ == "__main__":
    main()
