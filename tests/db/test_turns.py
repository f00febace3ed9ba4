"""The Go program and this library take turns on one database, one local directory and one replica."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from replication.client.file import FileReplicaClient
from replication.db import DB
from replication.replica import Replica
from replication.validation import validate_replica
from tests.db.test_restart import ROWS, commit, make
from tests.support.history import restored as restored_content
from tests.support.litestream_program import FileReplica, LitestreamProgram, Settings, restore
from tests.support.live_db import header_of, image, local_txids, open_db, page_counts, query, restored, states
from tests.support.replicating import Replicator
from tests.support.waiting import wait_until

TURNS = 3
ALTERNATIONS = 10
FILES_IN_A_TURN = 3
TIMEOUT_S = 20.0
FAST = Settings(monitor_interval="20ms", sync_interval="20ms")


@pytest.mark.interop
def test_the_go_program_and_this_library_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    place = FileReplica(tmp_path / "replica")
    program = LitestreamProgram(tmp_path / "program", path, place)
    application = make(path)
    images: dict[int, bytes] = {}
    written, theirs = [], []  # page counts of files
    for turn in range(TURNS):
        commit(application, 3)
        db = open_db(path)
        db.replica = Replica(db, FileReplicaClient(place.path), monitor_enabled=False)
        with db:
            before = len(local_txids(db))
            for _ in range(3):
                commit(application, 2)
                txid = db.sync().txid
                images[txid] = image(application)
                if turn == 1:
                    db.checkpoint()
        written += page_counts(db, local_txids(db)[before:])
        before = len(local_txids(db))
        with program:
            pass
        commit(application, 3)
        program.once()
        theirs += page_counts(db, local_txids(db)[before:])
        images[max(local_txids(db))] = image(application)
    assert local_txids(db) == list(range(1, max(images) + 1))
    for number, expected in images.items():
        output = tmp_path / f"{number}.db"
        restore(place, output, txid=number)
        assert output.read_bytes() == expected
        assert restored(db, tmp_path, number) == expected
    assert query(images[max(images)], ROWS) == [(TURNS * 12, TURNS * 12, TURNS * 12)]
    assert restored_content(place) is not None
    pages = len(image(application)) // 4096
    assert max(written[1:] + theirs) < pages // 10  # neither writes the whole database when its turn comes
    application.close()


@pytest.mark.interop
def test_both_alternate_ten_times_stopped_and_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    """The writer is at rest whenever nobody replicates, because the Go program needs that; whoever is killed has work.

    The one commit before each turn tells when the one whose turn it is has begun: it goes out first.
    """
    path, place = tmp_path / "app.db", FileReplica(tmp_path / "replica")
    application = make(path)
    db = open_db(path)  # for a look at the local files only
    chance = random.Random(10)  # noqa: S311 - a schedule
    both = (Replicator(path, place.path), LitestreamProgram(tmp_path / "program", path, place, FAST))
    ends: dict[int, int] = {}  # what the counter was when a turn had ended, by TXID
    commits = 0

    def more_files(count: int) -> Callable[[], bool]:
        wanted = len(local_txids(db)) + count
        return lambda: len(local_txids(db)) >= wanted

    try:
        for turn in range(ALTERNATIONS):
            one = both[turn % 2]
            begun = more_files(1)
            commit(application, 1)
            one.start()
            wait_until(begun, "the first file of a turn", timeout_s=TIMEOUT_S)
            for _ in range(FILES_IN_A_TURN):
                arrived, count = more_files(1), chance.randint(1, 5)
                commit(application, count)
                commits += count
                wait_until(arrived, "the next file", timeout_s=TIMEOUT_S)
            commits += 1
            if turn // 2 % 2:
                commit(application, 5)
                commits += 5
                one.kill()
            else:
                one.stop()
                ends[max(local_txids(db))] = commits
        with db:
            db.replica = Replica(db, FileReplicaClient(place.path), monitor_enabled=False)
            ends[db.sync_and_wait().txid] = commits
    finally:
        for one in both:
            one.kill()
    check_all_turns(db, place, ends, tmp_path)
    restore(place, tmp_path / "end.db", integrity_check="full")
    assert (tmp_path / "end.db").read_bytes() == image(application)
    application.close()


def check_all_turns(db: DB, place: FileReplica, ends: dict[int, int], directory: Path) -> None:
    """No gap, a consistent state at every TXID, the right one at the end of each turn, no database-sized file."""
    client, last = FileReplicaClient(place.path), max(ends)
    assert [(info.min_txid, info.max_txid) for info in client.ltx_files(0)] == [(n, n) for n in range(1, last + 1)]
    assert validate_replica(client) == ()
    for txid, data in states(db):
        rows, counter, cells, checked = query(
            data, f"{ROWS}, (SELECT group_concat(quick_check) FROM pragma_quick_check)"
        )[0]
        assert (counter, cells, checked) == (rows, rows, "ok"), f"at TXID {txid}"
        assert ends.get(txid, counter) == counter
    for txid, counter in ends.items():
        output = directory / f"{txid}-of-a-turn.db"
        restore(place, output, txid=txid)
        assert query(output.read_bytes(), ROWS) == [(counter, counter, counter)]
    pages = header_of(db, last).commit
    assert max(page_counts(db, local_txids(db)[1:])) < pages // 10


@pytest.mark.interop
def test_the_library_goes_on_where_the_go_program_was(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    place = FileReplica(tmp_path / "replica")
    application = make(path)
    program = LitestreamProgram(tmp_path / "program", path, place)
    for _ in range(3):
        commit(application, 2)
        program.once()
    commit(application, 2)
    db = open_db(path)
    db.replica = Replica(db, FileReplicaClient(place.path), monitor_enabled=False)
    last = max(local_txids(db))
    with db:
        assert db.sync().txid == last + 1
        assert page_counts(db, [last + 1])[0] < 20
    restore(place, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == image(application)
    application.close()
