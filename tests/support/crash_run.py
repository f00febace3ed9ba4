"""Crash runs: a replicator is ended and started again, over and over, beside a writer that never pauses.

In each round the replicator runs until it has written its first file and then for up to 0.8 s; or, every fourth time,
for up to 0.8 s from its start, whatever it has come to. Then it is ended, and started again after up to 0.6 s:

    clean   it gets SIGTERM or SIGINT
    kill    it is killed with -9
    both    it is killed, and so is the writer, in any order; the writer comes back in the pause, or after it
    calm    it runs on: what comes out without these events

Now and then, and in every other pause, an application checkpoints, PASSIVE or TRUNCATE. An S3 store refuses, drops or
loses requests, for up to 0.4 s all of them; a store of files does not fail. What goes on follows from the seed, as far
as the processes let it. In the end the writer stops, then the replicator, cleanly, and all that it left is looked at
(`crash_check`).
"""

import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path

import apsw
import pytest

from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from replication.client.url import replica_client
from replication.errors import CorruptError
from replication.levels import LEVELS
from tests.support.crash_check import check_replica
from tests.support.crash_disturbance import Disturbance, checkpoint
from tests.support.crash_report import CrashReport
from tests.support.crash_systems import MIN_CHECKPOINT_PAGE_N, replicator
from tests.support.crash_writer import CrashWriter, prepare
from tests.support.litestream_program import FileReplica, ReplicaPlace, S3Replica
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, REGION, SECRET_ACCESS_KEY, S3Request, S3Server
from tests.support.waiting import wait_until

