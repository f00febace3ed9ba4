"""The process of ours in a crash run: `python -m tests.support.crash_replicator DB URL PAGES`.

It replicates until SIGTERM or SIGINT arrives, or nobody is left to send it, uploads what is left, and ends with 0; it
checkpoints at so many pages of WAL, and its log goes to standard error.
"""

import logging
import os
import signal
import sys
import threading
from contextlib import closing

import litestream

MONITOR_INTERVAL_S = 0.05
SYNC_INTERVAL_S = 0.05
LEVELS_S = (1, 5)
SNAPSHOT_INTERVAL_S = 5
PARENT_CHECK_INTERVAL_S = 1.0
RETENTION_S = 24 * 3600  # of all levels: whatever was written is still there to be checked


def main() -> None:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    database, url, pages = sys.argv[1:]
    store = litestream.replicate(
        database,
        url,
        levels=litestream.CompactionLevels.of(*LEVELS_S),
        monitor_interval_s=MONITOR_INTERVAL_S,
        sync_interval_s=SYNC_INTERVAL_S,
        min_checkpoint_page_n=int(pages),
        snapshot_interval_s=SNAPSHOT_INTERVAL_S,
        snapshot_retention_s=RETENTION_S,
        l0_retention_s=RETENTION_S,
    )
    parent = os.getppid()
    with closing(store):
        while os.getppid() == parent and not stopping.wait(PARENT_CHECK_INTERVAL_S):
            pass


if __name__ == "__main__":
    main()
