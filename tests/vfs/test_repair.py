"""Which file may stand in for one that vanished, and what a transaction sees of it.

Method: the rule against brute force over random histories, with databases that shrink and grow, then replicas whose
files are deleted under a transaction. Bugs once planted and caught here: an end after the view believed without proof;
a page that a file lacks because the database was shorter then, taken for unchanged.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import apsw
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from replication.client.memory import MemoryReplicaClient
from replication.ltx.file_info import FileInfo
from replication.ltx.index import PageIndex
from replication.position import TXID
from tests.support.faulty_client import FaultyClient
from tests.support.ltx_files import make_header
from tests.support.primary import Primary
from tests.support.reading import assert_same, begin, file_of, followed, image_of, opened
from vfs.ltx_file import LTXFile
from vfs.place import Place
from vfs.repair import KnownFile, reach, replacements

MAX_PAGES = 4


@dataclass(frozen=True)
class Transaction:
    """What one TXID wrote: the size afterwards, and the pages; those it grew by are always among them."""

    commit: int
    pages: frozenset[int]


@st.composite
def histories(draw: st.DrawFn) -> list[Transaction]:
    transactions: list[Transaction] = []
    for _ in range(draw(st.integers(1, 7))):
        before = transactions[-1].commit if transactions else 0
        commit = draw(st.integers(1, MAX_PAGES))
        written = draw(st.frozensets(st.integers(1, commit), max_size=2))
        transactions.append(Transaction(commit, written | frozenset(range(before + 1, commit + 1))))
    return transactions


def version(history: list[Transaction], txid: int, pgno: int) -> int:
    """The TXID that wrote the page as it is at `txid`."""
    return max(number for number, one in enumerate(history[:txid], 1) if pgno in one.pages)


def known_file(history: list[Transaction], first: int, last: int, level: int) -> KnownFile:
    """The file that merges these transactions."""
    commit = history[last - 1].commit
    pages = sorted({pgno for one in history[first - 1 : last] for pgno in one.pages if pgno <= commit})
    header = make_header(first, last, commit=commit)
    info = FileInfo(level=level, min_txid=TXID(first), max_txid=TXID(last), size=1000)
    index = PageIndex.of(pages, [100 + 20 * number for number in range(len(pages) + 1)])
    return KnownFile(LTXFile(info, header, None), index)


def place_of(one: KnownFile, pgno: int) -> Place:
    span = one.index.find(pgno)
    assert span is not None
    return Place(one.file, span.start, span.end)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Transaction], int, int, KnownFile, list[KnownFile]]:
    """A history, a view's TXID, a page, the file the view has it from, and the files known."""
    history = draw(histories())
    txid = draw(st.integers(1, len(history)))
    pgno = draw(st.integers(1, history[txid - 1].commit))
    spans = [(a, b) for a in range(1, len(history) + 1) for b in range(a, len(history) + 1)]
    newest = version(history, txid, pgno)
    ours = draw(st.sampled_from([(a, b) for a, b in spans if a <= newest <= b <= txid]))
    lost = known_file(history, *ours, level=draw(st.integers(0, 3)))
    chosen = draw(st.lists(st.sampled_from(spans), unique=True))
    known = [known_file(history, a, b, 0 if a == b else 9 if a == 1 else 1) for a, b in chosen]
    for one in known:
        one.file.gone = draw(st.booleans()) and draw(st.booleans())
    return history, txid, pgno, lost, known


SHRUNK_TWICE = [
    Transaction(2, frozenset({1, 2})),
    Transaction(1, frozenset()),
    Transaction(2, frozenset({2})),
    Transaction(1, frozenset()),
]


@given(situations())
@example(
    (
        SHRUNK_TWICE,
        1,
        2,
        known_file(SHRUNK_TWICE, 1, 1, 0),
        [known_file(SHRUNK_TWICE, *span, 0) for span in ((2, 2), (3, 4), (3, 3))],
    )
)
def test_a_replacement_holds_the_same_version(
    situation: tuple[list[Transaction], int, int, KnownFile, list[KnownFile]],
) -> None:
    history, txid, pgno, lost, known = situation
    right = version(history, txid, pgno)
    found = replacements(pgno, place_of(lost, pgno), txid, known)
    event(f"{min(len(found), 2)} found")
    for place in found:
        info = place.file.info
        assert not place.file.gone
        assert info.min_txid <= right <= info.max_txid
        assert version(history, info.max_txid, pgno) == right


