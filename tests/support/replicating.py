"""A process that replicates one database, to be killed: `python -m tests.support.replicating DB [REPLICA]`.

Without the directory of a replica it makes level-0 files, and no more.
"""

import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from replication.client.file import FileReplicaClient
from replication.replica import Replica
from tests.support.live_db import open_db
from tests.support.workload import PROJECT

INTERVAL_S = 0.005
CHECKPOINT_PAGES = 40
STOP_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Replicator:
    """The process; it may be started, and stopped or killed, again and again."""

    database: Path
    replica: Path | None = None
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait for its first sync."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.replicating",
                self.database,
                *([self.replica] if self.replica else []),
            ],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "synced\n", "the replicator did not start"

    def stop(self) -> None:
        """Ask it to end, which syncs once more, and wait for it."""
        process, self._process = self._process, None
        assert process is not None, "not started"
        process.terminate()
        process.communicate(timeout=STOP_TIMEOUT_S)
        assert process.returncode == 0

    def kill(self) -> None:
        """End it as a crash would."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()


def main() -> None:
    db = open_db(Path(sys.argv[1]), monitor_interval_s=INTERVAL_S)
    db.min_checkpoint_page_n = CHECKPOINT_PAGES
    db.busy_timeout_s = 10.0
    db.replicas = [Replica(db, FileReplicaClient(directory), sync_interval_s=0.0) for directory in sys.argv[2:]]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with db:
        db.sync()
        print("synced", flush=True)  # noqa: T201  # the test waits for it
        stopping.wait()


if __name__ == "__main__":
    main()
