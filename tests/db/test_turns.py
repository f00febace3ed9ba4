"""The Go program and this library take turns on one database, one local directory and one replica."""

from pathlib import Path

import pytest

from replication.client.file import FileReplicaClient
from replication.replica import Replica
from tests.db.test_restart import ROWS, commit, make
from tests.support.history import restored as restored_content
from tests.support.litestream_program import FileReplica, LitestreamProgram, restore
from tests.support.live_db import image, local_txids, open_db, page_counts, query, restored

TURNS = 3


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
