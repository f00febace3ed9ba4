"""Torture: readers read a replica hard while the real program writes, compacts and deletes it.

A writer process commits every 22 ms; the real program replicates; a process of readers (`torture_reader`) reads through
our VFS or the Go extension; a monitor lists the replica. Every transaction must be consistent and fresh.

What the program does in 300 s at its defaults: it writes about one level-0 file per second. It compacts when the wall
clock passes a multiple of a level's interval (30 s, 5 m, 1 h): 10 level-1 files and 1 level-2 file, never 50, whatever
the load; and with its level-0 retention of 5 minutes it deletes next to nothing in a run of 5 minutes. So `default`
keeps the default levels, expects 9 compactions, and takes a level-0 retention of 60 s: less than the run, more than the
20 s of a long transaction, which therefore never loses a file. At `fast` levels (1 s and 5 s, a level-0 file every
0.3 s, kept for 1 s) there are 360 compactions and 900 deletions.

As a program: `python -m tests.support.torture --seconds 300 --store s3 --levels fast`; without `--store` or `--levels`
every combination, one after the other. It prints each run's summary and ends with 1 when a check fails.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import apsw

from tests.support import workload
from tests.support.litestream_program import (
    FileReplica,
    LitestreamProgram,
    ProgramError,
    ReplicaPlace,
    S3Replica,
    Settings,
    environment,
    restore,
)
from tests.support.replica_monitor import ReplicaMonitor, lister
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, REGION, SECRET_ACCESS_KEY, S3Server
from tests.support.torture_reader import JOIN_TIMEOUT_S, ReaderSettings
from tests.support.torture_report import STALENESS_LIMIT_S, Minimum, TortureReport
from tests.support.waiting import wait_until

_FAST = Settings(
    levels=("1s", "5s"),
    l0_retention="1s",
    l0_retention_check_interval="1s",
    # Shorter than level 1, so that its files span several of level 0, and out of step with it.
    monitor_interval="300ms",
    sync_interval="300ms",
)
LEVELS = {
    "default": Settings(l0_retention="60s"),
    "fast": _FAST,
    # Snapshots come and go too, and with them files of level 1 and 2: views must find other files with the same pages.
    "snapshots": replace(_FAST, snapshot_interval="3s", snapshot_retention="6s"),
}
GONE_SHARES = {"default": 0.0, "fast": 0.1, "snapshots": 1.0}  # of long transactions that may lose their files
STORES = ("file", "s3")
CELLS = 2000  # 500 pages; each transaction touches one
LONG_S = 20.0
SHORTEST_LONG_S = 2.0
FIRST_FILE_TIMEOUT_S = 60.0
FIRST_COMPACTION_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Torture:
    """One run."""

    seconds: float
    store: str = "file"
    levels: str = "fast"
    system: str = "ours"
    open_after_level_1: bool | None = None  # or as soon as the first file is there; None: after, but at default levels
    pause_ms: float = 4.0
    poll_interval_s: float = 1.0
    longest_s: float = LONG_S  # of long transactions; a third of the run if that is less, but at least 2 s

    @property
    def title(self) -> str:
        opened = "after the first level-1 file" if self.opens_late else "before the first level-1 file"
        return f"{self.system}, {self.store} store, {self.levels} levels, opened {opened}"

    @property
    def gone_share(self) -> float:
        return GONE_SHARES[self.levels]

    @property
    def opens_late(self) -> bool:
        """Whether readers are opened after the first level-1 file, as a rule at all but the default levels.

        At fast levels the first file, which holds the whole database, is deleted milliseconds after the first level-1
        file has appeared. Who has opened before and not yet polled again stands on pages that are nowhere any more.
        """
        return self.levels != "default" if self.open_after_level_1 is None else self.open_after_level_1

    @property
    def long_s(self) -> float:
        """How long a long transaction lasts."""
        return min(self.longest_s, max(SHORTEST_LONG_S, self.seconds / 3))

    def minimum(self) -> Minimum:
        """Return the least work of this run, in proportion to that of 300 s; the module says why the levels differ.

        In 300 s: 10,000 transactions (S3: 2,000), 100 TXIDs, 50 deletions, and 50 compactions, at default levels 9.
        """
        share = self.seconds / 300
        return Minimum(
            transactions=int(share * (10_000 if self.store == "file" else 2_000)),
            txids=int(share * 100),
            compactions=int(share * (9 if self.levels == "default" else 50)),
            # At default levels the first deletion is due after the retention, the level-1 file, and the next check.
            deletions=min(50, int(max(0.0, self.seconds - 120) / 2)) if self.levels == "default" else int(share * 50),
        )

    def run(self) -> TortureReport:
        """Run it and return what was found."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
            replica = stack.enter_context(_replica(self.store, directory))
            return self._run(directory, replica)

    def _run(self, directory: Path, replica: ReplicaPlace) -> TortureReport:
        database = directory / "app.db"
        workload.prepare(database, cells=CELLS)
        with ExitStack() as stack:
            program = stack.enter_context(LitestreamProgram(directory, database, replica, LEVELS[self.levels]))
            writer = stack.enter_context(workload.Writer(database))
            monitor, list_files = ReplicaMonitor(replica), lister(replica)
            wait_until(lambda: bool(list_files()), "the first file", timeout_s=FIRST_FILE_TIMEOUT_S)
            stack.enter_context(monitor)
            if self.opens_late:
                wait_until(
                    lambda: any(file.level == 1 for file in monitor.files),
                    "the first level-1 file",
                    timeout_s=FIRST_COMPACTION_TIMEOUT_S,
                )
            monitor.mark()
            seen = self._read(replica)
            compactions, deletions = monitor.compactions, monitor.deletions
            program.check_running()
            commits = writer.stop()
        restored = _check_restored(replica, directory / "restored.db", commits)
        return self._report(
            seen, monitor, compactions=compactions, deletions=deletions, commits=commits, restored=restored
        )

    def _read(self, replica: ReplicaPlace) -> dict[str, Any]:
        settings = ReaderSettings(
            system=self.system,
            url=replica.url,
            seconds=self.seconds,
            long_s=self.long_s,
            pause_ms=self.pause_ms,
            poll_interval_s=self.poll_interval_s,
        )
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.torture_reader", json.dumps(asdict(settings))],
            cwd=workload.PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=self.seconds + 2 * JOIN_TIMEOUT_S,
            env=environment(replica),
        )
        assert done.returncode == 0, f"the readers ended with {done.returncode}:\n{done.stderr[-4000:]}"
        seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return seen

    def _report(
        self,
        seen: dict[str, Any],
        monitor: ReplicaMonitor,
        *,
        compactions: int,
        deletions: int,
        commits: int,
        restored: str,
    ) -> TortureReport:
        shorts, longs = seen["shorts"], seen["longs"]
        failures = sum((Counter(tally["errors"]) for tally in shorts), Counter[str]())
        stale = [[monitor.staleness_s(at, txid) for at, txid in tally["last_seen"]] for tally in shorts]
        return TortureReport(
            title=self.title,
            seconds=self.seconds,
            ok=sum(tally["ok"] for tally in shorts),
            failed=failures.total(),
            inconsistent=sum(tally["inconsistent"] for tally in shorts),
            backwards=sum(tally["backwards"] for tally in shorts),
            txids=len({txid for tally in shorts for _, txid in tally["last_seen"]}),
            staleness_s=max((age for ages in stale for age in ages), default=0.0),
            data_age_s=max(tally["data_age_s"] for tally in shorts),
            stale_reader_s=sum(max(0.0, age - STALENESS_LIMIT_S) for ages in stale for age in ages),
            compactions=compactions,
            deletions=deletions,
            long_ok=longs["ok"],
            long_snapshot_gone=longs["snapshot_gone"],
            long_wrong=tuple(longs["wrong"]),
            long_failed=sum(longs["errors"].values()),
            errors=failures + Counter(longs["errors"]),
            stuck=tuple(seen["stuck"]),
            stats=seen["stats"],
            commits=commits,
            restored=restored,
        )


