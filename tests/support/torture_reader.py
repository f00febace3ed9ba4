"""The readers of a torture run: one process, eight threads of short transactions and one of long ones.

It reads a replica that `tests.support.workload` writes, through our VFS or through the Go extension, and prints one
JSON object. The Go extension needs a process of its own: loading it breaks later opens of other databases.

A short transaction reads the counter and the log, now and then the sum of the cells too: all must be equal. A long one
holds one view and reads pages it has not read before, by the slice, while the files they lie in are compacted and
deleted; SQLite's cache size is 0 for it and the VFS's next to 0, so that its reads go to the store. What it read before
must not change.
"""

import argparse
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import import_module
from typing import Any
from urllib.parse import quote

import apsw

OURS, GO = "ours", "go"
NAMES = ("a", "b")
LONG_NAME = "long"
# The long reader has a read replica of its own, whose cache holds next to nothing: its pages come from the store.
LONG_CACHE_SIZE = 65_536  # bytes
DEFAULT_CACHE_SIZE = 10 * 2**20
CACHE_SIZES = {**dict.fromkeys(NAMES, DEFAULT_CACHE_SIZE), LONG_NAME: LONG_CACHE_SIZE}
LONG_CHECK_INTERVAL_S = 0.5
SUM_EVERY = 20  # short transactions per one that adds up the cells
ERROR_TEXT_SIZE = 200
JOIN_TIMEOUT_S = 120.0

# The time beside max(id) is that of the same row: sqlite.org/lang_select.html#bareagg
READ_LOG = "SELECT count(*), ifnull(max(id), 0), written_at FROM log"
SNAPSHOT_GONE = apsw.SQLITE_BUSY_SNAPSHOT


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """What one process reads, and for how long."""

    system: str  # OURS or GO
    url: str
    seconds: float
    long_s: float
    threads_per_name: int = 4
    pause_ms: float = 4.0
    poll_interval_s: float = 1.0


@dataclass(slots=True)
class ShortTally:
    """What the short transactions of one thread saw."""

    ok: int = 0
    inconsistent: int = 0
    backwards: int = 0  # a TXID below the one this connection saw before
    errors: dict[str, int] = field(default_factory=dict)  # text to count
    last_seen: list[tuple[float, int]] = field(default_factory=list)  # last instant of each run of equal TXIDs
    data_age_s: float = 0.0  # the greatest age of the newest row at the begin of a transaction

    def see(self, instant: float, txid: int) -> None:
        if self.last_seen and self.last_seen[-1][1] == txid:
            self.last_seen.pop()
        elif self.last_seen and self.last_seen[-1][1] > txid:
            self.backwards += 1
        self.last_seen.append((instant, txid))


@dataclass(slots=True)
class LongTally:
    """How the long transactions ended."""

    ok: int = 0
    snapshot_gone: int = 0
    wrong: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)  # text to count


class WrongAnswerError(Exception):
    """A view was inconsistent in itself, or changed while it was held."""


def open_ours(settings: ReaderSettings) -> Callable[[str], apsw.Connection]:
    import litestream

    for name, cache_size in CACHE_SIZES.items():
        litestream.register_read_replica(
            name, settings.url, poll_interval_s=settings.poll_interval_s, cache_size=cache_size
        )
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return lambda name: apsw.Connection(f"file:{name}?vfs=litestream", flags=flags)


def stats_ours() -> dict[str, Any]:
    import litestream

    return {name: litestream.read_replica(name).stats() for name in CACHE_SIZES}


def open_go(settings: ReaderSettings) -> Callable[[str], apsw.Connection]:
    """Load the extension; every connection gets its settings in its URI, which wins over the environment."""
    loader = apsw.Connection(":memory:")
    loader.enable_load_extension(True)
    loader.load_extension(import_module("litestream_vfs").loadable_path())
    query = f"vfs=litestream&replica_url={quote(settings.url, safe='')}&poll_interval={settings.poll_interval_s}s"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI

    def connect(name: str) -> apsw.Connection:
        # The loader stays open as long as this function lives.
        assert loader is not None
        return apsw.Connection(f"file:{name}.db?{query}&cache_size={CACHE_SIZES[name]}", flags=flags)

    return connect


def read_short(
    connect: Callable[[], apsw.Connection], settings: ReaderSettings, deadline: float, tally: ShortTally, delay_s: float
) -> None:
    """Read in short transactions until the deadline.

    `delay_s` spreads the opening over one poll interval, so that polls of connections that poll by themselves fall
    before and after the program's own ticks.
    """
    time.sleep(delay_s)
    connection: apsw.Connection | None = None
    transactions = 0
    while time.monotonic() < deadline:
        begun_at, begun_at_wall = time.monotonic(), time.time()
        transactions += 1
        try:
            if connection is None:
                connection = connect()
            connection.execute("BEGIN")
            counter = connection.execute("SELECT value FROM counter").get
            count, last, written_at = connection.execute(READ_LOG).get
            total = connection.execute("SELECT sum(value) FROM cell").get if transactions % SUM_EVERY == 0 else None
            txid = int(connection.pragma("litestream_txid"), 16)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # whatever reaches the caller is a failed read
            count_error(tally.errors, error)
            roll_back(connection)
        else:
            if counter == count == last and total in (None, counter):
                tally.ok += 1
            else:
                tally.inconsistent += 1
            tally.see(begun_at, txid)
            if written_at is not None:
                tally.data_age_s = max(tally.data_age_s, begun_at_wall - written_at)
        time.sleep(settings.pause_ms / 1000)
    if connection is not None:
        connection.close()


