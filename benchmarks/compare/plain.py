"""The yardstick of a scan: the same bytes of the snapshot, fetched by one process with 16 plain GETs in flight.

As a program it is that process: `python -m benchmarks.compare.plain ENDPOINT BUCKET KEY BYTES RANGE_SIZE`. It prints
the seconds, without those of its start and of the connections, which a scan has from opening the replica.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import obstore
from obstore.store import S3Store

from benchmarks.compare.queries import Query
from benchmarks.compare.reader import Work
from benchmarks.compare.run import run
from benchmarks.static_s3 import REGION, StaticS3
from benchmarks.systems import OURS, PROJECT

IN_FLIGHT = 16
RANGE_SIZES = (2**18, 2**20, 2**22)  # bytes
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A scan, or the same bytes fetched plainly."""

    name: str
    seconds: float
    requests: int
    bytes: int


def measure(server: StaticS3, url: str, scan: Query, snapshot: tuple[str, str], rounds: int) -> list[Fetched]:
    """Let the scan and the plain GETs of each size take turns; the scan comes first in the list.

    `snapshot` is its bucket and key.
    """
    scans, plain = [], {size: list[float]() for size in RANGE_SIZES}
    for _ in range(rounds):
        scans.append(run(server, Work(system=OURS, url=url, sql=scan.sql, bindings=scan.bindings)))
        size = scans[-1].query.bytes
        for range_size, seconds in plain.items():
            command = [sys.executable, "-m", "benchmarks.compare.plain", server.endpoint, *snapshot]
            command += [str(size), str(range_size)]
            done = subprocess.run(
                command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT_S
            )
            seconds.append(float(done.stdout))
    scanned = sorted(scans, key=lambda one: one.query_s)[rounds // 2]
    size = scanned.query.bytes
    return [
        Fetched("full scan", scanned.query_s, scanned.query.requests, size),
        *(
            Fetched(f"GETs of {range_size >> 10:,} KiB", median(seconds), -(-size // range_size), size)
            for range_size, seconds in plain.items()
        ),
    ]


def in_bucket(endpoint: str, bucket: str) -> S3Store:
    """Return obstore's view of a bucket of the server."""
    return S3Store(
        bucket,
        endpoint=endpoint,
        region=REGION,
        access_key_id="test",
        secret_access_key="test",  # noqa: S106 - a loopback server takes any
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def fetch(endpoint: str, bucket: str, key: str, starts: Sequence[int], range_size: int) -> float:
    """Fetch the ranges that begin there, and return the seconds."""
    store = in_bucket(endpoint, bucket)
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(lambda _: obstore.get_range(store, key, start=0, end=1), range(IN_FLIGHT)))
        begun = time.perf_counter()
        for _ in pool.map(lambda start: obstore.get_range(store, key, start=start, end=start + range_size), starts):
            pass
        return time.perf_counter() - begun


def main() -> None:
    endpoint, bucket, key, size, range_size = sys.argv[1:]
    print(fetch(endpoint, bucket, key, range(0, int(size), int(range_size)), int(range_size)))


if __name__ == "__main__":
    main()
