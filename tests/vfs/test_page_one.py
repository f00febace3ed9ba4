"""Page 1 as a connection sees it. Method: any sequence of views, and what SQLite would conclude from each look."""

from datetime import UTC, datetime
from struct import pack, unpack_from

from hypothesis import given
from hypothesis import strategies as st

from replication.position import TXID
from vfs.page_one import PageOne
from vfs.view import View


def make_view(txid: int, *, commit: int = 10, epoch: int = 0) -> View:
    return View(
        txid=TXID(txid),
        commit=commit,
        page_size=512,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        history=0,
        epoch=epoch,
        layers=(),
    )


def stored(cookie: int = 1) -> bytes:
    page = bytearray(range(256)) * 2
    page[40:44] = pack(">I", cookie)
    return bytes(page)


def counter(page: bytes) -> int:
    return int(unpack_from(">I", page, 24)[0])


def cookie(page: bytes) -> int:
    return int(unpack_from(">I", page, 40)[0])


def test_only_the_documented_bytes_change() -> None:
    page = stored()
    patched = PageOne().patch(page, make_view(5, commit=77), (0, 0))
    assert patched[18:20] == b"\x01\x01"
    assert unpack_from(">II", patched, 24) == (5, 77)
    assert patched[92:96] == patched[24:28]
    kept = [i for i in range(512) if not (18 <= i < 20 or 24 <= i < 32 or 40 <= i < 44 or 92 <= i < 96)]
    assert all(patched[i] == page[i] for i in kept)
    assert page == stored()


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(1, 2**33), st.integers(0, 2**32 - 1)), min_size=2)
)
def test_another_state_is_never_taken_for_the_one_before(steps: list[tuple[bool, int, int, int]]) -> None:
    """Within an epoch TXIDs rise, and the cookie changes with the schema; a new epoch may bring any."""
    one, epoch, txid, schema = PageOne(), 0, 1, 0
    last = one.patch(stored(schema), make_view(txid), (0, epoch))
    for jumps, rise, new_txid, new_schema in steps:
        if jumps:
            epoch, txid, schema = epoch + 1, new_txid, new_schema
        else:
            txid, schema = txid + rise, (schema + rise // 2) % 2**32
        page = one.patch(stored(schema), make_view(txid), (0, epoch))
        assert (counter(page) != counter(last)) == (jumps or rise > 0)
        assert (cookie(page) != cookie(last)) == (jumps or rise > 1)
        last = page


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20))
def test_the_same_view_looks_the_same_again(txids: list[int]) -> None:
    one = PageOne()
    for number, txid in enumerate(sorted(txids)):
        first = one.patch(stored(number), make_view(txid), (0, 0))
        assert one.patch(stored(number), make_view(txid), (0, 0)) == first
