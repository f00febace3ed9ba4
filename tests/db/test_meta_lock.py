"""One process, and in it one `DB`, replicates a database with the same local state; when it dies, the next one can.

Bugs planted to try these tests: the lock not taken, taken by fcntl.lockf (which knows no two holders in one process),
its file truncated before the lock is had, its file deleted at the end, its descriptor left open in a forked child; the
id made of the host's name alone, made anew each time, kept in a copy.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from replication.errors import DeniedError, LocalStateHeldError
from replication.sync import meta_lock
from replication.sync.local_files import LocalFiles
from replication.sync.meta_lock import MetaLock
from tests.support.litestream_program import run
from tests.support.live_db import connect, open_db
from tests.support.primary import StepClock
from tests.support.workload import PROJECT

HOLD = """
import sys, threading
from pathlib import Path
from replication.sync.meta_lock import MetaLock
lock = MetaLock(Path(sys.argv[1]), Path(sys.argv[2]))
print(lock.id, flush=True)
threading.Event().wait()
"""
HOLD_AND_FORK = """
import os, sys, threading
from pathlib import Path
from replication.sync.meta_lock import MetaLock
lock = MetaLock(Path(sys.argv[1]), Path(sys.argv[2]))
if os.fork() == 0:
    print(os.getpid(), flush=True)
threading.Event().wait()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    path.write_bytes(b"")
    return path


@pytest.fixture
def meta_path(database: Path) -> Path:
    path = database.with_name(".app.db-litestream")
    LocalFiles(str(path), str(database)).make_directories()
    return path


@contextmanager
def other_process(script: str, meta_path: Path, database: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that has the lock, and the line it printed."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(meta_path), str(database)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            assert line, "it did not start"
            yield process, line
        finally:
            process.kill()


def is_free(meta_path: Path, database: Path) -> bool:
    try:
        MetaLock(meta_path, database).close()
    except LocalStateHeldError:
        return False
    return True


def test_the_second_is_told_who_the_first_is(meta_path: Path, database: Path) -> None:
    with closing(MetaLock(meta_path, database, clock=StepClock())):
        for _ in range(2):  # the second one does not spoil what the file says
            with pytest.raises(
                LocalStateHeldError, match=rf"app\.db.*process {os.getpid()}, since 2026-03-01T12:00:00Z$"
            ):
                MetaLock(meta_path, database)
    with closing(MetaLock(meta_path, database)):
        assert json.loads((meta_path / "lock").read_bytes())["pid"] == os.getpid()


def test_it_is_let_go_of_once(meta_path: Path, database: Path) -> None:
    first = MetaLock(meta_path, database)
    first.close()
    second = MetaLock(meta_path, database)
    first.close()
    assert not is_free(meta_path, database)
    second.close()
    assert is_free(meta_path, database)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'{"pid": "x"}', b"\xff" * 2000, b"[" * 5000])
def test_whatever_its_file_says_it_is_held(meta_path: Path, database: Path, content: bytes) -> None:
    with closing(MetaLock(meta_path, database)):
        (meta_path / "lock").write_bytes(content)
        with pytest.raises(LocalStateHeldError, match="a process that has just begun"):
            MetaLock(meta_path, database)
    assert is_free(meta_path, database)


def test_a_killed_holder_has_let_go(meta_path: Path, database: Path) -> None:
    with other_process(HOLD, meta_path, database) as (process, held_id):
        with pytest.raises(LocalStateHeldError, match=f"process {process.pid}, since"):
            MetaLock(meta_path, database)
        process.send_signal(signal.SIGSTOP)  # not dead yet
        assert not is_free(meta_path, database)
        process.kill()
        process.wait()
        with closing(MetaLock(meta_path, database)) as lock:
            assert lock.id == held_id


def test_a_child_of_a_killed_holder_does_not_hold_on(meta_path: Path, database: Path) -> None:
    with other_process(HOLD_AND_FORK, meta_path, database) as (process, child):
        try:
            assert not is_free(meta_path, database), "its child closed its own descriptor only"
            process.kill()
            process.wait()
            assert is_free(meta_path, database)
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_the_files_have_the_mode_of_the_database(meta_path: Path, database: Path) -> None:
    database.chmod(0o664)
    before = os.umask(0o077)
    try:
        MetaLock(meta_path, database).close()
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in meta_path.iterdir() if path.is_file()} == {
        "lock": 0o664,
        "id": 0o664,
    }


def test_what_cannot_be_locked_is_told(meta_path: Path, database: Path) -> None:
    (meta_path / "lock").mkdir()
    with pytest.raises(OSError, match=r"local state .*lock: Is a directory"):
        MetaLock(meta_path, database)
    (meta_path / "lock").rmdir()
    (meta_path / "id").mkdir()
    with pytest.raises(OSError, match=r"local state .*id: Is a directory"):
        MetaLock(meta_path, database)
    (meta_path / "id").rmdir()
    assert is_free(meta_path, database), "the lock was let go of"
    if os.geteuid():
        (meta_path / "lock").chmod(0)
        with pytest.raises(DeniedError):
            MetaLock(meta_path, database)


def id_of(meta_path: Path, database: Path) -> str:
    with closing(MetaLock(meta_path, database)) as lock:
        return lock.id


def test_the_id_stays_as_long_as_the_local_state(meta_path: Path, database: Path) -> None:
    first = id_of(meta_path, database)
    assert len(first) == 16
    assert id_of(meta_path, database) == first
    shutil.rmtree(meta_path / "ltx")
    assert id_of(meta_path, database) == first
    (meta_path / "id").unlink()
    assert id_of(meta_path, database) != first


@pytest.mark.parametrize("content", [b"", b"0123", b"0123456789ABCDEF\n", b"\xff" * 16])
def test_what_is_no_id_is_made_anew(meta_path: Path, database: Path, content: bytes) -> None:
    (meta_path / "id").write_bytes(content)
    assert id_of(meta_path, database) == id_of(meta_path, database)
    assert (meta_path / "id").read_bytes() != content


def test_a_copy_of_the_local_state_has_another_id(meta_path: Path, database: Path, tmp_path: Path) -> None:
    first = id_of(meta_path, database)
    shutil.copytree(meta_path, tmp_path / "copy")
    assert id_of(tmp_path / "copy", database) != first
    meta_path.rename(tmp_path / "moved")
    assert id_of(tmp_path / "moved", database) == first


def test_another_machine_has_another_id(
    meta_path: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = id_of(meta_path, database)
    monkeypatch.setattr(meta_lock, "_BOOT_ID", tmp_path / "boot_id")
    by_name = id_of(meta_path, database)
    (tmp_path / "boot_id").write_text("another\n", encoding="ascii")
    assert len({first, by_name, id_of(meta_path, database)}) == 3


@pytest.mark.interop
def test_the_program_leaves_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    application = connect(path)
    application.execute("CREATE TABLE item (body)")
    meta_path = open_db(path).meta_path
    LocalFiles(str(meta_path), str(path)).make_directories()
    replica = (tmp_path / "replica").as_uri()
    with closing(MetaLock(meta_path, path)) as lock:
        said = [(meta_path / name).read_bytes() for name in ("lock", "id")]
        for command in (["replicate", "-once", str(path), replica], ["reset", str(path)]):
            application.execute("INSERT INTO item VALUES (1)")
            run(*command)
            assert [(meta_path / name).read_bytes() for name in ("lock", "id")] == said
            assert not is_free(meta_path, path)
        assert not (meta_path / "ltx").exists()
    assert id_of(meta_path, path) == lock.id
    application.close()