@given(situations())
def test_a_file_that_ends_between_the_lost_one_and_the_view_is_always_found(
    situation: tuple[list[Transaction], int, int, KnownFile, list[KnownFile]],
) -> None:
    _, txid, pgno, lost, known = situation
    found = {place.file for place in replacements(pgno, place_of(lost, pgno), txid, known)}
    for one in known:
        if not one.file.gone and pgno in one.index and lost.file.info.max_txid <= one.file.info.max_txid <= txid:
            assert one.file in found


@given(situations())
def test_files_on_either_side_are_found_where_every_transaction_between_is_known(
    situation: tuple[list[Transaction], int, int, KnownFile, list[KnownFile]],
) -> None:
    history, txid, pgno, lost, _ = situation
    each = [known_file(history, number, number, 0) for number in range(1, len(history) + 1)]
    wholes = [known_file(history, 1, number, 9) for number in range(1, len(history) + 1)]
    found = {place.file for place in replacements(pgno, place_of(lost, pgno), txid, [*each, *wholes])}
    right = version(history, txid, pgno)
    for whole in wholes:
        end = whole.file.info.max_txid
        between = history[min(end, txid) - 1 : max(end, txid)]
        if right <= end and all(pgno <= one.commit for one in between) and version(history, end, pgno) == right:
            assert whole.file in found


@given(
    st.integers(0, 9), st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda span: tuple(sorted(span))))
)
def test_reach_goes_as_far_as_every_txid_is_covered(txid: int, spans: list[tuple[int, int]]) -> None:
    covered = {number for first, last in spans for number in range(first, last + 1)}
    expected = txid
    while expected + 1 in covered:
        expected += 1
    assert reach(txid, sorted(spans)) == expected


CREATE = "CREATE TABLE item (id INTEGER PRIMARY KEY, body)"
MANY = (
    "WITH RECURSIVE n(i) AS (SELECT {} UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    "INSERT INTO item SELECT i, noise(i, 900) FROM n"
)


@pytest.fixture(autouse=True)
def _little_is_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfs.load.LEVEL_0_WHOLE_SIZE", 128 * 1024)


@pytest.fixture
def primary() -> Iterator[Primary]:
    with Primary(MemoryReplicaClient(), page_size=1024) as primary:
        primary.commit(CREATE)
        primary.commit(MANY.format(1, 400))  # 360 KiB: too much to be held whole
        primary.commit(MANY.format(401, 800))
        yield primary


def newest(primary: Primary) -> list[FileInfo]:
    """The level-0 file that a real writer never deletes; it is what proves that history goes on."""
    return [info for info in primary.client.ltx_files(0) if info.max_txid == primary.txid]


def go_on(primary: Primary) -> None:
    primary.commit("UPDATE item SET body = noise(-1, 900) WHERE id = 300")


@pytest.mark.parametrize("level", [1, 2, 9])
def test_a_transaction_outlives_its_deleted_files_once_a_higher_level_holds_them(primary: Primary, level: int) -> None:
    with followed(primary.client, cache_size=-1) as replica, opened(replica, sqlite_cache=False) as connection:
        begin(connection)
        go_on(primary)
        replica.poll()
        if level == 9:
            primary.snapshot(3)
        for number in range(1, level + 1 if level < 9 else 1):
            primary.compact(number, end=3)
        primary.delete(*range(level), keep=newest(primary))
        assert_same(image_of(connection), primary.images[3])
        assert replica.stats()["repairs"]
        connection.execute("COMMIT")
        replica.poll()
        assert_same(image_of(connection), primary.image)


def test_a_file_copied_over_itself_still_serves_a_pinned_view(primary: Primary) -> None:
    with followed(primary.client, cache_size=-1) as replica, opened(replica, sqlite_cache=False) as connection:
        begin(connection)
        for info in list(primary.client.ltx_files(0)):
            content = primary.client.read_ltx(info)
            primary.client.write_ltx_file(0, info.min_txid, info.max_txid, io.BytesIO(content))
        assert_same(image_of(connection), primary.images[3])