def read_long(
    connect: Callable[[], apsw.Connection], settings: ReaderSettings, deadline: float, tally: LongTally
) -> None:
    """Hold one long transaction after the other, as long as a whole one still fits before the deadline."""
    connection: apsw.Connection | None = None
    while time.monotonic() + settings.long_s < deadline:
        try:
            if connection is None:
                connection = connect()
                connection.execute("PRAGMA cache_size = 0")
            connection.execute("BEGIN")
            hold(connection, settings.long_s, txid_is_pinned=settings.system == OURS)
            connection.execute("COMMIT")
        except WrongAnswerError as error:
            tally.wrong.append(str(error))
            roll_back(connection)
        except Exception as error:  # noqa: BLE001  # as above
            if getattr(error, "extendedresult", None) == SNAPSHOT_GONE:
                tally.snapshot_gone += 1
            else:
                count_error(tally.errors, error)
            roll_back(connection)
            time.sleep(LONG_CHECK_INTERVAL_S)
        else:
            tally.ok += 1
    if connection is not None:
        connection.close()


def hold(connection: apsw.Connection, long_s: float, *, txid_is_pinned: bool) -> None:
    """Read in one transaction for `long_s`.

    `txid_is_pinned` says that the TXID must stand still as well; the Go extension gives the newest one it has polled.

    Raises:
        WrongAnswerError: the view was inconsistent in itself, or changed.

    """
    chance = random.Random(0)  # noqa: S311  # a workload, not a secret
    counter = connection.execute("SELECT value FROM counter").get
    txid = connection.pragma("litestream_txid")
    cells = connection.execute("SELECT max(id) FROM cell").get or 0
    check_count = max(2, int(long_s / LONG_CHECK_INTERVAL_S))
    start = time.monotonic()
    sums: list[int] = []
    for number in range(check_count):
        sums.append(slice_sum(connection, number, check_count, cells))
        earlier = chance.randrange(len(sums))
        expect(f"slice {earlier} of the cells", sums[earlier], slice_sum(connection, earlier, check_count, cells))
        expect("the counter", counter, connection.execute("SELECT value FROM counter").get)
        expect("the last row", counter, connection.execute("SELECT ifnull(max(id), 0) FROM log").get)
        if txid_is_pinned:
            expect("the TXID", txid, connection.pragma("litestream_txid"))
        time.sleep(max(0.0, start + (number + 1) * long_s / check_count - time.monotonic()))
    if cells:
        expect("the sum of the cells", counter, sum(sums))
    expect("the number of rows", counter, connection.execute("SELECT count(*) FROM log").get)


def expect(what: str, expected: object, actual: object) -> None:
    if actual != expected:
        msg = f"{what}: expected {expected}, got {actual}"
        raise WrongAnswerError(msg)


def slice_sum(connection: apsw.Connection, number: int, check_count: int, cells: int) -> int:
    """Return the sum of one of `check_count` slices of the cells."""
    bounds = (number * cells // check_count, (number + 1) * cells // check_count)
    return int(connection.execute("SELECT ifnull(sum(value), 0) FROM cell WHERE id > ? AND id <= ?", bounds).get)


def roll_back(connection: apsw.Connection | None) -> None:
    """End a transaction that may have ended by itself."""
    if connection is not None and connection.in_transaction:
        connection.execute("ROLLBACK")


def count_error(errors: dict[str, int], error: Exception) -> None:
    text = f"{type(error).__name__} {getattr(error, 'extendedresult', '')}: {error}"[:ERROR_TEXT_SIZE]
    errors[text] = errors.get(text, 0) + 1


def read(settings: ReaderSettings) -> dict[str, Any]:
    """Read in nine threads for `seconds`; return the tallies as plain values."""
    connect = open_go(settings) if settings.system == GO else open_ours(settings)
    deadline = time.monotonic() + settings.seconds
    shorts: list[ShortTally] = []
    threads: list[threading.Thread] = []
    for name in NAMES:
        for number in range(settings.threads_per_name):
            shorts.append(ShortTally())
            delay_s = settings.poll_interval_s * len(shorts) / (len(NAMES) * settings.threads_per_name)
            work = partial(read_short, partial(connect, name), settings, deadline, shorts[-1], delay_s)
            threads.append(threading.Thread(target=work, name=f"short {name}{number}", daemon=True))
    longs = LongTally()
    work = partial(read_long, partial(connect, LONG_NAME), settings, deadline, longs)
    threads.append(threading.Thread(target=work, name="long", daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(settings.seconds + JOIN_TIMEOUT_S)
    stuck = [thread.name for thread in threads if thread.is_alive()]
    return {
        "shorts": [asdict(tally) for tally in shorts],
        "longs": asdict(longs),
        "stuck": stuck,
        "stats": stats_ours() if settings.system == OURS else {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Read a replica under torture.")
    parser.add_argument("settings", help="ReaderSettings as JSON")
    settings = ReaderSettings(**json.loads(parser.parse_args().settings))
    print(json.dumps(read(settings)))  # noqa: T201  # the answer to whoever started it


if __name__ == "__main__":
    main()
