"""Replicate a database that an application writes to: python examples/replicate.py DATABASE URL [EVENTS].

URL says where the replica goes: file:///path, or s3://bucket/path with the keys of the environment.
"""

import sys
import time
from contextlib import closing
from datetime import UTC, datetime

import apsw

import litestream

LEVELS = litestream.CompactionLevels.of(10.0)  # level 1, every ten seconds
SCHEMA = "CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, message TEXT NOT NULL)"
INTERVAL_S = 0.2


def main(database: str, url: str, events: int = 5) -> None:
    """Write events, each of which is stored in the replica before the next one is written."""
    with closing(apsw.Connection(database)) as connection:
        connection.set_busy_timeout(5_000)
        connection.execute(SCHEMA)
        with litestream.replicate(connection, url, levels=LEVELS) as store:
            for _ in range(events):
                now = datetime.now(UTC).isoformat(timespec="seconds")
                with connection:
                    connection.execute("INSERT INTO event (message) VALUES (?)", (f"It is {now}",))
                # The background would upload it soon. This waits for it: from here on the event outlives this machine.
                pos = store.sync()
                print(f"event {connection.last_insert_rowid()} is stored at TXID {pos.txid:016x}", flush=True)
                time.sleep(INTERVAL_S)
        # The end of the block stored everything that was still to be stored.


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
