"""Reading a WAL: the checksum of a frame, one pair of words after the other and of many frames at once, and page maps.

    python -m benchmarks.bench_wal

Microseconds per frame, best of a few rounds; the WAL is in memory.
"""

import argparse
import random
import time
from collections.abc import Callable

from replication.wal.chain import check_frames
from replication.wal.checksum import ByteOrder, checksum
from replication.wal.frame import WAL_FRAME_HEADER_SIZE
from replication.wal.header import WAL_HEADER_SIZE, WALHeader
from replication.wal.reader import WALReader
from tests.support.wal_files import make_wal, reader_of

ROUNDS = 7
WAL_SIZE = 1 << 23  # bytes
PAGE_SIZES = (512, 4096, 65536)
ORDERS: tuple[ByteOrder, ...] = ("little", "big")


def best(work: Callable[[], object], frames: int) -> float:
    """Return the microseconds per frame of the fastest round."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds) / frames * 1e6


def read_all(wal: bytes) -> None:
    reader = WALReader(reader_of(wal))
    while reader.read_frame() is not None:
        pass


def measure(page_size: int, byteorder: ByteOrder, size: int) -> None:
    count = max(1, size // (page_size + WAL_FRAME_HEADER_SIZE))
    chance = random.Random(page_size)  # noqa: S311 - a workload, not a secret
    pages = ((1 + number % 100, 100, chance.randbytes(page_size)) for number in range(count))
    wal = make_wal(pages, page_size=page_size, byteorder=byteorder)
    header = WALHeader.unpack(wal)
    piece = wal[WAL_HEADER_SIZE : WAL_HEADER_SIZE + (1 << 20)]
    page = piece[:page_size]
    frames = len(piece) // (page_size + WAL_FRAME_HEADER_SIZE)

    def check() -> None:
        run = check_frames(piece, page_size=page_size, byteorder=byteorder, salts=header.salts, sums=header.sums)
        assert len(run) == frames

    times = [
        best(lambda: checksum(byteorder, 0, 0, page), 1),
        best(check, frames),
        best(lambda: WALReader(reader_of(wal)).page_map(), count),
        best(lambda: read_all(wal), count),
    ]
    print(f"{page_size:9} {byteorder:>7}" + "".join(f"{value:12.2f}" for value in times))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how fast a WAL is read.")
    parser.add_argument("--size", type=int, default=WAL_SIZE, help="of the WAL, in bytes")
    options = parser.parse_args()
    print(f"{'page size':>9} {'words':>7}{'scalar':>12}{'bulk':>12}{'page_map':>12}{'read_frame':>12}  us per frame")
    for page_size in PAGE_SIZES:
        for byteorder in ORDERS:
            measure(page_size, byteorder, options.size)


if __name__ == "__main__":
    main()
