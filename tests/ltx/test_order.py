"""The order of pages: the rules around the lock page, which no small file reaches; the others are tried on files."""

import pytest

from replication.errors import LTXError
from replication.ltx.order import PageOrder
from tests.support.ltx_files import make_header

LOCK = 16_385


def follow(min_txid: int, commit: int, pgnos: list[int]) -> None:
    order = PageOrder(make_header(min_txid, commit=commit, page_size=65_536))
    for pgno in pgnos:
        order.advance(pgno)
    order.finish()


@pytest.mark.parametrize("commit", [LOCK - 1, LOCK, LOCK + 1, LOCK + 2])
def test_a_snapshot_has_every_page_but_the_lock_page(commit: int) -> None:
    pgnos = [pgno for pgno in range(1, commit + 1) if pgno != LOCK]
    follow(1, commit, pgnos)
    with pytest.raises(LTXError, match="an end before"):
        follow(1, commit, pgnos[:-1])
    with pytest.raises(LTXError):
        follow(1, commit, [*range(1, LOCK), LOCK])
    with pytest.raises(LTXError):
        follow(1, commit, [*range(1, LOCK), LOCK + 3])


def test_other_files_may_leave_out_any_page() -> None:
    follow(2, LOCK + 2, [])
    follow(2, LOCK + 2, [LOCK - 1, LOCK + 2])
    with pytest.raises(LTXError, match="lock page"):
        follow(2, LOCK + 2, [LOCK - 1, LOCK])
