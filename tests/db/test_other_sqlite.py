"""Of a database that is about to be replicated it is found out whether another copy of SQLite has it open here.

Bugs planted to try these tests: descriptors that SQLite keeps taken for those of others, those of attached databases
left out, a busy connection taken for none, connections of other threads passed over or always refused, closed ones
asked, answers read through the connection's own factories; the look at the descriptors kept for too long.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from replication.errors import UsageError
from replication.sync import guard as guard_module
from replication.sync.descriptors import FileId, ForeignDescriptors, open_files
from tests.support.guarding import (
    REFUSED,
    connect_sqlite3,
    connected_elsewhere,
    descriptor_count,
    guarding,
    in_thread,
    make_database,
    other_connections,
    read,
    take_warnings,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "app.db")


@pytest.fixture(autouse=True)
def _no_look_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a process does that has not looked at its descriptors yet."""
    monkeypatch.setattr(guard_module, "_scans", guard_module._Scans())


@pytest.fixture(autouse=True)
def _no_warning(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test but those that expect it ends with a warning."""
    yield
    assert not caplog.get_records("call")


def test_what_is_refused_here_would_delete_the_live_wal(path: Path) -> None:
    wal = Path(f"{path}-wal")
    with closing(apsw.Connection(str(path))) as application:
        application.execute("INSERT INTO item VALUES (1)")
        connect_sqlite3(path).close()
        assert not wal.exists()
        application.execute("INSERT INTO item VALUES (2)")
        assert not wal.exists(), "what is committed now is lost"


def test_a_database_that_sqlite3_has_open_is_refused_until_it_is_closed(path: Path) -> None:
    with closing(connect_sqlite3(path)), pytest.raises(UsageError, match=REFUSED) as caught, guarding(path):
        pass
    assert str(path) in str(caught.value)
    with guarding(path):
        pass


def test_one_that_apsw_has_open_too_is_refused(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as application:
        read(application)
        with closing(connect_sqlite3(path)), pytest.raises(UsageError, match=REFUSED), guarding(path):
            pass
        with guarding(path):
            read(application)


@pytest.mark.parametrize("name", ["link", "hard link", "other directory"])
def test_one_that_is_open_under_another_name_is_refused(path: Path, name: str, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    if name == "link":
        other.symlink_to(path)
    elif name == "hard link":
        other.hardlink_to(path)
    else:
        (tmp_path / "other").symlink_to(tmp_path)
        other = tmp_path / "other" / "app.db"
    with closing(connect_sqlite3(other)), pytest.raises(UsageError, match=REFUSED), guarding(path):
        pass


def test_one_that_is_attached_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("ATTACH ? AS other", (str(path),))
        with pytest.raises(UsageError, match=REFUSED), guarding(path):
            pass


def test_a_connection_that_answers_in_its_own_way_is_understood(path: Path) -> None:
    class Connection(sqlite3.Connection):
        def cursor(self, *_arguments: object) -> sqlite3.Cursor:  # type: ignore[override]
            raise AssertionError

    def fail(*_arguments: object) -> object:
        raise AssertionError

    with closing(sqlite3.connect(path, factory=Connection)) as connection:
        sqlite3.Connection.cursor(connection).execute("SELECT * FROM item").fetchall()
        connection.row_factory = fail
        connection.text_factory = fail
        with pytest.raises(UsageError, match=REFUSED), guarding(path):
            pass


def test_one_that_another_thread_has_open_is_refused(path: Path) -> None:
    with closing(connect_sqlite3(path, check_same_thread=False)):
        refused: list[UsageError] = []

        def guard() -> None:
            with pytest.raises(UsageError, match=REFUSED) as caught, guarding(path):
                pass
            refused.append(caught.value)

        in_thread(guard)
        assert "through the module sqlite3" in str(refused[0])


def test_one_that_a_connection_of_another_thread_may_have_open_is_refused(path: Path) -> None:
    with connected_elsewhere(path), pytest.raises(UsageError, match=f"may be open.*{REFUSED}"), guarding(path):
        pass
    with closing(apsw.Connection(str(path))) as application:
        assert application.db_filename("main") == str(path), "open, without a lock"
        with connected_elsewhere(path), pytest.raises(UsageError, match=f"may be open.*{REFUSED}"), guarding(path):
            pass
    with guarding(path):
        pass


def test_what_sqlite3_does_with_other_databases_does_not_matter(path: Path) -> None:
    with other_connections(path), guarding(path):
        pass


@pytest.mark.parametrize("access", [apsw.SQLITE_OPEN_READONLY, apsw.SQLITE_OPEN_READWRITE])
def test_descriptors_that_sqlite_keeps_are_nobody_elses(
    path: Path, access: int, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(apsw.Connection(str(path))) as application:
        read(application)
        others = [apsw.Connection(str(path), flags=access) for _ in range(5)]
        for other in others:
            other.close()
        assert descriptor_count(path) == 6
        with guarding(path):
            pass
        with closing(sqlite3.connect(path.with_name("other.db"))), guarding(path):
            pass
        assert take_warnings(caplog) == []
        with other_connections(path), guarding(path):
            pass
        (warning,) = take_warnings(caplog)
        assert "may be open" in warning, "by the connection of another thread"
        with closing(sqlite3.connect(path)), pytest.raises(UsageError, match=REFUSED), guarding(path):
            pass


def test_nothing_is_opened_to_find_out(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as application, connected_elsewhere(path):
        before = descriptor_count(path)
        for _ in range(5):
            with pytest.raises(UsageError), guarding(path):
                pass
        assert descriptor_count(path) == before
        read(application)


def test_apsw_may_have_it_attached(path: Path) -> None:
    with closing(apsw.Connection(":memory:")) as application, other_connections(path):
        application.execute("ATTACH ? AS one", (str(path),))
        application.execute("ATTACH ? AS two", (str(path),))
        read(application, "two")
        with guarding(path):
            pass


def test_apsw_may_have_it_for_reading_only(path: Path) -> None:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as application, other_connections(path):
        read(application)
        with guarding(path):
            pass


@contextmanager
def busy(connection: apsw.Connection) -> Iterator[None]:
    """Another thread is at work with a connection of APSW."""
    is_busy, is_done = threading.Event(), threading.Event()

    def pause(*_arguments: object) -> None:
        is_busy.set()
        is_done.wait()

    connection.create_scalar_function("pause", pause)
    thread = threading.Thread(target=lambda: connection.execute("SELECT pause()").fetchall())
    thread.start()
    is_busy.wait()
    try:
        yield
    finally:
        is_done.set()
        thread.join()


def test_a_connection_of_apsw_that_is_busy_is_taken_into_account(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as application, closing(sqlite3.connect(path.with_name("other.db"))):
        read(application)
        apsw.Connection(str(path)).close()
        with busy(application):
            with other_connections(path):
                assert ForeignDescriptors.of(FileId.of(path.stat())) == ForeignDescriptors(1, is_kept=True)
            with guarding(path):
                pass
            with closing(connect_sqlite3(path)), pytest.raises(UsageError, match=REFUSED), guarding(path):
                pass


def test_a_file_that_is_open_by_other_means_is_told_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with path.open("rb"):
        with guarding(path):
            pass
        (warning,) = take_warnings(caplog)
        assert warning.startswith(f"{path} is open in this process 1 times by other means than APSW")
        closed: list[sqlite3.Connection] = []

        def connect_and_close() -> None:
            closed.append(sqlite3.connect(path))
            closed[-1].close()

        connect_and_close()
        in_thread(connect_and_close)
        with closing(sqlite3.connect(path.with_name("other.db"))), guarding(path):
            pass
        assert len(take_warnings(caplog)) == 1, "none of these has it open"
    with guarding(path):
        pass


def test_the_descriptors_are_looked_at_once_for_many_databases(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[None] = []

    def look() -> object:
        looks.append(None)
        return open_files()

    monkeypatch.setattr(guard_module, "open_files", look)
    monkeypatch.setattr(guard_module, "SCAN_LIFE_S", 3600.0)
    for number in range(20):
        other = tmp_path / f"{number}.db"
        other.write_bytes(b"")
        with guarding(other):
            pass
    assert len(looks) == 1
    with closing(connect_sqlite3(path)), pytest.raises(UsageError, match=REFUSED), guarding(path):
        pass
    assert len(looks) == 2, "a connection was made since"
    with guarding(path):
        pass
    monkeypatch.setattr(guard_module, "SCAN_LIFE_S", 0.0)
    with guarding(tmp_path / "0.db"):
        pass
    assert len(looks) == 3
