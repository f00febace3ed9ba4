"""An application whose database lives in a bucket: python examples/replicate_s3.py DATABASE BUCKET PATH.

When it starts without its database, as on a new machine, it restores that from the bucket. Then it replicates to the
bucket what it writes, until it is stopped. Keys come from where AWS's own tools find them: AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, a profile, a role. For another service than AWS, AWS_ENDPOINT_URL_S3 says where it is.
"""

import signal
import sys
from contextlib import closing
from pathlib import Path
from threading import Event

import apsw

import litestream

SCHEMA = "CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, message TEXT NOT NULL)"
INTERVAL_S = 0.5


def restore_if_missing(database: str, url: str) -> None:
    """Restore the database if it is not there and the bucket has it."""
    if Path(database).exists():
        print("the database is here", flush=True)
        return
    try:
        result = litestream.restore(url, database)
    except litestream.NoSnapshotsError:
        print("nothing to restore, this is a new database", flush=True)
    else:
        print(f"restored TXID {result.txid:016x}", flush=True)


def main(database: str, bucket: str, path: str) -> None:
    """Write events until stopped."""
    url = f"s3://{bucket}/{path}"
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    restore_if_missing(database, url)
    with closing(apsw.Connection(database)) as connection:
        connection.set_busy_timeout(5_000)
        connection.execute(SCHEMA)
        with litestream.replicate(connection, url):  # uploads once a second, and once more at the end
            while not stopping.wait(INTERVAL_S):
                connection.execute("INSERT INTO event (message) VALUES ('something happened')")
                print(f"event {connection.last_insert_rowid()}", flush=True)
    print("all is stored", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
