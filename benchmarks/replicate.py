"""Replicating with ours until SIGTERM: `python -m benchmarks.replicate replicate DB URL`, or `-config FILE`."""

import json
import signal
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import litestream
from replication.client.url import replica_client
from replication.compaction_levels import DEFAULT_COMPACTION_LEVELS, CompactionLevel
from replication.db import DB
from replication.replica import Replica
from replication.store import Store


def store_of(config: Path) -> Store:
    dbs, settings = [], json.loads(config.read_text())
    for entry in settings["dbs"]:
        db, replica = DB(entry["path"]), entry["replica"]
        keys = f"{quote(replica['access-key-id'])}:{quote(replica['secret-access-key'], safe='')}@"
        options = f"endpoint={quote(replica['endpoint'], safe='')}&region={replica['region']}&forcePathStyle=true"
        url = f"s3://{keys}{replica['bucket']}/{replica['path']}?{options}"
        db.replicas = [Replica(db, replica_client(url))]
        dbs.append(db)
    intervals_s = [0.0, *(float(level["interval"].removesuffix("s")) for level in settings.get("levels", ()))]
    levels = [CompactionLevel(level, interval_s) for level, interval_s in enumerate(intervals_s)]
    store = Store(dbs, levels if len(levels) > 1 else DEFAULT_COMPACTION_LEVELS)
    store.open()
    return store


def main() -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    source, target = sys.argv[2:4]
    with store_of(Path(target)) if source == "-config" else litestream.replicate(source, target):
        while not stopped.wait(3600.0):
            pass


if __name__ == "__main__":
    main()
