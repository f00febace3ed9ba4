"""A process that opens one system, answers one query, and ends: `python -m benchmarks.compare.reader JSON`.

It prints a line when the replica is open, so that this is known of a process that was ended before its query was, and
a line with the rest. Instants are `time.monotonic()`, which the S3 server has too. What a system loads at its first use
is loaded before, as the Go extension is; `benchmarks.bench_startup` has the time of that.
"""

import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

import apsw

from benchmarks.systems import GO, OURS, READ_ONLY

SECONDS_OF_NO_POLL = 3600.0
INDEX_QUIET_S = 2.0
INDEX_TIMEOUT_S = 60.0
_LOADED_AT_FIRST_USE = (
    "litestream.api",
    "litestream.exports",
    "numpy",
    "obstore",
    "replication.client.object_requests",
    "replication.client.s3",
    "vfs.functions",
    "vfs.open",
    "vfs.stats_report",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What to open, and what to ask."""

    system: str
    url: str
    sql: str
    bindings: tuple[object, ...] = ()
    prefetch: bool = True
    poll_interval_s: float = SECONDS_OF_NO_POLL
    waits_for_index: bool = False  # for what of the page index comes in the background

    def argument(self) -> str:
        """Return it as the process takes it."""
        return json.dumps(asdict(self))


def load(system: str) -> None:
    """Load what the system consists of."""
    if system == GO:
        loader = apsw.Connection(":memory:")
        loader.enable_load_extension(True)
        loader.load_extension(import_module("litestream_vfs").loadable_path())
    else:
        for name in _LOADED_AT_FIRST_USE:
            import_module(name)


def connect(system: str, url: str, *, poll_interval_s: float, prefetch: bool = True) -> apsw.Connection:
    """Open a replica in a system that is loaded, whose other options are its own defaults."""
    if system == OURS:
        import litestream

        return litestream.connect(url, poll_interval_s=poll_interval_s, prefetch=prefetch)
    query = f"vfs=litestream&replica_url={quote(url, safe='')}&poll_interval={poll_interval_s:g}s"
    return apsw.Connection(f"file:bench.db?{query}", flags=READ_ONLY)


def peak_mb() -> float:
    """Return the most memory that this process had: what getrusage says counts the parent's from before the exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) / 1024
    msg = "expected a line VmHWM in /proc/self/status"
    raise AssertionError(msg)


def stats_of(system: str, connection: apsw.Connection) -> dict[str, object]:
    """Return the counters of ours; the Go extension has none."""
    if system == GO:
        return {}
    found: dict[str, object] = json.loads(connection.pragma("litestream_stats"))
    return found


def wait_for_index(connection: apsw.Connection) -> None:
    """Wait until the page index has stopped growing."""
    deadline = time.monotonic() + INDEX_TIMEOUT_S
    size, since = -1, time.monotonic()
    while time.monotonic() - since < INDEX_QUIET_S and time.monotonic() < deadline:
        time.sleep(INDEX_QUIET_S / 10)
        now = stats_of(OURS, connection)["index_size"]
        assert isinstance(now, int)
        if now != size:
            size, since = now, time.monotonic()


def main() -> None:
    work = Work(**json.loads(sys.argv[1]))
    load(work.system)
    base_mb = peak_mb()
    start = time.monotonic()
    connection = connect(work.system, work.url, poll_interval_s=work.poll_interval_s, prefetch=work.prefetch)
    opened = time.monotonic()
    print(json.dumps({"open": [start, opened]}), flush=True)
    begun = time.monotonic()
    rows = connection.execute(work.sql, work.bindings).fetchall()
    ended = time.monotonic()
    answer: dict[str, object] = {
        "query": [begun, ended],
        "rows": len(rows),
        "digest": hashlib.sha256(repr(rows).encode()).hexdigest(),
        "base_mb": base_mb,
        "peak_mb": peak_mb(),
    }
    if work.system == OURS and work.waits_for_index:
        wait_for_index(connection)
    answer |= {"stats": stats_of(work.system, connection), "last_peak_mb": peak_mb()}
    print(json.dumps(answer), flush=True)
    connection.close()


if __name__ == "__main__":
    main()
