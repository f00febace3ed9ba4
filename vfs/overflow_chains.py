"""Overflow pages of a row that a connection reads: fetched ahead as if they lay one behind the other.

They mostly do. The cell says how many there are, and each page which one is next, so a wrong guess ends at once.
"""

from dataclasses import dataclass

from vfs import btree
from vfs.tree import Tree
from vfs.view import View

MIN_LENGTH = 2  # pages that are worth it
MAX_WINDOW = 2048  # pages
LOW = 16  # so few pages left of a window make the next one due


@dataclass(slots=True)
class _Chain:
    """The page that is read next, how many there are from it on, and up to which they were fetched (exclusive)."""

    pgno: int
    left: int
    end: int = 0


@dataclass(slots=True)
class OverflowChains:
    """The chain that one connection reads."""

    tree: Tree
    _leaf: tuple[bytes, int] = (b"", 0)
    _chain: _Chain | None = None

    def clear(self) -> None:
        """Forget the chain."""
        self._chain = None

    def add(self, page: bytes, pgno: int) -> None:
        """Know the leaf that was read last: a chain begins in one of its cells."""
        self._leaf = page, pgno

    def read(self, view: View, pgno: int, usable: int) -> None:
        """Note that a page which hangs in no tree is about to be read, and fetch ahead its chain if it begins one."""
        page, leaf = self._leaf
        if not page or (self._chain is not None and self._chain.pgno == pgno):
            return
        length = btree.overflow_chain(page, leaf, pgno, usable)
        if length >= MIN_LENGTH:
            self._chain = _Chain(pgno, min(length, view.commit))
            self._fetch(view, self._chain)

    def was_read(self, view: View, pgno: int, page: bytes) -> bool:
        """Go on with the chain if this page is its next; say whether it is."""
        chain = self._chain
        if chain is None or chain.pgno != pgno:
            return False
        following = btree.next_overflow(page)
        if following == 0 or chain.left <= 1:
            self._chain = None
            return True
        if following != pgno + 1:
            chain.end = 0
        chain.pgno, chain.left = following, chain.left - 1
        if chain.end - chain.pgno < min(chain.left, LOW):
            self._fetch(view, chain)
        return True

    def _fetch(self, view: View, chain: _Chain) -> None:
        end = min(chain.pgno + min(chain.left, MAX_WINDOW), view.commit + 1)
        chain.end = chain.pgno + self.tree.want(view, range(chain.pgno, end))
