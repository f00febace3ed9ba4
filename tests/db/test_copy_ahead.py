"""Most of a checkpoint is done while writers go on, and nothing slips by while the read transaction changes hands.

Method: at each place between two steps of it the application writes, or also checkpoints with all its might and writes
again. Bugs planted to see it fail: no other transaction that holds the WAL, it let go of before the new one is there,
no sync at the end, and nothing forgotten when that fails.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path
from typing import NoReturn

import apsw
import pytest

from replication.checkpoint import Checkpointer
from replication.errors import UnavailableError
from replication.sync.local_files import LocalFiles
from replication.sync.primary import Primary
from replication.sync.syncer import Syncer
from tests.support.live_db import connect, image, local_txids, open_db, page_counts, restored, states

PLACES = ("before", "held", "ended", "copied", "begun", "synced", "released")
AT = [places for count in range(3) for places in combinations(PLACES, count)]


class Steps:
    """Lets a function see each place of the next copy ahead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, visit: Callable[[str], None]) -> None:
        self._visit = visit
        self._is_ahead = False
        copy_ahead, hold = Checkpointer._copy_ahead, Primary.hold

        def watched_copy(checkpointer: Checkpointer) -> None:
            visit("before")
            self._is_ahead = True
            copy_ahead(checkpointer)
            self._is_ahead = False
            visit("released")

        @contextmanager
        def watched_hold(primary: Primary) -> Iterator[None]:
            with hold(primary):
                visit("held")
                yield
                visit("synced")

        monkeypatch.setattr(Checkpointer, "_copy_ahead", watched_copy)
        monkeypatch.setattr(Primary, "hold", watched_hold)
        for owner, name, place in (
            (Syncer, "end_read", "ended"),
            (Primary, "checkpoint", "copied"),
            (Syncer, "begin_read", "begun"),
        ):
            monkeypatch.setattr(owner, name, self._after(getattr(owner, name), place))

    def _after(self, method: Callable[..., object], place: str) -> Callable[..., object]:
        seen = False

        def watched(*arguments: object) -> object:
            nonlocal seen
            result = method(*arguments)
            if self._is_ahead and not seen:
                seen = True
                self._visit(place)
            return result

        return watched


@pytest.mark.parametrize("checkpoints", [False, True])
@pytest.mark.parametrize("places", AT, ids="-".join)
def test_nothing_slips_by_whatever_the_application_does_between_two_steps(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    places: tuple[str, ...],
    *,
    checkpoints: bool,
) -> None:
    application = connect(tmp_path / "app.db")
    application.set_busy_timeout(0)
    application.execute("CREATE TABLE ballast (body); INSERT INTO ballast VALUES (zeroblob(100000))")
    for place in PLACES:
        application.execute(f"CREATE TABLE {place} (number)")
    images: list[bytes] = []
    visited: list[str] = []

    def write(place: str) -> None:
        application.execute(f"INSERT INTO {place} VALUES ({len(images)})")
        images.append(image(application))

    def visit(place: str) -> None:
        visited.append(place)
        if place not in places:
            return
        write(place)
        if checkpoints:
            for mode in (apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_TRUNCATE):
                with suppress(apsw.BusyError):
                    application.wal_checkpoint(mode=mode)
            write(place)

    with open_db(tmp_path / "app.db") as db, caplog.at_level(logging.INFO, "litestream.replication"):
        whole = db.sync().txid
        Steps(monkeypatch, visit)
        db.checkpoint()
        assert tuple(visited) == PLACES
        write("released")
        db.sync()
        assert restored(db, tmp_path) == image(application)
        assert max(page_counts(db, range(whole + 1, db.pos().txid + 1))) < 20
        assert set(local_txids(db)) == set(range(1, db.pos().txid + 1))
        assert "compare all pages" not in caplog.text
        assert {found for _, found in states(db)}.issuperset(images[-1:])
    application.close()


def test_a_sync_that_fails_while_the_transaction_changes_hands_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE first (number); CREATE TABLE second (number)")
    with open_db(tmp_path / "app.db") as db:
        db.sync()

        def visit(place: str) -> None:
            if place == "before":
                application.execute("INSERT INTO first VALUES (1)")
            elif place == "begun":
                monkeypatch.setattr(LocalFiles, "create", refuse)

        with monkeypatch.context() as patch:
            Steps(patch, visit)
            with pytest.raises(UnavailableError):
                db.checkpoint()
        monkeypatch.undo()
        application.execute("INSERT INTO second VALUES (1)")  # starts the WAL over
        db.sync()
        assert restored(db, tmp_path) == image(application)
    application.close()


def refuse(_files: LocalFiles, _txid: int) -> NoReturn:
    msg = "no space left on the device"
    raise UnavailableError(msg)


def test_writers_wait_for_a_fraction_of_the_copying_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application = connect(tmp_path / "app.db")
    application.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body)")
    with open_db(tmp_path / "app.db") as db:
        db.sync()
        application.execute("INSERT INTO item VALUES (1, zeroblob(1000000))")
        left = []
        barrier = Primary.barrier

        @contextmanager
        def watched(primary: Primary) -> Iterator[None]:
            with barrier(primary):
                state = application.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
                left.append(state[0] - state[1])
                yield

        monkeypatch.setattr(Primary, "barrier", watched)
        db.checkpoint()
        assert left == [0]
    application.close()
