"""Leaves that a connection reads one after the other: what comes next is fetched ahead, in the order of the tree.

- The second leaf in a row begins a run, in either direction. Its window doubles, and the next window is on its way
  when half of the last is used up. Several runs are followed side by side, as a query reads several b-trees.
- A run that began at an end of its tree may be a scan, so its windows are larger from the first on, and grow faster.
- Once a run has become long, the next window is on its way when a quarter of the last can be read without asking, and
  with it the interior pages above those to come.
- The leaves that come in one range are put, when the first of them is read, where the connection finds a page without
  asking: into the page cache, or beside it. So it asks for the first of each range, which shows how far it is.
- A leaf's number counts from the run's first leaf, 0.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import count, repeat

from vfs.shown import Shown
from vfs.tree import Spot, Tree
from vfs.view import View

FIRST_WINDOW = 4  # leaves
GROWTH = 2
SURE_WINDOW = 32  # a larger one is no larger than the run has been long
LENGTH = 512  # from which on a run, or its window, is long
SCAN_WINDOW = 16  # the first one of a run that began at an end of its tree
SCAN_GROWTH = 8
SCAN_LENGTH = 64
LEFT = 0.5  # of a window, when the next one is due
LONG_LEFT = 0.75  # the same in a long run
WAYS = 8  # windows to come, to whose leaves a long run seeks the way
MAX_WINDOW = 4096
MAX_RUNS = 8
IDLE_READS = 16  # so many leaves read elsewhere say that a run may be over


@dataclass(slots=True, eq=False)
class _Run:
    """The last leaf read, the way, and how far ahead was fetched."""

    spot: Spot
    end: Spot  # of the last leaf fetched ahead, or else of the last one read
    shown: Shown
    read_at: int  # how many leaves had been asked for, of whatever run, when one of it was
    step: int = 0  # 1 or -1; 0 before the second leaf
    number: int = 0  # of the last leaf read
    wanted: int = 0  # number of the last leaf fetched ahead, or else of the last one read
    window: int = 0
    may_scan: bool = False  # it began at an end of its tree
    is_cached: bool = False  # the last leaf read: those after it may be too
    stalled: bool = False  # the way to the leaves to come led to an interior page that was not here
    coming: deque[int] = field(default_factory=deque)  # leaves after the last one read, in order

    @property
    def is_long(self) -> bool:
        return max(self.wanted, self.window) >= (SCAN_LENGTH if self.may_scan else LENGTH)


@dataclass(slots=True)
class LeafRuns:
    """The runs of one connection."""

    tree: Tree
    passing: dict[int, bytes] = field(default_factory=dict)  # pages that can be read without asking, by offset
    _reads: int = 0  # leaves that were asked for
    _runs: deque[_Run] = field(default_factory=deque)  # the last used at the end
    _expected: dict[int, tuple[_Run, int]] = field(default_factory=dict)  # leaves to come, and their number in a run

    def clear(self, read: int) -> None:
        """Forget all runs; of the last one so many leaves were read after the last that was asked for."""
        if self._runs:
            self._pass(self._runs[-1], self._runs[-1].number + read)
        while self._runs:
            self._drop(self._runs[0])
        self.passing = {}  # whoever has the old one reads at another view

    def read(self, view: View, pgno: int, spot: Spot) -> None:
        """Note that a leaf is about to be read, and fetch ahead what follows if it goes on with a run."""
        self._reads += 1
        found = self._expected.get(pgno)
        if found is None:
            self._begin(view, spot)
            return
        run, number = found
        if run.step == 0:
            run.step = run.shown.step = number
            number = 1
            run.may_scan = self.tree.is_end(view, run.spot, -run.step)
            self._forget(run)
        elif number > run.number:
            self._pass(run, number)
        if number <= run.wanted and not self.tree.has(view, pgno):
            self._forget(run)  # it was cached, or had landed, and had to give way: so may those after it
            run.end, run.wanted = spot, number
        run.spot, run.number, run.read_at = spot, number, self._reads
        run.is_cached = self.tree.is_cached(view, pgno)
        if run.wanted <= number:
            run.end, run.wanted = spot, number
        if run.wanted == number or not run.is_long:
            self._extend(view, run, pgno)
        self._runs.remove(run)
        self._runs.append(run)

    def was_read(self, view: View) -> None:
        """Fetch ahead what follows the leaves that a long run has got with the one just read."""
        run = self._runs[-1] if self._runs else None
        if run is not None and run.is_long:
            self._extend(view, run, run.spot.node.interior.children[run.spot.position])

    def resume(self, view: View) -> None:
        """Go on where an interior page was missing that may be here now."""
        for run in list(self._runs):
            if run.stalled and run.step and not run.shown.is_over:
                self._fetch_window(view, run, [])
                self._expect_next(view, run)

    def _begin(self, view: View, spot: Spot) -> None:
        run = _Run(spot, spot, self.tree.ahead.shown(view, self.passing, self.tree.budget), read_at=self._reads)
        self._runs.append(run)
        for step in (1, -1):
            for leaf in self.tree.leaves(view, spot, step, 1)[0]:
                self._expected[leaf] = run, step
                run.coming.append(leaf)
        if len(self._runs) > MAX_RUNS:
            self._drop(self._runs[0])

    def _extend(self, view: View, run: _Run, pgno: int) -> None:
        """Fetch the next window ahead, if enough of the last one is used up, or is where it is read without asking."""
        left = run.window * (LONG_LEFT if run.is_long else LEFT)
        if run.wanted - run.number - len(run.shown) > left or run.is_cached:
            return
        if run.may_scan:
            run.window = min(max(SCAN_WINDOW, run.window * SCAN_GROWTH), MAX_WINDOW)
        else:
            run.window = min(max(FIRST_WINDOW, run.window * GROWTH), max(SURE_WINDOW, run.number), MAX_WINDOW)
        self._fetch_window(view, run, [pgno] if run.wanted == run.number else [])
        self._expect_next(view, run)

    def _fetch_window(self, view: View, run: _Run, own: list[int]) -> None:
        """Fetch what is missing of a window, and a page that is wanted now with it."""
        missing = run.window - (run.wanted - run.number - len(run.shown))
        if run.is_long:
            self.tree.want_interiors(view, run.end, run.step, run.window * WAYS)
        leaves, _ = self.tree.leaves(view, run.end, run.step, missing)
        run.stalled = len(leaves) < missing
        sure = max(0, self.tree.want(view, [*own, *leaves], run.shown) - len(own))
        if sure < len(leaves):
            self._give_up_idle(view, run)
            run.window -= len(leaves) - sure  # there was no room for more, and a part of that is worth a request
            leaves = leaves[:sure]
        if leaves:
            _, run.end = self.tree.leaves(view, run.end, run.step, len(leaves))
        self._expected.update(zip(leaves, zip(repeat(run), count(run.wanted + 1), strict=False), strict=False))
        run.coming.extend(leaves)
        run.wanted += len(leaves)

    def _give_up_idle(self, view: View, run: _Run) -> None:
        """Drop the runs that are most likely over, if they leave no room for one that goes on."""
        if self.tree.budget.room < view.page_size:
            for other in list(self._runs):
                if other is not run and self._reads - other.read_at > IDLE_READS:
                    self._drop(other)

    def _expect_next(self, view: View, run: _Run) -> None:
        """Know the run again at the leaf after all that were fetched ahead."""
        for leaf in self.tree.leaves(view, run.end, run.step, 1)[0]:
            if self._expected.get(leaf, (None, 0))[0] is not run:
                self._expected[leaf] = run, run.wanted + 1
                run.coming.append(leaf)

    def _pass(self, run: _Run, number: int) -> None:
        """Note that the leaves up to a number, but for that one, were read without asking."""
        passed = [run.coming.popleft() for _ in range(min(number - run.number, len(run.coming)))]
        for leaf in passed:
            if self._expected.get(leaf, (None, 0))[0] is run:
                del self._expected[leaf]
        run.shown.passed(passed)

    def _forget(self, run: _Run) -> None:
        for leaf in run.coming:
            if self._expected.get(leaf, (None, 0))[0] is run:
                del self._expected[leaf]
        run.coming.clear()

    def _drop(self, run: _Run) -> None:
        self._runs.remove(run)
        self._forget(run)
        run.shown.drop()
