"""Goal: at every TXID and instant one can travel to, the VFS shows exactly what the real program restores.

Method: a scripted history (`tests.support.history`) in two states: as written, with one level-0 file per TXID, and
after the program has merged and deleted most of them. The program says which TXIDs there are; for each, the dump and
every byte of the database are compared, but for the few bytes of page 1 that a view may change.
"""

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

import litestream
from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from tests.support.faulty_client import FaultyClient
from tests.support.history import Content, History, content, restored, restored_txids
from tests.support.litestream_program import FileReplica

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

INSTANT_COUNT = 20

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class State:
    """A replica that stands still, and what the real program restores of it."""

    replica: FileReplica
    by_txid: dict[int, Content]
    by_instant: dict[datetime, Content | None]  # None: the program refuses
    newest_txid: int
    source: str | ReplicaClient  # how it is opened

    @property
    def refused_txids(self) -> list[int]:
        return [txid for txid in range(1, self.newest_txid + 2) if txid not in self.by_txid]


@dataclass(frozen=True, slots=True)
class Lived:
    """Both states, and a connection that was opened in the first and lives on the replica that became the second."""

    before: State
    after: State
    follower: apsw.Connection


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    directory = tmp_path_factory.mktemp("history")
    with History(directory) as history:
        history.write()
        before = FileReplica(directory / "before")
        shutil.copytree(history.replica.path, before.path)
        follower = litestream.connect(history.replica.url, poll_interval_s=0.1)
        content(follower)
        history.compact()
        steps = history.steps
        before_steps = [step for step in steps if step.txid in range(1, 1 + _newest(before))]
        yield Lived(
            before=_state(before, [step.after for step in before_steps[:-1]]),
            after=_state(history.replica, [step.after for step in steps[:-1]]),
            follower=follower,
        )
        follower.close()


def _newest(replica: FileReplica) -> int:
    return max(int(path.stem[17:], 16) for path in Path(replica.path).glob("ltx/*/*.ltx"))


def _state(replica: FileReplica, instants: list[datetime]) -> State:
    newest = _newest(replica)
    chosen = instants[:: max(1, len(instants) // INSTANT_COUNT)][-INSTANT_COUNT:]
    return State(
        replica=replica,
        by_txid=restored_txids(replica, range(1, newest + 2)),
        by_instant={instant: restored(replica, timestamp=instant) for instant in chosen},
        newest_txid=newest,
        source=replica.url,
    )


@pytest.fixture(params=["before", "after", "before, remote", "after, remote"])
def state(request: pytest.FixtureRequest, lived: Lived) -> State:
    """The replica before or after compaction and retention; from a remote one pages are fetched ahead."""
    name, _, remote = request.param.partition(", ")
    chosen: State = getattr(lived, name)
    return replace(chosen, source=FaultyClient(FileReplicaClient(chosen.replica.path))) if remote else chosen


def test_the_program_accepts_enough_txids_to_compare(lived: Lived) -> None:
    assert len(lived.before.by_txid) >= 60
    assert len(lived.after.by_txid) >= 10
    assert len(lived.after.refused_txids) >= 60, "compaction has merged the old TXIDs"


def test_a_connection_at_each_txid_sees_what_the_program_restores(state: State) -> None:
    for txid, expected in state.by_txid.items():
        connection = litestream.connect(state.source, txid=f"{txid:016x}")
        _compare(content(connection), expected, f"TXID {txid}")
        assert int(connection.pragma("litestream_txid"), 16) == txid
        connection.close()


def test_one_connection_travels_to_the_txids_in_any_order(state: State) -> None:
    connection = litestream.connect(state.source)
    for txid in _shuffled(list(state.by_txid)):
        connection.execute(f"PRAGMA litestream_txid = '{txid:016x}'")
        _compare(content(connection), state.by_txid[txid], f"TXID {txid}")
    connection.close()


def test_one_connection_travels_to_the_instants_in_any_order(state: State) -> None:
    connection = litestream.connect(state.source)
    for instant in _shuffled(list(state.by_instant)):
        expected = state.by_instant[instant]
        travel = f"PRAGMA litestream_time = '{instant.isoformat()}'"
        if expected is None:
            with pytest.raises(apsw.Error):
                connection.execute(travel)
            continue
        connection.execute(travel)
        _compare(content(connection), expected, f"instant {instant}")
    connection.close()


def test_a_connection_at_an_instant_sees_what_the_program_restores(state: State) -> None:
    for instant, expected in state.by_instant.items():
        if expected is None:
            with pytest.raises((apsw.Error, litestream.LitestreamError)):
                litestream.connect(state.source, time=instant)
            continue
        connection = litestream.connect(state.source, time=instant)
        _compare(content(connection), expected, f"instant {instant}")
        connection.close()


def test_history_lists_exactly_the_txids_the_program_accepts(state: State) -> None:
    connection = litestream.connect(state.source)
    listed = [_txid(row[0]) for row in connection.execute("SELECT txid FROM litestream_history()")]
    connection.close()
    assert sorted(listed) == sorted(state.by_txid)


def test_a_txid_that_the_program_refuses_is_refused(state: State) -> None:
    connection = litestream.connect(state.source)
    for txid in _shuffled(state.refused_txids)[:10]:
        with pytest.raises(apsw.Error):
            connection.execute(f"PRAGMA litestream_txid = '{txid:016x}'")
        with pytest.raises((apsw.Error, litestream.LitestreamError)):
            litestream.connect(state.source, txid=f"{txid:016x}")
    _compare(content(connection), state.by_txid[state.newest_txid], "the newest TXID, after refusals")
    connection.close()


def test_a_connection_from_before_the_compaction_travels_through_what_is_left(lived: Lived) -> None:
    follower = lived.follower
    for txid in _shuffled(list(lived.after.by_txid)):
        follower.execute(f"PRAGMA litestream_txid = '{txid:016x}'")
        _compare(content(follower), lived.after.by_txid[txid], f"TXID {txid}")
    follower.execute("PRAGMA litestream_time = 'latest'")
    _compare(content(follower), lived.after.by_txid[lived.after.newest_txid], "latest")


def _compare(actual: Content, expected: Content, where: str) -> None:
    assert actual.dump.splitlines() == expected.dump.splitlines(), where
    assert actual.image == expected.image, f"{where}: pages {_different_pages(actual.image, expected.image)} differ"


def _different_pages(left: bytes, right: bytes, page_size: int = 512) -> list[int]:
    pairs = range(0, max(len(left), len(right)), page_size)
    return [at // page_size + 1 for at in pairs if left[at : at + page_size] != right[at : at + page_size]]


def _txid(value: str | int) -> int:
    return value if isinstance(value, int) else int(value, 16)


def _shuffled(items: list[_Item]) -> list[_Item]:
    return random.Random(1).sample(items, len(items))  # noqa: S311  # an order, not a secret