KINDS = ("clean", "kill", "both", "calm")
STORES = ("file", "s3")
ROUNDS = 200
BLIND_SHARE = 0.25  # of the rounds end whatever the replicator has come to
CHECKPOINT_SHARE = 0.5  # of the pauses have one by the application
LONGEST_RUN_S = 0.8
LONGEST_PAUSE_S = 0.6
STALL_TIMEOUT_S = 10.0
LAST_RUN_S = 1.0
REPLICA_PATH = "app"
TITLES = {"ours": "ours", "go": "Go program 0.5.17"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One run."""

    kind: str
    workload: int
    system: str = "ours"
    store: str = "s3"
    rounds: int = ROUNDS
    seed: int = 1

    @property
    def title(self) -> str:
        return f"{TITLES[self.system]}, {self.kind}, workload {self.workload}, {self.store}"

    def run(self, directory: Path | None = None) -> CrashReport:
        """Run it and return what was found; database, logs and what was replicated stay if a directory is given."""
        with ExitStack() as stack:
            if directory is None:
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crash-")))
            stack.enter_context(_sigint_reaches_children())
            server = stack.enter_context(S3Server()) if self.store == "s3" else None
            return _Run(self, directory, server).run()


class _Run:
    def __init__(self, crash: Crash, directory: Path, server: S3Server | None) -> None:
        self._crash = crash
        self._directory = directory
        self._server = server
        self._chance = random.Random(crash.seed)  # noqa: S311  # a schedule
        self._database = directory / "app.db"
        self._local_directory = directory / ".app.db-litestream/ltx/0"
        self._place = _place(directory, server)
        self._writer = CrashWriter(self._database, crash.workload, crash.seed)
        self._replicator = replicator(crash.system, directory, self._database, self._place)
        self._stalled = self._failed_ends = self._checkpoints = 0

    def run(self) -> CrashReport:
        crash = self._crash
        prepare(self._database, crash.workload)
        disturbance = Disturbance(self._database, self._server, crash.seed)
        try:
            start = time.monotonic()
            self._writer.start()
            with disturbance:
                self._rounds()
            seconds = time.monotonic() - start
            self._finish()
        finally:
            self._replicator.kill()
            self._writer.kill()
        connection = apsw.Connection(str(self._database))
        commits = connection.execute("SELECT value FROM counter").get
        source = bytes(connection.serialize("main"))
        connection.close()
        report = CrashReport(
            title=crash.title,
            seed=crash.seed,
            rounds=crash.rounds,
            seconds=seconds,
            commits=commits,
            forgotten=max(0, self._writer.acknowledged - commits),
            checkpoints=self._checkpoints + disturbance.checkpoints,
            failed_requests=0 if self._server is None else sum(map(_has_failed, self._server.requests())),
            stalled=self._stalled,
            failed_ends=self._failed_ends,
            findings=check_replica(self._client(), source, place=self._place, seed=crash.seed),
        )
        if self._server is not None:
            _keep(self._client(), self._directory / "replica")
        return report

    def _rounds(self) -> None:
        if self._crash.kind == "calm":
            self._replicator.start()
            time.sleep(self._crash.rounds * (LONGEST_RUN_S + LONGEST_PAUSE_S) / 2)
            return
        for _ in range(self._crash.rounds):
            self._run_replicator()
            time.sleep(self._chance.uniform(0, LONGEST_RUN_S))
            if self._crash.kind == "clean":
                self._end(self._chance.choice((signal.SIGTERM, signal.SIGINT)))
            elif self._crash.kind == "kill":
                self._end(signal.SIGKILL)
            else:
                self._kill_both()
            self._pause(self._chance.uniform(0, LONGEST_PAUSE_S))

    def _pause(self, seconds: float) -> None:
        """Let the writer go on or come back, and the application checkpoint, at any time in a pause."""
        events: list[tuple[float, Callable[[], None]]] = []
        if self._chance.random() < CHECKPOINT_SHARE:
            events.append((self._chance.uniform(0, seconds), self._checkpoint))
        if not self._writer.is_running:
            events.append((self._chance.uniform(0, LONGEST_PAUSE_S), self._writer.start))
        start = time.monotonic()
        for at_s, event in sorted(events, key=itemgetter(0)):
            if at_s <= seconds:
                time.sleep(max(0.0, start + at_s - time.monotonic()))
                event()
        time.sleep(max(0.0, start + seconds - time.monotonic()))

    def _checkpoint(self) -> None:
        checkpoint(self._database, self._chance)
        self._checkpoints += 1

    def _run_replicator(self) -> None:
        """Start the replicator, and as a rule wait until it has written a file."""
        before = self._local_files()
        pages = self._chance.choice(MIN_CHECKPOINT_PAGE_N)
        self._replicator.settings = replace(self._replicator.settings, min_checkpoint_page_count=pages)
        self._replicator.start()
        if not self._writer.is_running:
            self._writer.start()
        if self._chance.random() < BLIND_SHARE:
            return
        try:
            wait_until(lambda: self._local_files() != before, "a level-0 file", timeout_s=STALL_TIMEOUT_S)
        except AssertionError:
            self._stalled += 1

    def _kill_both(self) -> None:
        kills: list[Callable[[], None]] = [partial(self._end, signal.SIGKILL), self._writer.kill]
        self._chance.shuffle(kills)
        for kill in kills:
            kill()

    def _end(self, signal_number: int) -> None:
        try:
            code = self._replicator.stop(signal_number)
        except pytest.fail.Exception:  # it did not end in time, and was killed
            code = None
        # One that is stopped in the midst of its start may not know yet what it should do then.
        if code != -signal_number and (code != 0 or signal_number == signal.SIGKILL):
            self._failed_ends += 1

    def _finish(self) -> None:
        """Let the replicator come to the end."""
        if self._crash.kind != "calm":
            self._run_replicator()
        time.sleep(LAST_RUN_S)
        self._writer.stop()
        self._end(signal.SIGTERM)

    def _local_files(self) -> set[str]:
        try:
            return {path.name for path in self._local_directory.iterdir()}
        except FileNotFoundError:
            return set()

    def _client(self) -> ReplicaClient:
        if self._server is None:
            return FileReplicaClient(self._directory / "replica")
        return replica_client(self._server.url(REPLICA_PATH))


def _place(directory: Path, server: S3Server | None) -> ReplicaPlace:
    if server is None:
        return FileReplica(directory / "replica")
    return S3Replica(
        endpoint=server.endpoint,
        bucket=DEFAULT_BUCKET,
        path=REPLICA_PATH,
        access_key_id=ACCESS_KEY_ID,
        secret_access_key=SECRET_ACCESS_KEY,
        region=REGION,
    )


def _has_failed(request: S3Request) -> bool:
    return request.end is None or request.status >= 500


def _keep(client: ReplicaClient, directory: Path) -> None:
    """Copy a replica to a directory, where it can be looked at when the store is gone."""
    copy = FileReplicaClient(directory)
    for level in LEVELS:
        for info in client.ltx_files(level):
            with client.open_ltx_file(level, info.min_txid, info.max_txid) as reader, suppress(CorruptError):
                copy.write_ltx_file(level, info.min_txid, info.max_txid, reader)


@contextmanager
def _sigint_reaches_children() -> Iterator[None]:
    """Let what is started meanwhile end at SIGINT, which a shell has its background processes ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