def test_a_snapshot_newer_than_the_view_serves_only_the_pages_that_did_not_change_since(primary: Primary) -> None:
    with followed(primary.client, cache_size=-1) as replica, opened(replica, sqlite_cache=False) as connection:
        begin(connection)
        for number in (1, 500):
            primary.commit(f"UPDATE item SET body = noise({number} + 1000, 900) WHERE id = {number}")
            replica.poll()
        primary.snapshot()
        primary.delete(0, keep=newest(primary))
        expected = primary.query("SELECT body FROM item WHERE id = 200")
        assert list(connection.execute("SELECT body FROM item WHERE id = 200")) == expected
        with pytest.raises(apsw.BusyError, match="no longer in the replica") as caught:
            connection.execute("SELECT body FROM item WHERE id = 500").fetchall()
        assert caught.value.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT  # type: ignore[attr-defined]
        connection.execute("ROLLBACK")
        replica.poll()
        assert_same(image_of(connection), primary.image)


def test_a_file_lost_under_an_old_view_does_not_make_the_newest_one_anew(primary: Primary) -> None:
    client = FaultyClient(primary.client)
    with (
        followed(client, cache_size=-1) as replica,
        opened(replica, sqlite_cache=False) as old,
        opened(replica) as new,
    ):
        begin(old)
        primary.commit("VACUUM", full=True)
        replica.poll()
        begin(new)
        pinned = file_of(new).pinned
        new.execute("COMMIT")
        primary.compact(1, end=3)
        primary.client.delete_ltx_files([info for info in primary.client.ltx_files(0) if info.max_txid <= 3])
        assert_same(image_of(old), primary.images[3])
        assert replica.stats()["repairs"]
        client.clear_calls()
        replica.poll()
        begin(new)
        assert file_of(new).pinned is pinned
        assert client.count("ltx_files") == 1


def test_page_1_of_a_view_nobody_read_from_yet_is_taken_from_a_newer_one(primary: Primary) -> None:
    with followed(primary.client, cache_size=-1) as replica, opened(replica) as connection:
        primary.commit("CREATE TABLE other (x)", full=True)  # page 1 in a large file
        replica.poll()
        primary.commit("CREATE TABLE third (x)", MANY.format(801, 1200), full=True)
        primary.delete(0, keep=newest(primary))
        primary.snapshot()
        connection.set_busy_timeout(60_000)
        assert connection.execute("SELECT count(*) FROM third").get == 0
        assert_same(image_of(connection), primary.image)


def test_a_connection_that_never_read_moves_to_a_newer_and_larger_view(primary: Primary) -> None:
    with followed(primary.client, cache_size=-1) as replica:
        _ = replica.txid
        with opened(replica) as connection:  # SQLite takes the file's size before page 1, in its first transaction
            primary.commit("CREATE TABLE other (x)", full=True)
            replica.poll()
            primary.commit("CREATE TABLE third (x)", MANY.format(801, 1200), full=True)
            primary.delete(0, keep=newest(primary))
            primary.snapshot()
            assert connection.execute("SELECT count(*) FROM third").get == 0
            assert_same(image_of(connection), primary.image)


def test_page_1_of_a_past_view_that_is_gone_is_an_error_at_once(primary: Primary) -> None:
    with followed(primary.client, cache_size=-1) as replica, opened(replica) as connection:
        primary.commit("CREATE TABLE other (x)", full=True)
        replica.poll()
        primary.commit("CREATE TABLE third (x)", full=True)
        replica.poll()
        connection.pragma("litestream_txid", "4")
        primary.snapshot()
        primary.delete(0)
        connection.set_busy_timeout(60_000)
        called = 0

        def busy(_: int) -> bool:
            nonlocal called
            called += 1
            return called < 50

        connection.set_busy_handler(busy)
        with pytest.raises(apsw.Error, match="no longer in the replica"):
            connection.execute("SELECT count(*) FROM other").fetchall()
        assert not called
        connection.pragma("litestream_time", "latest")
        replica.poll()
        assert_same(image_of(connection), primary.image)


def test_a_broken_file_is_no_replacement_and_no_obstacle(primary: Primary) -> None:
    with followed(primary.client, cache_size=-1) as replica, opened(replica, sqlite_cache=False) as connection:
        begin(connection)
        go_on(primary)
        replica.poll()
        primary.compact(1, end=3)
        primary.compact(2)
        broken = next(iter(primary.client.ltx_files(1)))
        data = bytearray(primary.client.read_ltx(broken))
        data[100 : len(data) - 100] = bytes(len(data) - 200)
        files = primary.client._files  # type: ignore[attr-defined]
        files[1, broken.min_txid, broken.max_txid] = replace(broken, identity="broken"), bytes(data)
        primary.delete(0, keep=newest(primary))
        assert_same(image_of(connection), primary.images[3])
