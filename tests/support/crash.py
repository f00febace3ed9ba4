"""Crash runs as a program: `python -m tests.support.crash --system ours --kind kill --workload 2 --rounds 200`.

Without `--kind` or `--workload` it goes through all but the kind `calm`, one after the other. It prints what was found,
and a table in the end, and ends with 1 if ours broke an invariant. With `--directory` the databases, logs and replicas
stay there. What a run is, `tests.support.crash_run` says.
"""

import argparse
import sys
from pathlib import Path

from tests.support.crash_report import TABLE_HEAD
from tests.support.crash_run import KINDS, ROUNDS, STORES, Crash
from tests.support.crash_systems import SYSTEMS
from tests.support.crash_writer import WORKLOADS


def main() -> None:
    parser = argparse.ArgumentParser(description="End a replicator and start it again, over and over.")
    parser.add_argument("--system", choices=SYSTEMS, default="ours")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--workload", type=int, choices=WORKLOADS, action="append")
    parser.add_argument("--store", choices=STORES, default="s3")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="keep files and logs here, one directory for each run")
    options = parser.parse_args()
    failed = False
    rows = [TABLE_HEAD]
    for kind in options.kind or KINDS[:3]:
        for workload in options.workload or WORKLOADS:
            crash = Crash(
                system=options.system,
                kind=kind,
                workload=workload,
                store=options.store,
                rounds=options.rounds,
                seed=options.seed,
            )
            directory = None
            if options.directory is not None:
                directory = options.directory / f"{options.system}-{kind}-{workload}-{options.store}-{options.seed}"
                directory.mkdir(parents=True)
            report = crash.run(directory)
            problems = report.problems()
            failed = failed or bool(problems)
            rows.append(report.row())
            print(report.summary())  # noqa: T201  # what the command is for
            print("\n".join(f"  NOT GOOD: {problem}" for problem in problems) or "  good", flush=True)  # noqa: T201
    print("\n".join(rows))  # noqa: T201
    sys.exit(1 if failed and options.system == "ours" else 0)


if __name__ == "__main__":
    main()
