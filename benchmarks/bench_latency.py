"""Commit latency: a writer at a steady pace, while ours, the real program, or nobody replicates its database.

Rounds take turns in one run. In each the database is new, the replicator runs before the writer begins, and both are
processes of their own with their defaults; the replica is in files. "inside" is ours in the writer's own program, woken
by each commit. A commit is timed from BEGIN to the end of COMMIT.
`python -m benchmarks.bench_latency`.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median, quantiles

from benchmarks.replicators import NOBODY, replicating
from benchmarks.systems import GO, OURS
from benchmarks.writer import prepare, write
from tests.support.litestream_program import FileReplica

INSIDE = "inside"
SYSTEMS = (NOBODY, OURS, INSIDE, GO)
PER_SECOND = 100.0
SECONDS = 6.0
ROWS = 10
ROUNDS = 5


def run(system: str, directory: Path, *, seconds: float, per_second: float, seed: int) -> tuple[float, ...]:
    """Return the latencies of one round, in milliseconds."""
    database, replica = directory / "app.db", FileReplica(directory / "replica")
    prepare(database)
    with replicating(NOBODY if system == INSIDE else system, database, replica) as program:
        written = write(
            database,
            transactions=int(seconds * per_second),
            rows=ROWS,
            per_second=per_second,
            seed=seed,
            replica=replica.url if system == INSIDE else "",
        )
        if program:
            program.stop()
    return written.latencies_ms


def report(rounds: dict[str, list[tuple[float, ...]]]) -> None:
    print(f"{'':8}{'median':>9}{'p99':>9}{'max':>9}  ms{'x nobody':>12}")
    for name, found in rounds.items():
        together = [latency for one in found for latency in one]
        p99 = quantiles(together, n=100, method="inclusive")[98]
        line = f"{name:8}{median(together):9.3f}{p99:9.3f}{max(together):9.3f}"
        if NOBODY in rounds:
            ratio = median(median(one) / median(none) for one, none in zip(found, rounds[NOBODY], strict=True))
            line += f"{ratio:16.2f}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the latency of commits.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each round")
    parser.add_argument("--per-second", type=float, default=PER_SECOND)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    options = parser.parse_args()
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in options.systems}
    for number in range(options.rounds):
        for name in options.systems[:: 1 if number % 2 == 0 else -1]:
            with tempfile.TemporaryDirectory(prefix="bench-latency-") as directory:
                found = run(name, Path(directory), seconds=options.seconds, per_second=options.per_second, seed=number)
                rounds[name].append(found)
    report(rounds)


if __name__ == "__main__":
    main()
