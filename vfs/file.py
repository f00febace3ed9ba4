"""The open database file, as SQLite sees it: reads, and a lock that pins a view.

- While SQLite holds a lock, `pinned` is the view of its transaction, and every read comes from it.
- Without a lock a read comes from the newest view (or the one travelled to); SQLite does that once, at open.
- `_front` is the pinned view's front of the page cache: reading a cached page is one look-up in it.
- `_passing` has pages of the pinned view that were fetched ahead for this transaction, and are not cached.
- `_patched` is page 1 of `_patched_view` as this connection sees it; SQLite looks at it in every transaction.
- A forked child has neither views nor fronts, so every read there ends in the replica's refusal.
- A file is used by one thread at a time, as its connection is. The poller only looks at `pinned`.
"""

import ctypes
from typing import NoReturn, cast
from weakref import ref

import apsw

from replication.errors import LitestreamError, SnapshotGoneError, UnavailableError, UsageError
from vfs.codes import read_error
from vfs.page_one import COUNTER_OFFSET, PageOne
from vfs.pragma import answer_pragma
from vfs.readahead import Readahead
from vfs.registry import SharedUse
from vfs.view import View
from vfs.waiter import Waiter

GET_FILE = 0x4C545846
"""File control that appends the file to the list whose address it is given."""

SECTOR_SIZE = 4096
_NONE, _SHARED = apsw.SQLITE_LOCK_NONE, apsw.SQLITE_LOCK_SHARED
_CHARACTERISTICS = apsw.SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN
QUERIES_BEFORE_SEARCH = 2  # reading the schema may be the first
MAX_MOVES = 3  # to newer views, when page 1 of the pinned one is gone before anything of it was read

_Front = dict[int, bytes]
_NOTHING: _Front = {}


