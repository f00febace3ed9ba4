"""A read replica against a model of it: whatever primary, compaction, retention and storage do.

Method: Hypothesis runs a simulated primary and several connections. Inside a transaction every page must be that of
the TXID at its beginning; outside, after a poll that succeeded, that of the newest TXID; what SQL answers must be what
SQLite answers on the primary's own image. Limits are set so low that small databases reach every path: files are
fetched in parts, few bytes are held, layers are merged often.

Three things make wrong views visible: half of the connections have no page cache of SQLite's own, `begin` reads one row
only, and faults fire at the k-th request, not the first.

SQLITE_BUSY_SNAPSHOT is allowed where no file in the replica ends between the page's last change and the view and holds
the page, or where at some poll no known file was left to prove that history went on.

Bugs planted in vfs/, each seen caught here once: no change counter; older pages over newer ones in a merge; no pinning;
a replacement that ends beyond what is proven; a size that never gets less; a front not cleaned of changed pages; errors
read as zeros; a cache keyed by names without identity; files of an unproven history laid on; the same epoch after a
file of every page; only the last file's changes known; level 0 believed empty; a gap passed over. Caught beside this
one: the same epoch after time travel (test_databases), a shrink not seen by repairs (test_repair), a stale base after
regrowth (test_index), pages in a front that the cache let go of (test_cache).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import CRITICAL, getLogger

import apsw
import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from replication.client.memory import MemoryReplicaClient
from replication.errors import LitestreamError, TxNotAvailableError, UnavailableError
from replication.ltx.decoder import decode_file
from replication.ltx.file_info import FileInfo
from replication.position import lock_pgno
from tests.support.faulty_client import FaultyClient
from tests.support.primary import Image, Primary
from tests.support.reading import begin, connect, file_of, followed
from vfs.file_table import FileTable

LIMITS = {
    "vfs.load.WHOLE_SIZE": 1024,
    "vfs.load.LEVEL_0_WHOLE_SIZE": 1500,
    "vfs.load.DEFAULT_ESTIMATED_PAGE_INDEX_SIZE": 64,
    "vfs.load.HEAD_SIZE": 900,
    "vfs.file_table.HELD_SIZE": 4096,
    "vfs.index.RECENT_PAGES": 6,
    "vfs.follow.MANY_FILES": 3,
}
LOGGER = getLogger("tests.silent")
LOGGER.setLevel(CRITICAL)
LOGGER.propagate = False
MAX_CONNECTIONS = 3
MAX_POLLS = 30  # until every level had its turn
_QUERIES = (
    "SELECT id, a, b FROM item ORDER BY id",
    "SELECT name, sql FROM sqlite_schema ORDER BY name",
    "SELECT x, y FROM extra ORDER BY rowid",
)

sizes = st.sampled_from([0, 30, 300, 2000])
ids = st.integers(1, 30)


@dataclass
class Reader:
    """A connection, and what it must see."""

    connection: apsw.Connection
    pinned: Image | None = None  # the state of its transaction
    history: int = 0  # of that state, or of the target
    txid: int = 0  # of that state
    target: tuple[Image, int, int] | None = None  # state, history and TXID travelled to


class ReplicaMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        for name, value in LIMITS.items():
            self.patches.setattr(name, value)
        self.client = FaultyClient(MemoryReplicaClient())
        self.readers: list[Reader] = []
        self.faulty = False
        self.odd = False  # level 0 was emptied, or history started over: one poll may not be enough
        self.histories: dict[int, int] = {}  # the reader's number of a history to the primary's

    @initialize(page_size=st.sampled_from([512, 1024]), vacuum=st.sampled_from(["NONE", "FULL", "INCREMENTAL"]))
    def open(self, page_size: int, vacuum: str) -> None:
        self.primary = Primary(self.client.inner, page_size=page_size, setup=f"PRAGMA auto_vacuum = {vacuum}")
        self.primary.commit("CREATE TABLE item (id INTEGER PRIMARY KEY, a, b)")
        self.primary.commit("INSERT INTO item VALUES (1, 'a', noise(1, 3000))")
        self.scope = followed(self.client, cache_size=6 * page_size, logger=LOGGER)
        self.replica = self.scope.__enter__()
        self.images = {0: self.primary.images}  # by history and TXID
        self.look()
        assert self.replica.txid == self.primary.txid
        self.connect(cached=True)
        self.connect(cached=False)

    def teardown(self) -> None:
        if hasattr(self, "scope"):
            for reader in self.readers:
                reader.connection.close()
            self.scope.__exit__(None, None, None)
            self.primary.close()
        self.patches.undo()

    # What the primary does.

    @rule(number=ids, size=sizes)
    def insert(self, number: int, size: int) -> None:
        self.primary.commit(
            f"INSERT OR REPLACE INTO item (id, a, b) VALUES ({number}, {size}, noise({number + size}, {size}))"
        )

    @rule(number=ids, size=sizes)
    def update(self, number: int, size: int) -> None:
        txid = self.primary.txid
        self.primary.commit(f"UPDATE item SET b = noise({txid}, {size}) WHERE id >= {number}")

    @rule(first=ids, last=ids)
    def delete(self, first: int, last: int) -> None:
        self.primary.commit(f"DELETE FROM item WHERE id BETWEEN {first} AND {last}")

    @rule(sql=st.sampled_from(["VACUUM", "PRAGMA incremental_vacuum", "PRAGMA incremental_vacuum(2)"]))
    def vacuum(self, sql: str) -> None:
        self.primary.commit(sql)

    @rule(page_size=st.sampled_from([512, 1024, 2048]))
    def change_page_size(self, page_size: int) -> None:
        self.primary.commit(f"PRAGMA page_size = {page_size}", "VACUUM")

    @rule(order=st.sampled_from(["a, b", "b, a", "b, a, c"]))
    def change_schema(self, order: str) -> None:
        self.primary.commit(
            "CREATE TABLE new (id INTEGER PRIMARY KEY, a, b); INSERT INTO new SELECT id, a, b FROM item;"
            f"DROP TABLE item; CREATE TABLE item (id INTEGER PRIMARY KEY, {order});"
            "INSERT INTO item (id, a, b) SELECT id, a, b FROM new; DROP TABLE new"
        )

    @rule(other=st.sampled_from(["x, y", "y, x"]))
    def replace_extra(self, other: str) -> None:
        self.primary.commit(
            f"DROP TABLE IF EXISTS extra; CREATE TABLE extra ({other}); INSERT INTO extra (x, y) VALUES ('x', 'y')"
        )

    @rule(level=st.integers(1, 3), part=st.booleans())
    def compact(self, level: int, part: bool) -> None:  # noqa: FBT001
        self.primary.compact(level, end=max(self.primary.txid - 2, 1) if part else None)

    @rule()
    def snapshot(self) -> None:
        self.primary.snapshot()

    @rule(snapshots=st.integers(1, 2))
    def retain(self, snapshots: int) -> None:
        self.primary.retain(snapshots=snapshots)

    @rule()
    def empty_level_0(self) -> None:
        self.primary.compact(1)
        if max((info.max_txid for info in self.client.inner.ltx_files(1)), default=0) == self.primary.txid:
            self.primary.delete(0)
            self.odd = True

    @rule(data=st.data())
    def restore_back(self, data: st.DataObject) -> None:
        self.primary.restore_back(data.draw(st.sampled_from(sorted(self.primary.images)[-4:])))

    @rule(transactions=st.integers(1, 12), size=sizes)
    def start_over(self, transactions: int, size: int) -> None:
        self.primary.start_over("CREATE TABLE item (id INTEGER PRIMARY KEY, b, a)")
        for number in range(1, transactions):
            self.primary.commit(f"INSERT INTO item VALUES ({number}, noise({number}, {size}), 'again')")
        self.images[self.primary.history] = self.primary.images
        self.odd = True

    # What would be rare otherwise: changes that only a counter, a cookie or the size tells of, each looked at.

    @rule(number=ids)
    @precondition(lambda self: not self.faulty)
    def change_without_a_trace(self, number: int) -> None:
        self.primary.commit(f"UPDATE item SET b = noise({self.primary.txid}, 8) WHERE id % 2 = {number % 2}")
        self.look_closely()
        self.primary.commit(f"UPDATE item SET b = noise({self.primary.txid}, 8) WHERE id % 2 = {number % 2}")
        self.look_closely()

    @rule(number=st.integers(1, 20))
    @precondition(lambda self: not self.faulty)
    def grow_and_shrink(self, number: int) -> None:
        for last in (40 + number, 0, 40 + number // 2):
            self.primary.commit("DELETE FROM item WHERE id > 40")
            self.primary.commit(
                f"WITH n(i) AS (SELECT 41 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) "
                f"INSERT INTO item (id, b) SELECT i, noise(i, 900) FROM n WHERE i <= {last}"
            )
            self.primary.commit("PRAGMA incremental_vacuum")
            self.look_closely()

    @rule()
    @precondition(lambda self: not self.faulty)
    def come_to_the_same_cookie_again(self) -> None:
        txid = self.primary.txid
        for order in ("a, b", "b, a"):
            self.change_schema(order)
            self.look_closely()
            if order == "a, b":
                self.primary.restore_back(txid)

    def look_closely(self) -> None:
        self.poll()
        for which in range(len(self.readers)):
            self.ask(which, _QUERIES[0])
            self.read_all(which)

    # What the storage does.

    @rule(method=st.sampled_from(["read_ltx", "ltx_files"]), after=st.integers(0, 6), times=st.integers(1, 3))
    def fail(self, method: str, after: int, times: int) -> None:
        self.client.fail(method, UnavailableError("planted"), after=after, times=times)
        self.faulty = True

    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        files = [info for level in range(10) for info in self.client.inner.ltx_files(level)]
        self.client.vanish(data.draw(st.sampled_from(files)))
        self.faulty = True

    @rule()
    @precondition(lambda self: self.faulty)
    def heal(self) -> None:
        self.client.heal()
        self.faulty = False

    # What readers do.

    @rule()
    def poll(self) -> None:
        for polls in range(MAX_POLLS):
            try:
                self.replica.poll()
            except LitestreamError:
                if self.faulty:
                    self.look()
                    return
                raise
            self.look()
            if self.newest_at == (self.primary.history, self.primary.txid):
                self.odd = False
                return
            if self.faulty:
                return
            assert self.odd, f"poll {polls} did not find TXID {self.primary.txid}"
        pytest.fail(f"TXID {self.primary.txid} was not found, {self.replica.txid} is visible")

    def look(self) -> None:
        """Note which state is the newest visible; to be called after whatever may have polled."""
        view = self.replica.open().replica.view
        # A history the reader was not in before can only be the one that the primary is in now.
        history = self.histories.setdefault(view.history, self.primary.history)
        self.newest, self.newest_at = self.images[history][view.txid], (history, int(view.txid))

    @rule(cached=st.booleans())
    @precondition(lambda self: len(self.readers) < MAX_CONNECTIONS and not self.faulty)
    def connect(self, cached: bool) -> None:  # noqa: FBT001
        self.readers.append(Reader(connect(self.replica, sqlite_cache=cached)))

    @rule(which=st.integers(0, MAX_CONNECTIONS - 1))
    def begin(self, which: int) -> None:
        reader = self.reader(which)
        if reader.pinned is not None:
            return
        with self.allowed_to_fail(reader):
            begin(reader.connection)
            self.pin(reader)

    @rule(which=st.integers(0, MAX_CONNECTIONS - 1))
    def end(self, which: int) -> None:
        reader = self.reader(which)
        if reader.pinned is not None:
            reader.connection.execute("COMMIT")
            reader.pinned = None

    @rule(which=st.integers(0, MAX_CONNECTIONS - 1))
    def read_all(self, which: int) -> None:
        reader = self.reader(which)
        inside = reader.pinned is not None
        with self.allowed_to_fail(reader):
            if not inside:
                begin(reader.connection)
                self.pin(reader)
            assert reader.pinned is not None
            self.check_pages(reader, reader.pinned, range(1, reader.pinned.commit + 1))
        if not inside and not reader.connection.get_autocommit():
            reader.connection.execute("COMMIT")
            reader.pinned = None

    @rule(which=st.integers(0, MAX_CONNECTIONS - 1), pgnos=st.lists(st.integers(1, 60), min_size=1, max_size=4))
    def read_some(self, which: int, pgnos: list[int]) -> None:
        reader = self.reader(which)
        if reader.pinned is not None:
            with self.allowed_to_fail(reader):
                self.check_pages(reader, reader.pinned, [pgno for pgno in pgnos if pgno <= reader.pinned.commit])

    @rule(which=st.integers(0, MAX_CONNECTIONS - 1), query=st.sampled_from(_QUERIES))
    def ask(self, which: int, query: str) -> None:
        reader = self.reader(which)
        expected_image = reader.pinned or (reader.target[0] if reader.target else self.newest)
        expected = answer(expected_image, query)
        with self.allowed_to_fail(reader):
            inside = reader.pinned is not None
            try:
                seen: object = list(reader.connection.execute(query))
            except apsw.SQLError as error:
                seen = str(error)
            if inside or reader.target or not self.moved_on():
                assert seen == expected

    @rule(which=st.integers(0, MAX_CONNECTIONS - 1), data=st.data())
    def travel(self, which: int, data: st.DataObject) -> None:
        reader = self.reader(which)
        if reader.pinned is not None:
            return
        txid = data.draw(st.sampled_from(sorted(self.images[self.newest_at[0]])))
        try:
            reader.connection.pragma("litestream_txid", f"{txid:x}")
        except (apsw.Error, TxNotAvailableError) as error:
            note(f"no travel: {error}")
            self.look()
            return
        self.look()
        view = file_of(reader.connection).view
        history = self.histories[view.history]  # perhaps a past one, of which the view was made before
        reader.target = (self.images[history][txid], history, txid)

    @rule(which=st.integers(0, MAX_CONNECTIONS - 1))
    def latest(self, which: int) -> None:
        reader = self.reader(which)
        if reader.pinned is None:
            reader.connection.pragma("litestream_time", "latest")
            reader.target = None

    @invariant()
    def transactions_stand_still(self) -> None:
        for reader in self.readers:
            if reader.pinned is not None:
                view = file_of(reader.connection).pinned
                assert view is not None
                assert (view.txid, view.commit, view.page_size) == (
                    reader.txid,
                    reader.pinned.commit,
                    reader.pinned.page_size,
                )

    # How all that is checked.

    def reader(self, which: int) -> Reader:
        return self.readers[which % len(self.readers)]

    def moved_on(self) -> bool:
        """Whether a read found page 1 gone and moved to a newer view by itself."""
        before = self.newest_at
        self.look()
        return self.newest_at != before

    def pin(self, reader: Reader) -> None:
        self.look()
        image, history, txid = reader.target or (self.newest, *self.newest_at)
        reader.pinned, reader.history, reader.txid = image, history, txid

    def check_pages(self, reader: Reader, expected: Image, pgnos: "range | list[int]") -> None:
        file = file_of(reader.connection)
        for pgno in pgnos:
            try:
                page = file.xRead(expected.page_size, (pgno - 1) * expected.page_size)
            except apsw.BusyError:
                if not self.faulty:
                    self.check_gone(reader, expected, pgno)
                raise
            seen, right = bytearray(page), bytearray(expected.page(pgno))
            if pgno == 1:
                for data in (seen, right):
                    for part in (slice(18, 20), slice(24, 32), slice(40, 44), slice(92, 96)):
                        data[part] = bytes(part.stop - part.start)
            assert seen == right, f"page {pgno} of {expected.commit} at TXID {reader.txid} is another one"

    def check_gone(self, reader: Reader, expected: Image, pgno: int) -> None:
        """Fail if a file that surely holds the right version of a page is there, and history can be proven to go on."""
        if reader.history != self.primary.history:
            return
        files = [info for level in range(10) for info in self.client.inner.ltx_files(level)]
        table, pinned = self.replica.open().replica.table, file_of(reader.connection).pinned
        if pinned is None or pinned.history != table.history:
            return  # at some poll no known file was left
        if not any(is_known(table, info) for info in files):
            return
        images = self.primary.images
        first = reader.txid
        while first - 1 in images and same_page(images[first - 1], expected, pgno):
            first -= 1
        for info in files:
            if first <= info.max_txid <= reader.txid:
                assert pgno not in decode_file(self.client.inner.read_ltx(info)).index, f"{info} holds page {pgno}"

    @contextmanager
    def allowed_to_fail(self, reader: Reader) -> Iterator[None]:
        """Let errors of the storage pass while there are faults, and a version that is gone always."""
        try:
            yield
        except apsw.BusyError as error:
            assert error.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT  # type: ignore[attr-defined]  # noqa: PT017
            self.roll_back(reader)
        except apsw.IOError as error:
            if not self.faulty:
                assert "no longer in the replica" in str(error)  # noqa: PT017
                assert reader.target is not None
            self.roll_back(reader)
        else:
            if reader.connection.get_autocommit():
                reader.pinned = None

    def roll_back(self, reader: Reader) -> None:
        self.look()  # a read of a version that is gone polls
        if not reader.connection.get_autocommit():
            reader.connection.execute("ROLLBACK")
        reader.pinned = None


def is_known(table: FileTable, info: FileInfo) -> bool:
    file = table.get(info)
    return table.has_seen(info) or (file is not None and file.info.identity == info.identity)


def same_page(image: Image, other: Image, pgno: int) -> bool:
    return (
        image.page_size == other.page_size
        and pgno <= image.commit
        and pgno != lock_pgno(image.page_size)
        and image.page(pgno) == other.page(pgno)
    )


def answer(image: Image, query: str) -> object:
    """What SQLite answers on the image itself."""
    connection = apsw.Connection(":memory:")
    try:
        data = bytearray(image.data)
        data[18:20] = b"\x01\x01"
        connection.deserialize("main", bytes(data))
        try:
            return list(connection.execute(query))
        except apsw.SQLError as error:
            return str(error)
    finally:
        connection.close()


TestReplica = ReplicaMachine.TestCase
