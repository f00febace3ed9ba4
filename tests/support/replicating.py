"""A process that replicates one database, to be killed: `python -m tests.support.replicating DB`."""

import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.support.live_db import open_db
from tests.support.workload import PROJECT

INTERVAL_S = 0.005
CHECKPOINT_PAGES = 40


@dataclass(slots=True)
class Replicator:
    """The process; it may be started and killed again and again."""

    database: Path
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait for its first sync."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.replicating", str(self.database)],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "synced\n", "the replicator did not start"

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
    with db:
        db.sync()
        print("synced", flush=True)  # noqa: T201  # the test waits for it
        threading.Event().wait()


if __name__ == "__main__":
    main()
