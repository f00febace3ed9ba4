"""Which page may come next in an LTX file: one rule, for who writes and for who reads.

Page numbers ascend, none is above the commit, and the lock page is never there.
A file that begins with TXID 1 is a snapshot: it holds every other page, up to the commit.

Source: superfly/ltx, encoder.go.
"""

from replication.errors import LTXError
from replication.ltx.header import Header


class PageOrder:
    """Follows the page numbers of one file."""

    def __init__(self, header: Header) -> None:
        self._commit = header.commit
        self._lock_pgno = header.lock_pgno
        self._is_snapshot = header.is_snapshot
        self._last_pgno = 0

    def advance(self, pgno: int) -> None:
        """Accept the next page.

        Raises:
            LTXError: it must not come here, or not at all.

        """
        if pgno > self._commit:
            msg = f"expected pages up to {self._commit}, got page {pgno}"
            raise LTXError(msg)
        if pgno == self._lock_pgno:
            msg = f"expected every page but the lock page, got page {pgno}"
            raise LTXError(msg)
        if pgno <= self._last_pgno:
            msg = f"expected a page above {self._last_pgno}, got page {pgno}"
            raise LTXError(msg)
        if self._is_snapshot and pgno != self._next():
            msg = f"expected page {self._next()} of a snapshot, got page {pgno}"
            raise LTXError(msg)
        self._last_pgno = pgno

    def finish(self) -> None:
        """Accept the end of the pages.

        Raises:
            LTXError: a snapshot lacks pages.

        """
        if self._is_snapshot and self._next() <= self._commit:
            msg = f"expected a snapshot of {self._commit} pages, got an end before page {self._next()}"
            raise LTXError(msg)

    def _next(self) -> int:
        pgno = self._last_pgno + 1
        return pgno + 1 if pgno == self._lock_pgno else pgno
