"""Goal: what we restore is what the real program restores, byte for byte.

Method: a scripted history that the program replicates and merges; at every TXID it accepts, and between all steps, its
output and ours must be the same file, and where it refuses we refuse. The same through S3 for some of them.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

import litestream
from replication.errors import LitestreamError
from tests.support import litestream_program
from tests.support.history import History, candidate_txids
from tests.support.litestream_program import ProgramError
from tests.support.restoring import sha256

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with History(tmp_path_factory.mktemp("history")) as history:
        history.write()
        history.compact()
        yield history


def both(
    history: History, directory: Path, *, txid: int | None = None, timestamp: datetime | None = None
) -> tuple[str | None, str | None]:
    """Return the hash of what the program restores and of what we do, None where either refuses."""
    theirs, ours = directory / "theirs.db", directory / "ours.db"
    for path in (theirs, ours):
        path.unlink(missing_ok=True)
    try:
        litestream_program.restore(history.replica, theirs, txid=txid, timestamp=timestamp)
    except ProgramError:
        expected = None
    else:
        expected = sha256(theirs)
    try:
        litestream.restore(history.replica.url, ours, txid=txid, timestamp=timestamp, integrity_check="full")
    except LitestreamError:
        return expected, None
    return expected, sha256(ours)


def test_every_txid_gives_the_same_bytes_or_both_refuse(history: History, tmp_path: Path) -> None:
    newest = max(candidate_txids(history.replica))
    restored = 0
    for txid in range(1, newest + 2):
        expected, found = both(history, tmp_path, txid=txid)
        assert found == expected, f"TXID {txid}"
        restored += expected is not None
    assert restored > 10


def test_the_instant_after_each_step_gives_the_same_bytes(history: History, tmp_path: Path) -> None:
    restored = 0
    for step in history.steps[::5]:
        expected, found = both(history, tmp_path, timestamp=step.after)
        # The program refuses an instant beyond its newest file, where we give the newest state.
        if expected is not None:
            assert found == expected, step
            restored += 1
    assert restored > 3


def test_the_newest_state_gives_the_same_bytes(history: History, tmp_path: Path) -> None:
    expected, found = both(history, tmp_path)
    assert found == expected is not None