class ReplicaFile:
    """A replica opened as the main file of a database, by one connection."""

    def __init__(self, use: SharedUse, target: View | None, prefetch_size: int = 0) -> None:
        """Read from a shared replica, at `target` if that is a view, else at the newest TXID."""
        self.use = use
        self.replica = use.replica
        self.pinned: View | None = None
        self.target = target
        self._front = _NOTHING
        self._passing = _NOTHING
        self.hits = 0  # pages read without asking the replica
        self._untouched = False  # the pinned view was not read from yet
        self._asked = False  # this transaction asked the replica for a page
        self._went_on = False  # and for another than the first one
        self._queries = 0  # transactions that did
        self._hits_when_asked = 0  # `hits` when a page was asked for last
        self._travels = 0  # part of the epoch: a view travelled to is no continuation of the last one
        self._page_one = PageOne()
        self._patched_view: View | None = None
        self._patched = b""
        self._readahead: Readahead | None = None
        self.set_prefetch_size(prefetch_size)
        self._handle: int | None = None  # the sqlite3 pointer of the connection
        self._connection: ref[apsw.Connection] | None = None
        self._rest = self.replica.rest
        self.replica.add_pin(self)

    def __repr__(self) -> str:
        return f"<ReplicaFile pinned={self.pinned!r} target={self.target!r}>"

    @property
    def view(self) -> View:
        """The view a read comes from now.

        Raises:
            UsageError: this is a forked child of the process that opened the replica.

        """
        return self.pinned or self.target or self.replica.view

    @property
    def connection(self) -> apsw.Connection | None:
        """The connection this file belongs to; None while that is still being opened."""
        known = self._connection() if self._connection else None
        if known is not None or self._handle is None:
            return known
        for connection in apsw.connections():
            try:
                if connection.sqlite3_pointer() == self._handle:
                    self._connection = ref(connection)
                    return connection
            except apsw.ConnectionClosedError:
                continue
        return None

    def waiter(self, timeout_s: float | None = None) -> Waiter:
        """Return a waiter that this connection's `interrupt()` ends."""
        connection = self.connection

        def interrupted() -> bool:
            return connection is not None and connection.is_interrupted

        return self.replica.waiter(interrupted) if timeout_s is None else Waiter(timeout_s, interrupted)

    @property
    def prefetch_size(self) -> int:
        """How many bytes may be fetched ahead and unused; 0 for none."""
        return self._prefetch_size

    def set_prefetch_size(self, size: int) -> None:
        """Fetch so many bytes ahead at most from now on; 0 for none."""
        self._prefetch_size = size
        self._readahead = self.replica.readahead(size)
        self._seeks = self._readahead is not None

    def travel(self, target: View | None) -> None:
        """Read at a view from the next transaction on, or at the newest one again."""
        self.target = target
        self._travels += 1
        self._patched_view = None

    def abandon(self) -> None:
        """Forget every view, in a forked child."""
        self.pinned = self.target = self._patched_view = None
        self._front = self._passing = _NOTHING

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        """Return bytes of the database as this transaction sees it; fewer only past the end."""
        page = self._front.get(offset) or self._passing.get(offset)
        if page is not None and len(page) == amount:
            self.hits += 1
            return page
        if offset == COUNTER_OFFSET and self._patched_view is self.pinned is not None:
            self._untouched = False
            return self._patched[offset : offset + amount]
        try:
            return self._read(amount, offset)
        except LitestreamError as error:
            raise read_error(error) from error

    def xLock(self, level: int) -> None:  # noqa: N802
        """Pin the view that this transaction sees."""
        if level > _SHARED:
            self._refuse()
        if self.pinned is not None:
            return
        view = self.target
        if view is None:
            replica, rest = self.replica, self._rest
            rest.touched = True
            if rest.is_resting:
                self._wake_up()
            view = replica.current
            if view is None or replica.limits_staleness:
                view = self._check_current()
        self.pinned = view
        self._front = view.pages
        self._untouched = True
        if self._seeks:
            self._seek(view)

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """Let go of the view when the transaction ends."""
        if level == _NONE:
            self.pinned = None
            self._front = self._passing = _NOTHING
            if self._readahead is not None and self._asked:
                self._readahead.end(self.hits - self._hits_when_asked)
                self._asked = False
                self._queries += self._went_on
                self._went_on = False

    def xFileSize(self) -> int:  # noqa: N802
        """Return the size of the database, in bytes."""
        pinned = self.pinned
        if pinned is not None and not self._untouched:
            return pinned.size
        try:
            if pinned is not None:
                self._read_page_one(0, 0)  # it may move to a newer view, and the size must be that one's
            size = self.view.size
        except LitestreamError as error:
            raise read_error(error) from error
        return size

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        """Answer pragmas, and note which connection this file belongs to."""
        if op == apsw.SQLITE_FCNTL_PRAGMA:
            return answer_pragma(self, apsw.VFSFcntlPragma(ptr))
        if op == apsw.SQLITE_FCNTL_PDB:
            self._handle = ctypes.c_void_p.from_address(ptr).value
            return True
        if op == GET_FILE:
            cast("list[ReplicaFile]", ctypes.py_object.from_address(ptr).value).append(self)
            return True
        return False

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        """Nobody writes here, so nobody is about to."""
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        """Return what SQLite takes for a sector; it matters to writers only."""
        return SECTOR_SIZE

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        """Say that the file is not deleted while it is open, and nothing that would turn locks off."""
        return _CHARACTERISTICS

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: ARG002, N802
        """Nobody writes here."""
        self._refuse()

    def xTruncate(self, size: int) -> None:  # noqa: ARG002, N802
        """Nobody writes here."""
        self._refuse()

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Nothing was written, so nothing needs to reach a disk."""

    def xClose(self) -> None:  # noqa: N802
        """Let go of the replica; the last one to do so ends its poller."""
        self.abandon()
        self.replica.drop_pin(self)
        self.replica.stats.count("cache_hits", self.hits)
        self.use.release()

    def _seek(self, view: View) -> None:
        """Look for interior pages, once a query was answered."""
        search = self.replica.interior_search
        if search.is_done:
            self._seeks = False
        elif self._queries >= QUERIES_BEFORE_SEARCH:
            search.step(view)

    def _wake_up(self) -> None:
        try:
            self.replica.wake_up()
        except LitestreamError as error:
            raise read_error(error) from error

    def _check_current(self) -> View:
        try:
            self.replica.check_staleness()
            view = self.replica.view
        except LitestreamError as error:
            raise read_error(error) from error
        return view

    def _read(self, amount: int, offset: int) -> bytes:
        view = self.view
        if offset < view.page_size:
            return self._read_page_one(amount, offset)
        pgno, skipped = divmod(offset, view.page_size)
        end = min(offset + amount, view.size)
        if end <= offset:
            return b""
        parts = [self._page(view, number + 1) for number in range(pgno, (end - 1) // view.page_size + 1)]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return data if skipped == 0 and len(data) == amount else data[skipped : skipped + end - offset]

    def _read_page_one(self, amount: int, offset: int) -> bytes:
        for _ in range(MAX_MOVES):
            view = self.view
            if view.commit == 0:
                return b""
            try:
                page = self._patched_page_one(view)
                break
            except SnapshotGoneError as error:
                # BUSY here would make SQLite call the busy handler for as long as that likes; nothing of the pinned
                # view was used yet, so a newer one is as good. At open nothing is pinned.
                if self.target is not None or (self.pinned is not None and not self._untouched):
                    raise UnavailableError(str(error)) from error
                if self.replica.current is view:
                    self.replica.poll(self.waiter())  # as the read just did, but a failure is this one's too
                if self.pinned is not None:
                    self.pinned = self.replica.view
                    self._front = self.pinned.pages
        else:
            msg = f"page 1 vanished from {MAX_MOVES} views in a row"
            raise UnavailableError(msg)
        self._untouched = False
        end = offset + amount
        if end <= len(page):
            return page[offset:end]
        return page[offset:] + self._read(end - len(page), len(page))

    def _patched_page_one(self, view: View) -> bytes:
        if self._patched_view is not view:
            self._patched = self._page_one.patch(self._page(view, 1), view, (self._travels, view.epoch))
            self._patched_view = view
        return self._patched

    def _page(self, view: View, pgno: int) -> bytes:
        readahead = self._readahead
        if readahead is None:
            return self.replica.read(view, pgno, self.waiter())
        self._asked, self._hits_when_asked = True, self.hits
        self._went_on = pgno > 1
        readahead.before(view, pgno)
        if view is self.pinned:
            self._passing = readahead.passing
        page = self.replica.read(view, pgno, self.waiter(), readahead.budget)
        readahead.after(view, pgno, page)
        return page

    def _refuse(self) -> NoReturn:
        error = UsageError("a replica opened through the litestream VFS is read-only: write to the primary")
        exception = apsw.exception_for(apsw.SQLITE_READONLY)
        exception.args = (str(error),)
        raise exception from error
