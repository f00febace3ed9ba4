"""Cold reads from S3: ours and litestream-vfs 0.5.17 on the same replicas, through the same server.

    python -m benchmarks.compare --write docs

runs all queries at each delay, and what `--parts` names beside them; it writes `compare.md` and `compare.svg`. Every
query has a fresh process, which opens the replica for it; its rows are those of the other system. Where a query would
take longer than `--limit-s`, its time is extrapolated from its requests, which a run without a delay tells, and marked
with ≈. The databases are built in `benchmarks/.cache` by the first run, and need some 500 MB.
"""

import argparse
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import apsw

from benchmarks.compare.cache import DIRECTORY
from benchmarks.compare.database import EVENTS
from benchmarks.compare.huge import PAGES
from benchmarks.compare.parts import FOLLOW_S, PARTS
from benchmarks.static_s3 import StaticS3

DELAYS_MS = (0.0, 5.0, 20.0, 50.0)
SHOWN_DELAY_MS = 20.0  # of what is measured at one delay only
LIMIT_S = 180.0
ROUNDS = 3
THREADS_S = 5.0
FILES = 75


HEADING = "# Cold reads, compared with the Litestream extension\n\n    python -m benchmarks.compare --write docs"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="Compare cold reads from S3.")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--write", type=Path, metavar="DIR", help="write compare.md and compare.svg there")
    parser.add_argument("--delays-ms", type=float, nargs="+", default=list(DELAYS_MS), help="of each request")
    parser.add_argument("--delay-ms", type=float, default=SHOWN_DELAY_MS, help="of all but the queries")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="after which a query is extrapolated")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--prefetch", choices=["on", "off"], default="on", help="of ours, in the queries")
    parser.add_argument("--events", type=int, default=EVENTS, help="rows of the main table")
    parser.add_argument("--pages", type=int, default=PAGES, help="of the huge database")
    parser.add_argument("--files", type=int, default=FILES, help="in the plan of the replica with many files")
    parser.add_argument("--follow-s", type=float, default=FOLLOW_S, help="how long requests of following are counted")
    parser.add_argument("--threads-s", type=float, default=THREADS_S, help="of each number of threads")
    return parser.parse_args()


def surroundings() -> str:
    """Say what all this was measured with."""
    versions = (
        f"CPython {platform.python_version()}, APSW {apsw.apsw_version()}, litestream-vfs {version('litestream-vfs')}"
    )
    return f"{os.cpu_count()} cores, {platform.system()}, {versions}, {time.strftime('%Y-%m-%d')}."


def main() -> None:
    options = parse_arguments()
    DIRECTORY.mkdir(exist_ok=True)
    if options.write is not None:
        options.write.mkdir(parents=True, exist_ok=True)
    parts = []
    for name in options.parts:
        with StaticS3(DIRECTORY, options.delay_ms) as server:
            parts.append(PARTS[name](options, server, options.write))
        print(parts[-1], end="\n\n", flush=True)
    parts.append(surroundings())
    print(parts[-1])
    if options.write is not None:
        (options.write / "compare.md").write_text("\n\n".join([HEADING, *parts]) + "\n")


if __name__ == "__main__":
    main()
