"""Which pages one connection is going to want: what it reads, seen against what is known of the b-trees.

Each page that it asks the replica for is shown here before it is read, so that what is guessed is fetched beside it,
and after it was, to learn from it. Guesses stay within the connection's budget; nothing here waits for the storage.
"""

from threading import RLock

from vfs import btree
from vfs.ahead import FetchedAhead
from vfs.budget import Budget
from vfs.index_fetcher import IndexFetcher
from vfs.interior_siblings import InteriorSiblings
from vfs.interiors import Interiors
from vfs.leaf_runs import LeafRuns
from vfs.overflow_chains import OverflowChains
from vfs.row_walks import RowWalks
from vfs.tree import Spot, Tree
from vfs.view import View


class Readahead:
    """The guesses for one connection."""

    def __init__(self, interiors: Interiors, indexes: IndexFetcher, ahead: FetchedAhead, size: int) -> None:
        """Guess for a connection that may have so many bytes fetched and not used."""
        self.budget = Budget(size)
        self._tree = Tree(interiors, indexes, ahead, self.budget, self._landed)
        self._lock = RLock()  # guards what follows: when a page lands, walks and runs go on, on its thread
        self._view: View | None = None  # of the transaction under way
        self._spot: Spot | None = None  # of the page about to be read
        self._ended = False  # the last transaction, and what it read is not forgotten yet
        self._usable = 0  # bytes of a page that SQLite uses; 0 before page 1 was read
        self._runs = LeafRuns(self._tree)
        self._walks = RowWalks(self._tree)
        self._siblings = InteriorSiblings(self._tree)
        self._chains = OverflowChains(self._tree)

    @property
    def passing(self) -> dict[int, bytes]:
        """Pages by offset that the transaction under way may read without asking, after it asked for one."""
        return self._runs.passing

    def end(self, read: int) -> None:
        """Forget what a transaction read, because it has ended: it says little of the next one.

        `read` is how many pages it read without asking since it last asked for one. The garbage collector may end it,
        on any thread and in the middle of anything, so no lock is waited for. The next read forgets what this did not.
        """
        self._ended, self._view = True, None
        if self._lock.acquire(blocking=False):
            try:
                self._forget(read)
            finally:
                self._lock.release()

    def before(self, view: View, pgno: int) -> None:
        """Fetch ahead what the wish for a page says of the next wishes."""
        with self._lock:
            if self._ended:
                self._forget(0)
            self._view = view
            self._spot = spot = self._tree.spot(view, pgno)
            if spot is None:
                self._chains.read(view, pgno, self._usable or view.page_size)
            elif spot.node.above_leaves:
                self._read_leaf(view, pgno, spot)
            else:
                self._siblings.read(view, pgno, spot)

    def after(self, view: View, pgno: int, page: bytes) -> None:
        """Learn from a page that was read."""
        with self._lock:
            if pgno == 1:
                self._usable = btree.usable_size(page, view.page_size)
            if self._chains.was_read(view, pgno, page):
                return
            kind, spot = btree.page_kind(page, pgno), self._spot
            if spot is not None and spot.node.above_leaves is None:
                spot.node.above_leaves = kind not in btree.INTERIOR_KINDS
                if spot.node.above_leaves:
                    self._read_leaf(view, pgno, spot)
            if kind in btree.INTERIOR_KINDS:
                self._resume(view)
            elif kind:
                self._runs.was_read(view)
                self._chains.add(page, pgno)
                if pgno > 1:  # which has the schema
                    self._walks.add(view, page, pgno, spot, self._usable or view.page_size)

    def _forget(self, read: int) -> None:
        self._ended = False
        self.budget.renew()
        self._runs.clear(read)
        self._walks.clear()
        self._siblings.clear()
        self._chains.clear()

    def _read_leaf(self, view: View, pgno: int, spot: Spot) -> None:
        self._runs.read(view, pgno, spot)
        if spot.node.interior.kind == btree.INTERIOR_TABLE:
            self._walks.read(view, pgno, spot)

    def _landed(self) -> None:
        with self._lock:
            view = self._view  # once, for `end` sets it without the lock
            if view is not None:
                self._resume(view)

    def _resume(self, view: View) -> None:
        self._walks.retry(view)
        self._runs.resume(view)
