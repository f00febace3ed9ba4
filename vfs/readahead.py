"""Which pages one connection is going to want: what it reads, seen against what is known of the b-trees.

Each page that it asks the replica for is shown here before it is read, so that what is guessed is fetched beside it,
and after it was, to learn from it. Guesses stay within the connection's budget; nothing here waits for the storage.
"""

from dataclasses import dataclass, field

from vfs import btree
from vfs.ahead import Budget, FetchedAhead
from vfs.index_walks import IndexWalks
from vfs.interiors import Interiors
from vfs.leaf_runs import LeafRuns
from vfs.overflow_chains import OverflowChains
from vfs.tree import Tree
from vfs.view import View


@dataclass(slots=True)
class Readahead:
    """The guesses for one connection; used by one thread at a time, as the connection is."""

    tree: Tree
    usable: int = 0  # bytes of a page that SQLite uses; 0 before page 1 was read
    _runs: LeafRuns = field(init=False)
    _walks: IndexWalks = field(init=False)
    _chains: OverflowChains = field(init=False)

    def __post_init__(self) -> None:
        self._runs, self._walks, self._chains = LeafRuns(self.tree), IndexWalks(self.tree), OverflowChains(self.tree)

    @classmethod
    def of(cls, interiors: Interiors, ahead: FetchedAhead, size: int) -> "Readahead":
        """Return the guesses of a connection that may have so many bytes unused."""
        return cls(Tree(interiors, ahead, Budget(size)))

    def begin(self) -> None:
        """Begin another transaction, of which the last one says little."""
        self.tree.budget.renew()
        self._runs.clear()
        self._walks.clear()
        self._chains.clear()

    def before(self, view: View, pgno: int) -> None:
        """Fetch ahead what the wish for a page says of the next wishes."""
        spot = self.tree.spot(view, pgno)
        if spot is None:
            self._chains.read(view, pgno, self.usable or view.page_size)
        elif spot.node.above_leaves:
            self._runs.read(view, pgno, spot)
            if spot.node.interior.kind == btree.INTERIOR_TABLE:
                self._walks.read(view, pgno, spot, self.usable or view.page_size)

    def after(self, view: View, pgno: int, page: bytes) -> None:
        """Learn from a page that was read."""
        if pgno == 1:
            self.usable = btree.usable_size(page, view.page_size)
        if self._chains.was_read(view, pgno, page):
            return
        kind = btree.page_kind(page, pgno)
        spot = self.tree.spot(view, pgno)
        if spot is not None and spot.node.above_leaves is None:
            spot.node.above_leaves = kind not in btree.INTERIOR_KINDS
            if spot.node.above_leaves:
                self.before(view, pgno)
        if kind in btree.INTERIOR_KINDS:
            self._walks.retry(view)
        elif kind:
            self._chains.add(page, pgno)
            if kind == btree.LEAF_INDEX:
                self._walks.add(page, pgno)
