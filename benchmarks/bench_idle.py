"""Idle databases: what 1,000 of them to which nobody writes cost one replicator, ours and the real program.

Both read the same configuration and have their defaults; the replicas are in an S3 server on this machine, which counts
requests. The replicators run one after the other. Each is looked at when every database has a snapshot or a compaction
and nothing was uploaded or deleted for a minute, between two instants of compactions.
`python -m benchmarks.bench_idle`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import apsw

from benchmarks.measured import MeasuredProgram
from benchmarks.systems import GO, OURS
from tests.support.litestream_program import S3Replica, find_program
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, REGION, SECRET_ACCESS_KEY, S3Server, count_by_kind
from tests.support.waiting import wait_until

DATABASES = 1_000
SECONDS = 20.0
SETTLE_TIMEOUT_S = 600.0
INTERVAL_S = 30  # of level 1; the default of both
QUIET_S = 65.0  # both checkpoint once, 60 s after the last commit; files of level 0 go after 5 minutes
MARGIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Idle:
    """What a replicator took while nothing was to do."""

    settled_after_s: float
    cpu_share: float  # of one processor
    resident_mb: float
    threads: int
    requests: dict[str, int]


def make_databases(directory: Path, count: int) -> list[Path]:
    """Make databases in WAL mode with one row each."""
    template = directory / "template.db"
    connection = apsw.Connection(str(template))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO item (body) VALUES ('one')")
    connection.close()
    paths = [directory / f"{number:04}.db" for number in range(count)]
    for path in paths:
        shutil.copyfile(template, path)
    return paths


def write_config(path: Path, databases: list[Path], server: S3Server, interval_s: int) -> None:
    """Write the configuration of a replicator of all of them; JSON is YAML."""
    replicas = (
        S3Replica(
            endpoint=server.endpoint,
            bucket=DEFAULT_BUCKET,
            path=database.stem,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
            region=REGION,
        )
        for database in databases
    )
    dbs = [
        {"path": str(database), "replica": replica.config()}
        for database, replica in zip(databases, replicas, strict=True)
    ]
    levels = [] if interval_s == INTERVAL_S else [{"interval": f"{interval_s}s"}]
    path.write_text(json.dumps({"dbs": dbs} | ({"levels": levels} if levels else {})))


def watch(system: str, directory: Path, *, databases: int, seconds: float, interval_s: int, quiet_s: float) -> Idle:
    """Let a replicator settle, and look at it for some seconds."""
    config = directory / "litestream.yml"
    program = [find_program()] if system == GO else [sys.executable, "-m", "litestream"]
    with S3Server() as server:
        write_config(config, make_databases(directory, databases), server, interval_s)
        start = time.monotonic()
        command: list[str | Path] = [*program, "replicate", "-config", config]
        with MeasuredProgram(command, server.environment, directory / "log") as running:
            wait_until_settled(running, server, databases, quiet_s)
            settled_after_s = time.monotonic() - start
            wait_for_quiet(seconds, interval_s)
            server.reset()
            before, begin = cpu_s(running.pid), time.monotonic()
            time.sleep(seconds)
            share = (cpu_s(running.pid) - before) / (time.monotonic() - begin)
            status = status_of(running.pid)
            return Idle(
                settled_after_s,
                share,
                int(status["VmRSS"].split()[0]) / 1024,
                int(status["Threads"]),
                dict(count_by_kind(server.requests())),
            )


def wait_until_settled(program: MeasuredProgram, server: S3Server, databases: int, quiet_s: float) -> None:
    """Wait until every database is compacted, and nothing was uploaded or deleted for some time."""

    def is_compacted() -> bool:
        program.check_running()
        return len(replicas_above_level_0(server)) == databases

    wait_until(is_compacted, f"compactions of {databases} databases", timeout_s=SETTLE_TIMEOUT_S, pause_s=0.5)
    changes = 1
    while changes:
        server.reset()
        time.sleep(quiet_s)
        counts = count_by_kind(server.requests())
        changes = counts["PUT"] + counts["DELETE"]


def wait_for_quiet(seconds: float, interval_s: int) -> None:
    """Wait until no compaction is due for so long, if there is such a time."""
    into = time.time() % interval_s
    if seconds + 2 * MARGIN_S <= interval_s and not MARGIN_S <= into <= interval_s - MARGIN_S - seconds:
        time.sleep((MARGIN_S - into) % interval_s)


def replicas_above_level_0(server: S3Server) -> set[str]:
    """Return the paths of the replicas that have a snapshot or a compaction."""
    return {key.split("/")[0] for key in server.objects() if key.count("/") == 2 and key.split("/")[1] != "0000"}


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_of(pid: int) -> dict[str, str]:
    lines = (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: value.strip() for name, value in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare what idle databases cost.")
    parser.add_argument("--databases", type=int, default=DATABASES)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--interval", type=int, default=INTERVAL_S, help="of level 1, in seconds")
    parser.add_argument("--quiet", type=float, default=QUIET_S, help="seconds without a change before the look")
    parser.add_argument("--systems", nargs="+", choices=[OURS, GO], default=[OURS, GO])
    options = parser.parse_args()
    print(f"{options.databases:,} databases, {options.seconds:.0f} s")
    for system in options.systems:
        with tempfile.TemporaryDirectory(prefix="bench-idle-") as directory:
            idle = watch(
                system,
                Path(directory),
                databases=options.databases,
                seconds=options.seconds,
                interval_s=options.interval,
                quiet_s=options.quiet,
            )
        requests = ", ".join(f"{count} {kind}" for kind, count in sorted(idle.requests.items())) or "none"
        print(
            f"  {system:6} {idle.cpu_share:7.2%} of a processor  {idle.resident_mb:5.0f} MB  {idle.threads} threads  "
            f"requests: {requests}  (settled after {idle.settled_after_s:.0f} s)"
        )


if __name__ == "__main__":
    main()
