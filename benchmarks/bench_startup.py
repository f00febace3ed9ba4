"""Start-up: what `import litestream` costs beside `import apsw`, and the time from process start to the first row.

Every measurement is a fresh process; the commands take turns, and medians are reported. `python -m
benchmarks.bench_startup`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.bench_warm import make_database, make_replica
from benchmarks.systems import GO, OURS, PROJECT
from tests.support.litestream_program import environment

ROUNDS = 15
DATABASE_SIZE = 1_000_000  # bytes
CACHE_SIZE = 10 * 2**20
COMMAND_TIMEOUT_S = 60.0

_FIRST_ROW_OURS = """
import litestream
litestream.connect({url!r}).execute("SELECT number FROM item WHERE id = 1").get
"""
_FIRST_ROW_GO = """
import apsw, litestream_vfs
from urllib.parse import quote
loader = apsw.Connection(":memory:")
loader.enable_load_extension(True)
loader.load_extension(litestream_vfs.loadable_path())
flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
connection = apsw.Connection("file:bench.db?vfs=litestream&replica_url=" + quote({url!r}, safe=""), flags=flags)
connection.execute("SELECT number FROM item WHERE id = 1").get
"""


def run_once(code: str) -> float:
    """Run a piece of code in a fresh interpreter and return the seconds to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, timeout=COMMAND_TIMEOUT_S, env=environment())
    return time.perf_counter() - start


def measure(codes: dict[str, str], rounds: int) -> dict[str, float]:
    """Return the median seconds of each piece of code, after one round that fills the file cache."""
    seconds: dict[str, list[float]] = {name: [] for name in codes}
    for number in range(rounds + 1):
        for name, code in codes.items():
            taken = run_once(code)
            if number > 0:
                seconds[name].append(taken)
    return {name: median(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare start-up.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--systems", nargs="+", choices=[OURS, GO], default=[OURS, GO])
    options = parser.parse_args()

    imports = {"nothing": "pass", "import apsw": "import apsw", "import litestream": "import litestream"}
    imported = measure(imports, options.rounds)
    print(f"process that imports and ends, median of {options.rounds}")
    for name, value in imported.items():
        print(f"  {name:18} {value * 1e3:7.1f} ms  ({(value - imported['nothing']) * 1e3:+.1f} ms)")

    with tempfile.TemporaryDirectory(prefix="bench-startup-") as name:
        directory = Path(name)
        make_database(directory / "app.db", DATABASE_SIZE)
        url = make_replica(directory, directory / "app.db").url
        codes = {OURS: _FIRST_ROW_OURS.format(url=url), GO: _FIRST_ROW_GO.format(url=url)}
        first_rows = measure({system: codes[system] for system in options.systems}, options.rounds)
    print(f"process start to the first row of a file replica, and its end, median of {options.rounds}")
    for system, value in first_rows.items():
        print(f"  {system:18} {value * 1e3:7.1f} ms")


if __name__ == "__main__":
    main()
