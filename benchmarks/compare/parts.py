"""What the command can measure; each part gives a piece of Markdown."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.compare import following, plain, plot, report, threads
from benchmarks.compare.database import FIRST_FILE, PLACE, replica_of_events
from benchmarks.compare.huge import SCATTERED_ROWS, SQL, keys, replica_of_pages
from benchmarks.compare.matrix import SYSTEMS, Matrix
from benchmarks.compare.queries import queries
from benchmarks.compare.reader import Work
from benchmarks.compare.run import Run, run
from benchmarks.static_s3 import StaticS3
from benchmarks.systems import OURS
from replication.client.file import FileReplicaClient
from replication.levels import LEVELS
from replication.restore.plan import plan_restore

FOLLOW_S = 60.0
LINK_MB_S = 100.0  # what object storage gives one process, roughly
SCHEMA = "SELECT count(*) FROM sqlite_schema"


def measure_queries(options: argparse.Namespace, server: StaticS3, write: Path | None) -> str:
    replica = replica_of_events(options.events)
    matrix = Matrix(
        server,
        server.url(replica.name, PLACE),
        queries(options.events),
        options.delays_ms,
        options.rounds,
        options.limit_s,
        options.prefetch == "on",
        [],
    )
    matrix.measure()
    shown = min(options.delays_ms, key=lambda ms: abs(ms - options.delay_ms))
    if write is not None:
        (write / "compare.svg").write_text(plot.draw(matrix))
    return "\n\n".join(
        [
            f"At {report.delay(shown)} a request:",
            report.queries_table(matrix, shown),
            "Times at each delay:",
            report.delays_table(matrix),
            report.prefetch_line(matrix, shown),
        ]
    )


def measure_plain(options: argparse.Namespace, server: StaticS3, _: Path | None) -> str:
    replica = replica_of_events(options.events)
    snapshot = replica.name, f"{PLACE}/0009/{FIRST_FILE}"
    scan = queries(options.events)[-1]
    unlimited = plain.measure(server, server.url(replica.name, PLACE), scan, snapshot, options.rounds)
    with StaticS3(server.root, options.delay_ms, LINK_MB_S) as linked:
        limited = plain.measure(linked, linked.url(replica.name, PLACE), scan, snapshot, options.rounds)
    title = f"The full scan at {report.delay(options.delay_ms)}, and 16 plain GETs in flight of one process"
    return "\n\n".join(
        [
            f"{title}, through a link of unlimited speed, so that the processor is the limit:",
            report.plain_table(unlimited),
            f"The same through a link of {LINK_MB_S:g} MB/s, about what object storage gives one process:",
            report.plain_table(limited),
        ]
    )


def measure_files(options: argparse.Namespace, server: StaticS3, _: Path | None) -> str:
    files = options.files
    replica = replica_of_events(following.EVENTS, level_1_files=files // 2, level_0_files=files - 1 - files // 2)
    client = FileReplicaClient(replica / "replica")
    planned = len(plan_restore({level: list(client.ltx_files(level)) for level in LEVELS}))
    assert planned == files, f"expected a plan of {files} files, got {planned}"
    runs = run_both(server, replica, SCHEMA)
    title = f"Open of a replica with {files} files in its plan, at {report.delay(options.delay_ms)}:"
    return f"{title}\n\n{report.opens_table(runs)}"


def measure_huge(options: argparse.Namespace, server: StaticS3, _: Path | None) -> str:
    replica = replica_of_pages(options.pages)
    first = run_both(server, replica, SQL, keys(options.pages, 1))
    many = run_both(server, replica, SQL, keys(options.pages, SCATTERED_ROWS), systems=[OURS])
    rows = {report.TITLES[system]: one for system, one in first.items()}
    rows[f"{report.TITLES[OURS]}, {SCATTERED_ROWS} rows far apart"] = many[OURS]
    title = (
        f"A replica of {options.pages:,} pages of 4 KiB at {report.delay(options.delay_ms)}: open and a first query by "
        "key; then what came in the background, and the memory and page index when that was quiet:"
    )
    return f"{title}\n\n{report.runs_table(rows)}"


def measure_following(options: argparse.Namespace, _: StaticS3, __: Path | None) -> str:
    settle_s = following.SETTLE_S if options.follow_s >= FOLLOW_S else 0.0
    found = following.measure(options.follow_s, options.delay_ms, settle_s)
    title = (
        f"Following at 1 s, counted for {options.follow_s:g} s, and 30 days of that at the list prices of S3 Standard "
        "in us-east-1 ($0.0004 for 1,000 GET, $0.005 for 1,000 LIST):"
    )
    return f"{title}\n\n{report.following_table(found)}"


def measure_threads(options: argparse.Namespace, server: StaticS3, _: Path | None) -> str:
    replica = replica_of_events(options.events)
    url = server.url(replica.name, PLACE)
    rates = {count: threads.measure(url, options.events, count, options.threads_s) for count in (1, threads.THREADS)}
    title = f"Random cold point lookups of ours at {report.delay(options.delay_ms)}, without a page cache:"
    return f"{title}\n\n{report.threads_table(rates)}"


def run_both(
    server: StaticS3, replica: Path, sql: str, bindings: tuple[object, ...] = (), systems: Sequence[str] = SYSTEMS
) -> dict[str, Run]:
    """Run one query in both systems, which must find the same rows."""
    url = server.url(replica.name, PLACE)
    runs = {}
    for system in systems:
        work = Work(system=system, url=url, sql=sql, bindings=bindings, waits_for_index=sql == SQL)
        runs[system] = run(server, work)
    assert len({one.digest for one in runs.values()}) == 1, f"the systems disagree on {sql}"
    return runs


PARTS: dict[str, Callable[[argparse.Namespace, StaticS3, Path | None], str]] = {
    "queries": measure_queries,
    "plain": measure_plain,
    "files": measure_files,
    "huge": measure_huge,
    "following": measure_following,
    "threads": measure_threads,
}
