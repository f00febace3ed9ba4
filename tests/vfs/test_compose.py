"""From loaded files to views. Method: examples of each kind of file, and what must be refused."""

import pytest

from replication.errors import LTXError, PositionError
from replication.ltx.decoder import decode_file
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.support.ltx_files import make_file, make_header
from vfs.compose import compose
from vfs.load import LoadedFile
from vfs.ltx_file import LTXFile


def loaded(first: int, last: int, pgnos: list[int], *, commit: int, page_size: int = 512) -> LoadedFile:
    header = make_header(first, last, commit=commit, page_size=page_size)
    data = make_file(header, {pgno: bytes([last]) * page_size for pgno in pgnos})
    info = FileInfo(level=0, min_txid=TXID(first), max_txid=TXID(last), size=len(data))
    return LoadedFile(LTXFile(info, header, data), decode_file(data).index, data)


BASE = loaded(1, 1, [1, 2, 3], commit=3)


def test_the_newest_file_gives_position_size_and_instant() -> None:
    view = compose([BASE, loaded(2, 4, [2], commit=2)], None, history=3, epoch=0).view
    assert (view.txid, view.commit, view.history, view.size) == (4, 2, 3, 1024)
    assert view.find(3) is None
    place = view.find(2)
    assert place is not None
    assert place.file.info.max_txid == 4


def test_a_file_on_top_says_which_pages_changed_and_keeps_the_epoch() -> None:
    before = compose([BASE], None, history=0, epoch=5).view
    composed = compose(
        [loaded(2, 2, [2], commit=3), loaded(3, 3, [3], commit=3)], before, history=0, epoch=before.epoch
    )
    assert composed.changed == frozenset({2, 3})
    assert composed.view.epoch == before.epoch


def test_a_file_of_every_page_starts_a_new_epoch_and_may_change_the_page_size() -> None:
    before = compose([BASE], None, history=0, epoch=0).view
    composed = compose([loaded(2, 2, [1, 2], commit=2, page_size=1024)], before, history=0, epoch=before.epoch)
    assert composed.changed is None
    assert (composed.view.epoch, composed.view.page_size) == (before.epoch + 1, 1024)
    assert composed.view.find(3) is None


@pytest.mark.parametrize(("first", "last"), [(3, 3), (1, 1)])
def test_a_file_after_a_gap_or_without_anything_new_is_refused(first: int, last: int) -> None:
    before = compose([BASE], None, history=0, epoch=0).view
    with pytest.raises(PositionError):
        compose([loaded(first, last, [1, 2, 3], commit=3)], before, history=0, epoch=0)


def test_some_pages_of_another_size_are_refused() -> None:
    before = compose([BASE], None, history=0, epoch=0).view
    with pytest.raises(LTXError, match="512"):
        compose([loaded(2, 2, [1], commit=3, page_size=1024)], before, history=0, epoch=0)
