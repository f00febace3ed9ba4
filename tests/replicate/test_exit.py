"""A program that ends may close what it replicates at the very last: what it committed is stored then.

Bugs planted to try these tests: a close that needs threads, which cannot be started any more when the program ends.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from replication.client.file import FileReplicaClient
from replication.parallel import MAX_THREADS, in_parallel
from tests.support.live_db import connect, image
from tests.support.restoring import restore_to
from tests.support.workload import PROJECT

TIMEOUT_S = 60.0
SCRIPT = """
import atexit, sys
import apsw, litestream
path, *urls = sys.argv[1:]
application = apsw.Connection(path)
store = litestream.replicate(path, *urls, monitor_interval_s=0)
atexit.register(store.close)
application.execute("INSERT INTO item VALUES (NULL, 1)")
"""


@pytest.mark.parametrize("replica_count", [1, 3])
def test_a_program_may_close_at_its_very_end(tmp_path: Path, replica_count: int) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    places = [tmp_path / f"{number}" for number in range(replica_count)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "app.db", *[f"file://{place}" for place in places]],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for place in places:
        output = tmp_path / f"{place.name}.db"
        restore_to(FileReplicaClient(place), output)
        assert output.read_bytes() == image(application)
    application.close()


def test_each_is_called_once_and_the_first_that_failed_is_told() -> None:
    called = list[int]()

    def call(number: int) -> None:
        called.append(number)
        if number % 10 == 7:
            raise ValueError(number)

    in_parallel([])
    with pytest.raises(ValueError, match=r"^7$"):
        in_parallel([lambda number=number: call(number) for number in range(3 * MAX_THREADS)])  # type: ignore[misc]
    assert sorted(called) == list(range(3 * MAX_THREADS))
