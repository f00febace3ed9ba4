"""A forked child has what its parent opened, and leaves it alone: neither its commits nor its lease are the child's.

Bugs planted to try these tests: a close in the child that syncs, one that waits for the parent's threads.
"""

import subprocess
import sys
from pathlib import Path

from replication.client.file import FileReplicaClient
from tests.support.live_db import connect, image
from tests.support.restoring import restore_to
from tests.support.workload import PROJECT

TIMEOUT_S = 30.0
SCRIPT = """
import os, sys
import apsw, litestream
from replication.errors import UsageError
path, url = sys.argv[1:]
application = apsw.Connection(path)
with litestream.replicate(path, url, monitor_interval_s=0) as store:
    (db,) = store.dbs()
    store.sync()
    lease = open(url.removeprefix("file://") + "/lock.json").read()
    application.execute("INSERT INTO item VALUES (NULL, 1)")
    child = os.fork()
    if not child:
        for call in (store.sync, db.sync, db.checkpoint):
            try:
                call()
            except UsageError as error:
                assert "fork" in str(error), error
            else:
                raise AssertionError(call)
        store.close()
        db.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert open(url.removeprefix("file://") + "/lock.json").read() == lease
    application.execute("INSERT INTO item VALUES (NULL, 2)")
    assert store.sync().txid == 2
    application.execute("INSERT INTO item VALUES (NULL, 3)")
assert db.pos().txid == 3
"""
BUSY = """
import os, sys, threading
import apsw, litestream
from replication.client.memory import MemoryReplicaClient
from tests.support.faulty_client import FaultyClient
client = FaultyClient(MemoryReplicaClient())
gate = client.hold("write_ltx_file")
with litestream.replicate(sys.argv[1], client) as store:
    gate.wait_until_reached()
    lock = store.dbs()[0]._lock
    holding = threading.Thread(target=lambda: lock.acquire() and threading.Event().wait(), daemon=True)
    holding.start()
    while lock.acquire(blocking=False):
        lock.release()
    if not os.fork():
        store.close()
        os._exit(0)
    print(os.wait()[1], flush=True)
    os._exit(0)
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_a_child_that_closes_what_its_parent_opened_disturbs_nothing(tmp_path: Path) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    done = run(SCRIPT, tmp_path / "app.db", f"file://{tmp_path}/replica")
    assert (done.returncode, done.stderr) == (0, "")
    restore_to(FileReplicaClient(tmp_path / "replica"), tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == image(application)
    application.close()


def test_a_child_waits_for_no_thread_of_its_parent(tmp_path: Path) -> None:
    connect(tmp_path / "app.db").close()
    done = run(BUSY, tmp_path / "app.db")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