@contextmanager
def _replica(store: str, directory: Path) -> Iterator[ReplicaPlace]:
    if store == "file":
        yield FileReplica(directory / "replica")
        return
    if store != "s3":
        msg = f"expected a store of {STORES}, got {store!r}"
        raise ValueError(msg)
    with S3Server() as server:
        yield S3Replica(
            endpoint=server.endpoint,
            bucket=DEFAULT_BUCKET,
            path="app",
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
            region=REGION,
        )


def _check_restored(replica: ReplicaPlace, output: Path, commits: int) -> str:
    """Return what is wrong with the replica as the real program restores it, or an empty text."""
    try:
        restore(replica, output, integrity_check="full")
    except ProgramError as error:
        return f"restore failed: {error}"
    connection = apsw.Connection(str(output), flags=apsw.SQLITE_OPEN_READONLY)
    counter = connection.execute("SELECT value FROM counter").get
    count, last = connection.execute("SELECT count(*), max(id) FROM log").get
    total = connection.execute("SELECT sum(value) FROM cell").get
    connection.close()
    if counter == count == last == total == commits:
        return ""
    return f"restored counter {counter}, rows {count}, last row {last}, cells {total}, of {commits} commits"


def main() -> None:
    parser = argparse.ArgumentParser(description="Torture a read replica.")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--store", choices=STORES, action="append")
    parser.add_argument("--levels", choices=list(LEVELS), action="append")
    parser.add_argument("--system", choices=["ours", "go"], default="ours")
    parser.add_argument("--opened", choices=["before", "after"], help="the first level-1 file")
    parser.add_argument("--poll-interval", type=float, default=1.0, help="of the readers, in seconds")
    parser.add_argument("--long", type=float, default=LONG_S, help="seconds of a long transaction")
    options = parser.parse_args()
    failed = False
    for store in options.store or STORES:
        for levels in options.levels or ("default", "fast"):
            run = Torture(
                seconds=options.seconds,
                store=store,
                levels=levels,
                system=options.system,
                open_after_level_1=None if options.opened is None else options.opened == "after",
                poll_interval_s=options.poll_interval,
                longest_s=options.long,
            )
            report = run.run()
            problems = report.problems(run.minimum(), gone_share=run.gone_share)
            failed = failed or bool(problems)
            print(report.summary())  # noqa: T201  # what the command is for
            print("\n".join(f"  NOT GOOD: {problem}" for problem in problems) or "  good", flush=True)  # noqa: T201
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
