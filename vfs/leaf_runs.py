"""Leaves that a connection reads one after the other: what comes next is fetched ahead, in the order of the tree.

The second leaf in a row begins a run, in either direction. Its window doubles, and the next window is on its way before
half of the last is used up. Several runs are followed side by side, as a query reads several tables and indexes.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from vfs.interiors import Node
from vfs.tree import Spot, Tree
from vfs.view import View

FIRST_WINDOW = 4  # leaves
SURE_WINDOW = 32  # a larger window is no larger than the run has been long
MAX_WINDOW = 4096
MAX_EXPECTED = 32  # leaves that would go on with a run
MAX_SKIPPED = 64  # leaves passed over because the connection has them, before a run is lost


@dataclass(slots=True, eq=False)
class _Run:
    """The last leaf read, the way, and how far ahead was fetched."""

    spot: Spot
    step: int = 0  # 1 or -1; 0 before the second leaf
    used: int = 0  # leaves read
    window: int = 0
    left: int = 0  # leaves fetched ahead and not read yet
    end: Spot | None = None  # the last leaf fetched ahead


@dataclass(slots=True)
class LeafRuns:
    """The runs of one connection."""

    tree: Tree
    _expected: OrderedDict[int, _Run] = field(default_factory=OrderedDict)  # by the leaf that would go on with it

    def clear(self) -> None:
        """Forget all runs."""
        self._expected.clear()

    def read(self, view: View, pgno: int, spot: Spot) -> None:
        """Note that a leaf is about to be read, and fetch ahead what follows if it goes on with a run."""
        run = self._expected.get(pgno)
        if run is None:
            run = _Run(spot)
        else:
            self._go_on(view, run, pgno, spot)
        self._expect(view, run)

    def _go_on(self, view: View, run: _Run, pgno: int, spot: Spot) -> None:
        same = spot.node is run.spot.node
        if same:
            step = 1 if spot.position > run.spot.position else -1
        else:
            step = run.step or self._direction(view, run.spot.node, spot.node)
        if step != run.step:
            run.step, run.used, run.window, run.left, run.end = step, 0, 0, 0, None
        run.left = max(0, run.left - (abs(spot.position - run.spot.position) if same else 1))
        run.spot, run.used = spot, run.used + 1
        if run.left > run.window // 2 or self.tree.is_cached(view, pgno):
            return  # where the pages are cached, those after them may be too
        run.window = min(max(FIRST_WINDOW, run.window * 2), max(SURE_WINDOW, run.used), MAX_WINDOW)
        own = [] if run.left else [pgno]
        start = run.end if run.left and run.end else spot
        leaves, _ = self.tree.leaves(view, start, step, run.window - run.left)
        count = max(0, min(self.tree.want(view, [*own, *leaves]) - len(own), len(leaves)))
        _, run.end = self.tree.leaves(view, start, step, count)
        run.left += count

    def _direction(self, view: View, before: Node, after: Node) -> int:
        found = self.tree.sibling(view, before, 1)
        return 1 if found is not None and found.pgno == after.pgno else -1

    def _expect(self, view: View, run: _Run) -> None:
        """Know a run again at the next leaf that the connection has to ask for, in either direction at first."""
        for pgno in [pgno for pgno, one in self._expected.items() if one is run]:
            del self._expected[pgno]
        for step in (run.step,) if run.step else (1, -1):
            following = self._next_unread(view, run.spot, step)
            if following is not None:
                self._expected[following] = run
        while len(self._expected) > MAX_EXPECTED:
            self._expected.popitem(last=False)

    def _next_unread(self, view: View, spot: Spot, step: int) -> int | None:
        """Return the next leaf that is not in the view's front, where reading it would not be seen here."""
        for _ in range(MAX_SKIPPED):
            leaves, spot = self.tree.leaves(view, spot, step, 1)
            if not leaves:
                return None
            if (leaves[0] - 1) * view.page_size not in view.pages:
                return leaves[0]
        return None
