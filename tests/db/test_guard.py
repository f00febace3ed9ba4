"""While a database is replicated, the module sqlite3 is refused in the process; APSW is not, in any thread.

Bugs planted to try these tests: names compared instead of files, URIs not decoded, -shm left out, guards not removed,
removed for another one, kept in a forked child; an event's arguments taken for granted.
"""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from replication.errors import UsageError
from replication.sync import guard as guard_module
from tests.support.guarding import (
    REFUSED,
    connect_sqlite3,
    guarding,
    in_thread,
    make_database,
    read,
    take_warnings,
)
from tests.support.workload import PROJECT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "app.db")


@pytest.fixture(autouse=True)
def _no_warning(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test but those that expect it ends with a warning."""
    yield
    assert not caplog.get_records("call")


@pytest.mark.parametrize(
    "form",
    [
        str,
        os.fsencode,
        Path,
        os.path.relpath,
        lambda path: f"file:{path}",
        lambda path: f"file://{path}?mode=ro&cache=private#x",
        lambda path: f"file://localhost{path}".replace("app", "%61p%70"),
        lambda path: f"file:{os.path.relpath(path)}?immutable=1",
        lambda path: path.with_name("link.db"),
        lambda path: path.with_name("hard link.db"),
        lambda path: path.parent / "x" / ".." / "app.db",
    ],
)
def test_sqlite3_is_refused_by_whatever_name(path: Path, form: Callable[[Path], str]) -> None:
    path.with_name("link.db").symlink_to(path)
    path.with_name("hard link.db").hardlink_to(path)
    path.with_name("x").mkdir()
    name = form(path)
    is_uri = isinstance(name, str) and name.startswith("file:")
    with guarding(path):
        for connect in (sqlite3.connect, sqlite3.Connection):
            with pytest.raises(UsageError, match=REFUSED) as caught:
                connect(name, uri=is_uri)
            assert f"sqlite3.connect({name!r})" in str(caught.value)
    with closing(sqlite3.connect(name, uri=is_uri)) as connection:
        read(connection)


def test_a_database_that_was_deleted_is_not_made_by_sqlite3(path: Path) -> None:
    with guarding(path):
        path.unlink()
        with pytest.raises(UsageError, match=REFUSED):
            sqlite3.connect(path)
        assert not path.exists()


@pytest.mark.parametrize("name", [":memory:", "", "file:app.db?mode=memory", "file:/app.db?vfs=memdb", "other.db"])
def test_sqlite3_may_open_anything_else(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with guarding(path), closing(sqlite3.connect(name, uri=True)) as connection:
        connection.execute("CREATE TABLE other (body)")


@pytest.mark.parametrize("name", [None, b"a\0b", "app.db\0", "\0/app.db", object(), ["app.db"]])
@pytest.mark.parametrize("function", [sqlite3.connect, open, os.open])
def test_what_is_no_name_is_left_to_whoever_was_asked(
    path: Path, function: Callable[[object, object], object], name: object
) -> None:
    argument: object = os.O_RDONLY if function is os.open else 1
    with pytest.raises((TypeError, ValueError)) as expected:
        function(name, argument)
    with guarding(path), pytest.raises(expected.type) as caught:
        function(name, argument)
    assert str(caught.value) == str(expected.value)


def test_events_of_others_are_left_alone(path: Path) -> None:
    with guarding(path):
        for event in ("open", "sqlite3.connect", "sqlite3.connect/handle", "anything"):
            sys.audit(event)
            sys.audit(event, None)
            sys.audit(event, "\0/app.db")


@pytest.mark.parametrize("suffix", ["", "-shm"])
@pytest.mark.parametrize(
    "read_file",
    [
        lambda name: open(name, "rb").close(),  # noqa: PTH123
        lambda name: open(os.fsencode(name), "rb").close(),  # noqa: PTH123
        lambda name: os.close(os.open(name, os.O_RDONLY)),
        lambda name: Path(os.path.relpath(name)).read_bytes(),
    ],
)
def test_each_file_that_is_opened_is_told_of_once(
    path: Path, suffix: str, read_file: Callable[[str], object], caplog: pytest.LogCaptureFixture
) -> None:
    name = f"{path}{suffix}"
    with closing(apsw.Connection(str(path))) as application:
        read(application)
        with guarding(path):
            for _ in range(2):
                read_file(name)
        (warning,) = take_warnings(caplog)
        assert warning.startswith(f"{name} is opened in this process by other means than APSW while {path} is")
        read_file(name)


def test_the_wal_may_be_opened(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as application:
        read(application)
        with guarding(path):
            Path(f"{path}-wal").read_bytes()


def test_files_of_the_same_name_elsewhere_may_be_opened(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "app.db"
    other.parent.mkdir()
    with guarding(path):
        other.write_bytes(b"")
        with open(os.open(other, os.O_RDONLY), "rb"):  # noqa: PTH123
            pass


def test_a_guard_that_is_closed_leaves_the_others(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "app.db"
    other.parent.mkdir()
    other.write_bytes(b"")
    refused: list[Path] = []

    def connect() -> None:
        for one in (path, other):
            with pytest.raises(UsageError, match=REFUSED):
                sqlite3.connect(one)
            refused.append(one)

    with guarding(path), guarding(other):
        with guarding(path) as second:
            second.close()
        in_thread(connect)
    assert refused == [path, other]
    assert not guard_module._guarded.guards
    for one in (path, other):
        sqlite3.connect(one).close()


def test_threads_may_use_apsw_while_guards_come_and_go(path: Path) -> None:
    is_done = threading.Event()
    failures: list[Exception] = []

    def use() -> None:
        try:
            while not is_done.is_set():
                with closing(apsw.Connection(str(path))) as connection:
                    connection.set_busy_timeout(10_000)
                    connection.execute("INSERT INTO item VALUES (1)")
                    read(connection)
        except apsw.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=use) for _ in range(3)]
    with closing(apsw.Connection(str(path))) as application:
        read(application)
        for thread in threads:
            thread.start()
        try:
            for _ in range(50):
                with guarding(path):
                    pass
        finally:
            is_done.set()
            for thread in threads:
                thread.join()
    assert not failures


def test_where_apsw_shares_sqlite_with_sqlite3_both_may_have_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "has_own_sqlite", lambda: False)
    with closing(connect_sqlite3(path)), guarding(path):
        connect_sqlite3(path).close()


def test_a_forked_child_may_use_sqlite3(path: Path) -> None:
    script = """
import logging, os, sqlite3, sys
from pathlib import Path
from replication.sync.guard import Guard
path = Path(sys.argv[1])
guard = Guard(path, path.stat(), logger=logging.getLogger())
child = os.fork()
if child == 0:
    sqlite3.connect(path).close()
    path.read_bytes()
    guard.close()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
try:
    sqlite3.connect(path)
except ValueError:
    print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, str(path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_a_process_that_ends_meanwhile_ends_quietly(path: Path) -> None:
    script = """
import builtins, logging, sqlite3, sys
from pathlib import Path
from replication.sync.guard import Guard
path = Path(sys.argv[1])
builtins.guard = Guard(path, path.stat(), logger=logging.getLogger())
class Late:
    def __del__(self, open=open, connect=sqlite3.connect):
        open("/dev/null").close()
        connect(":memory:").close()
builtins.late = late = sys.late = Late()
late.itself = late
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script, str(path)], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
