"""A replicator that is killed again and again, beside a writer that never stops, loses nothing.

At every commit of the writer the counter, the number of rows and the highest id of the log are the same. The
application checkpoints while a replicator runs, and while none does, so that the WAL is started over or truncated.
"""

import random
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from tests.support.live_db import image, local_txids, open_db, page_counts, query, restored, states
from tests.support.replicating import Replicator
from tests.support.waiting import wait_until
from tests.support.workload import Writer, prepare

ROUNDS = 15
CELLS = 2000  # about 500 pages, that differ little from one TXID to the next
CHECK = """
    SELECT (SELECT value FROM counter), (SELECT count(*) FROM log), (SELECT ifnull(max(id), 0) FROM log),
           (SELECT sum(value) FROM cell), (SELECT group_concat(quick_check) FROM pragma_quick_check)
"""


MODES = (apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_TRUNCATE)


def checkpoint(application: apsw.Connection, mode: int) -> None:
    with suppress(apsw.BusyError):
        assert application.wal_checkpoint(mode=mode) != (-1, -1)


def differing_pages(before: bytes, after: bytes) -> int:
    return sum(before[at : at + 4096] != after[at : at + 4096] for at in range(0, len(after), 4096))


@pytest.mark.interop
def test_a_replicator_killed_at_any_instant_leaves_a_chain_without_a_gap_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    prepare(path, cells=CELLS)
    chance = random.Random(7)  # noqa: S311 - a schedule
    replicator = Replicator(path)
    application = apsw.Connection(str(path))
    application.set_busy_timeout(50)
    application.execute("SELECT * FROM counter").fetchall()  # a connection that never read does not checkpoint
    db = open_db(path)
    try:
        with Writer(path, interval_ms=3):
            for number in range(ROUNDS):
                replicator.start()
                checkpoint(application, MODES[number % 2])
                target = len(local_txids(db)) + chance.randint(0, 25)
                wait_until(lambda target=target: len(local_txids(db)) >= target, f"TXID {target}", timeout_s=20)  # type: ignore[misc]
                replicator.kill()
                if number % 3:
                    checkpoint(application, MODES[number % 2])
        with db:
            db.sync()
            assert restored(db, tmp_path, by_program=True) == image(application)
            before, oversized = b"", 0
            for txid, data in states(db):
                if txid > 1:
                    oversized += page_counts(db, [txid])[0] > differing_pages(before, data) + 2
                before = data
                counter, rows, highest, cells, checked = query(data, CHECK)[0]
                assert (rows, highest, cells, checked) == (counter, counter, counter, "ok"), f"at TXID {txid}"
            assert oversized * 10 <= txid
    finally:
        replicator.kill()
        application.close()
