"""What the Go extension reads of a replica, in a process of its own: loading it breaks later opens of other databases.

As a program it is that process: `python -m tests.support.go_extension URL` prints the dump of `tests.support.history`.
"""

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from urllib.parse import quote

import apsw

from tests.support.history import dump
from tests.support.litestream_program import ReplicaPlace, environment, require
from tests.support.workload import PROJECT

TIMEOUT_S = 60.0


def read_through_extension(place: ReplicaPlace) -> str:
    """Return the newest state of a replica, as text."""
    require("litestream-vfs", present=find_spec("litestream_vfs") is not None)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.go_extension", place.url],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env=environment(place),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def main(url: str) -> None:
    loader = apsw.Connection(":memory:")
    loader.enable_load_extension(True)
    loader.load_extension(import_module("litestream_vfs").loadable_path())
    connection = apsw.Connection(
        f"file:app.db?vfs=litestream&replica_url={quote(url, safe='')}",
        flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
    )
    sys.stdout.write(dump(connection))


if __name__ == "__main__":
    main(*sys.argv[1:])
