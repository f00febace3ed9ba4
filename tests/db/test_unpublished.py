"""A commit whose frames are in the WAL for long before others can see it is noticed when they can.

SQLite writes the frames, syncs the file, and only then publishes the commit in the shared memory. So the size and the
time of the WAL say nothing of a commit that has just been published after a slow sync.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from replication.client.memory import MemoryReplicaClient
from replication.replica import Replica
from replication.sync.wal_state import TICK, WALState
from tests.support.live_db import connect, image, open_db, restored
from tests.support.waiting import wait_until

TIMEOUT_S = 20.0
VFS_NAME = "slow-wal"


class _SlowWAL(apsw.VFSFile):
    def __init__(self, vfs: "_SlowVFS", name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        if self._vfs.is_slow:
            self._vfs.reached.set()
            assert self._vfs.released.wait(TIMEOUT_S)


class _SlowVFS(apsw.VFS):
    """The default VFS; a sync of the WAL takes until the test lets it end."""

    def __init__(self) -> None:
        self.is_slow = False
        self.reached = threading.Event()
        self.released = threading.Event()
        super().__init__(VFS_NAME, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            return _SlowWAL(self, name, flags)
        return apsw.VFSFile("", name, flags)


@pytest.fixture
def vfs() -> Iterator[_SlowVFS]:
    vfs = _SlowVFS()
    yield vfs
    vfs.unregister()


def has_settled(path: Path) -> bool:
    """Whether the last write to the WAL lies well behind."""
    state = WALState.look(f"{path}-wal")
    return time.time() > state.mtime_ns / 1e9 + 2 * TICK.total_seconds()


@pytest.mark.parametrize("commits_before", [3, 0])
def test_a_commit_that_was_published_after_a_slow_sync_is_noticed(
    tmp_path: Path, vfs: _SlowVFS, commits_before: int
) -> None:
    path = tmp_path / "app.db"
    connect(path).close()
    application = apsw.Connection(str(path), vfs=VFS_NAME)
    application.wal_autocheckpoint(0)
    application.pragma("synchronous", "FULL")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    with open_db(path) as db:
        db.replica = Replica(db, MemoryReplicaClient(), monitor_enabled=False)
        db.checkpoint()  # the next commit starts the WAL over, or follows on those that do
        for _ in range(commits_before):
            application.execute("INSERT INTO item VALUES (NULL, randomblob(500))")
        before = db.sync().txid
        vfs.is_slow = True
        writer = threading.Thread(
            target=lambda: application.execute("INSERT INTO item VALUES (NULL, randomblob(3000))"), name="writer"
        )
        writer.start()
        assert vfs.reached.wait(TIMEOUT_S)
        wait_until(lambda: has_settled(path), "the WAL to look as if nobody wrote", timeout_s=TIMEOUT_S)
        assert db.sync().txid == before, "it is not committed yet"
        vfs.is_slow = False
        vfs.released.set()
        writer.join()
        assert db.sync().txid == before + 1
        assert restored(db, tmp_path) == image(application)
    application.close()


def test_frames_that_were_rolled_back_keep_nobody_from_noticing_the_next_commit(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = connect(path)
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    application.pragma("cache_size", 1)
    with open_db(path) as db:
        before = db.sync().txid
        application.execute("BEGIN")
        for _ in range(50):
            application.execute("INSERT INTO item VALUES (NULL, randomblob(4000))")  # spills into the WAL
        application.execute("ROLLBACK")
        wait_until(lambda: has_settled(path), "the WAL to settle", timeout_s=TIMEOUT_S)
        assert db.sync().txid == before
        application.execute("INSERT INTO item VALUES (NULL, 1)")
        assert db.sync().txid == before + 1
        assert restored(db, tmp_path) == image(application)
    application.close()
