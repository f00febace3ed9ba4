"""The demo: a database that changes is replicated, and its replica is read in place, at several instants, and restored.

Run by `make demo`. It ends by itself within a quarter of a minute, and with 1 if anything is not as it should be.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Self

import apsw

import litestream

WRITE_INTERVAL_S = 0.1
LOOKS = 6
LOOK_INTERVAL_S = 1.25
TIMEOUT_S = 20.0
ITEMS = ("apples", "bread", "cheese", "dates", "eggs")
COUNT = "SELECT count(*) FROM main.orders"
NEWEST = "SELECT id || ' ' || item FROM main.orders ORDER BY id DESC LIMIT 1"


class Writer(Thread):
    """The application: adds an order every tenth of a second."""

    def __init__(self, database: Path) -> None:
        """Make the database; nothing is written yet."""
        super().__init__(name="writer")
        self._stopping = Event()
        self.connection = apsw.Connection(str(database))
        self.connection.set_busy_timeout(5_000)
        self.connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)")

    def run(self) -> None:
        """Write until stopped."""
        number = 0
        while not self._stopping.wait(WRITE_INTERVAL_S):
            self.connection.execute("INSERT INTO orders (item) VALUES (?)", (ITEMS[number % len(ITEMS)],))
            number += 1

    def stop(self) -> int:
        """Stop, and return how many orders there are."""
        self._stopping.set()
        self.join()
        return int(self.connection.execute(COUNT).get)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def follow(connection: apsw.Connection) -> list[str]:
    """Look at the replica a few times, and return the TXIDs seen."""
    print("  orders  newest       TXID              data age")
    counts, txids = [], []
    for _ in range(LOOKS):
        with connection:  # one transaction sees one TXID
            count, newest = connection.execute(COUNT).get, connection.execute(NEWEST).get
            txid, age_s = connection.pragma("litestream_txid"), float(connection.pragma("litestream_data_age"))
        print(f"  {count:6}  {newest or '':11}  {txid}  {age_s:6.2f} s", flush=True)
        counts.append(count)
        txids.append(txid)
        time.sleep(LOOK_INTERVAL_S)
    check(counts == sorted(counts) and counts[-1] > counts[0], f"the number of orders went {counts}")
    return txids


def travel(connection: apsw.Connection) -> None:
    """Look at the replica as it was, and come back."""
    now = connection.execute(COUNT).get
    connection.pragma("litestream_time", "-3s")
    then = connection.execute(COUNT).get
    print(f"  {then} orders at TXID {connection.pragma('litestream_txid')} of {connection.pragma('litestream_time')}")
    check(then < now, f"{then} orders then, {now} now")
    connection.pragma("litestream_time", "latest")
    check(connection.execute(COUNT).get >= now, "the newest state did not come back")


def compare(connection: apsw.Connection, url: str, txid: str) -> None:
    """Ask one query of two instants."""
    connection.execute("ATTACH ? AS earlier", (f"file:earlier?vfs=litestream&replica_url={url}&txid={txid}",))
    sql = "SELECT item, count(*) FROM main.orders WHERE id NOT IN (SELECT id FROM earlier.orders) GROUP BY item"
    with connection:
        added = dict(connection.execute(sql))
        expected = connection.execute(f"SELECT ({COUNT}) - (SELECT count(*) FROM earlier.orders)").get  # noqa: S608 - ours
    print("  " + ", ".join(f"{count} {item}" for item, count in added.items()))
    check(added and sum(added.values()) == expected, f"{added}, expected {expected} in all")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until something holds; end the demo if it does not come."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        check(time.monotonic() < deadline, f"waited {TIMEOUT_S:g} s for {what}")
        time.sleep(0.05)


def check(good: object, what: str) -> None:
    """End the demo if something is not as it should be."""
    if not good:
        sys.exit(f"not as it should be: {what}")


def restore(url: str, output: Path, total: int) -> None:
    """Get the database back from its replica alone."""
    result = litestream.restore(url, output)
    with closing(apsw.Connection(str(output))) as connection:
        restored = connection.execute(COUNT).get
    print(f"  {restored} orders at TXID {result.txid:016x}, checked by SQLite")
    check(restored == total, f"{restored} orders restored, expected {total}")


def main() -> None:
    """Show it all."""
    with tempfile.TemporaryDirectory(prefix="litestream-demo-") as name:
        database, url = Path(name, "app.db"), f"file://{name}/replica"
        writer = Writer(database)
        with closing(writer.connection), litestream.replicate(writer.connection, url) as store, writer:
            print("An application adds ten orders a second, and what it commits is replicated.")
            wait_for(lambda: any(Path(name, "replica").rglob("*.ltx")), "the first file of the replica")
            with closing(litestream.connect(url, poll_interval_s=0.1)) as connection:
                print("\nThe replica, read in place while it grows:")
                txids = follow(connection)
                print("\nThe same connection, PRAGMA litestream_time='-3s':")
                travel(connection)
                print(f"\nOne query over two instants: what was ordered since TXID {txids[1]}?")
                compare(connection, url, txids[1])
                total = writer.stop()
                store.sync()
                print("\nThe application has stopped, and the database is restored from its replica:")
                restore(url, Path(name, "restored.db"), total)
                wait_for(lambda: connection.execute(COUNT).get == total, f"the replica to show all {total} orders")
                print(f"\nThe application wrote {total} orders; the replica read in place shows {total} too.")


if __name__ == "__main__":
    main()
