"""The stack of layers against a dict.

Bugs once planted and caught here: an older layer over a newer one; a base not cut when the database shrinks; pages
beyond a shrink that come back when it grows.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.ltx.file_info import FileInfo
from replication.ltx.index import PageIndex
from replication.position import TXID
from tests.support.ltx_files import make_header
from vfs import index
from vfs.index import FileLayer, Layer, merge, push
from vfs.ltx_file import LTXFile
from vfs.place import Place

MEGABYTE = 1_000_000


def make_layer(txid: int, pgnos: list[int], commit: int) -> tuple[FileLayer, LTXFile]:
    file = LTXFile(
        FileInfo(level=0, min_txid=TXID(txid), max_txid=TXID(txid)), make_header(txid, commit=max(commit, 1)), None
    )
    offsets = [100 + 30 * number + txid for number in range(len(pgnos) + 1)]
    return FileLayer(file, PageIndex(np.array(pgnos, np.uint32), np.array(offsets, np.uint64))), file


def find(layers: tuple[Layer, ...], pgno: int) -> Place | None:
    return next((place for layer in layers if (place := layer.find(pgno)) is not None), None)


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[int, list[int]]]:
    """Sizes and written pages of files, one after the other; those a database grew by are written."""
    result, before = [], 0
    for _ in range(draw(st.integers(1, 12))):
        commit = draw(st.integers(1, 30))
        written = draw(st.frozensets(st.integers(1, commit), max_size=6))
        result.append((commit, sorted(written | set(range(before + 1, commit + 1)))))
        before = commit
    return result


@given(changes(), st.integers(1, 4), st.sampled_from([0, 3, 10, 8192]))
def test_the_stack_answers_as_a_dict_does(files: list[tuple[int, list[int]]], step: int, recent: int) -> None:
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(index, "RECENT_PAGES", recent)
        layers: tuple[Layer, ...] = ()
        model: dict[int, Place | None] = {}
        for start in range(0, len(files), step):
            newer = []
            for number, (commit, pgnos) in enumerate(files[start : start + step], start + 1):
                layer, _ = make_layer(number, pgnos, commit)
                newer.append((layer, commit))
                model = {pgno: place for pgno, place in model.items() if pgno <= commit}
                model.update({pgno: layer.find(pgno) for pgno in pgnos})
            layers = push(layers, newer)
            assert len(layers) <= 3
            assert {pgno: find(layers, pgno) for pgno in range(1, 32)} == {p: model.get(p) for p in range(1, 32)}


@given(changes(), st.integers(0, 31))
def test_a_merged_layer_holds_the_newest_places_and_can_be_cut(files: list[tuple[int, list[int]]], cut: int) -> None:
    layers = [make_layer(number, pgnos, commit)[0] for number, (commit, pgnos) in enumerate(files, 1)]
    merged = merge(layers[::-1])
    for pgno in range(32):
        assert merged.find(pgno) == find(tuple(layers[::-1]), pgno)
        for layer in (merged, layers[0]):
            assert layer.truncated(cut).find(pgno) == (layer.find(pgno) if pgno <= cut else None)
    assert len(merged) == len({pgno for _, pgnos in files for pgno in pgnos})
    used = {place.file for pgno in range(32) if (place := merged.find(pgno)) is not None}
    assert set(merged.files) == used


def test_a_million_pages_take_sixteen_megabytes_in_each_form() -> None:
    pgnos = np.arange(1, MEGABYTE + 1, dtype=np.uint32)
    offsets = np.arange(MEGABYTE + 1, dtype=np.uint64) * 900 + 100
    file = LTXFile(FileInfo(level=9, min_txid=TXID(1), max_txid=TXID(1)), make_header(1, commit=MEGABYTE), None)
    base = FileLayer(file, PageIndex(pgnos, offsets))
    assert base.nbytes <= 12 * MEGABYTE + 8
    newer = make_layer(2, list(range(1, MEGABYTE, 100)), MEGABYTE)[0]
    merged = merge([newer, base])
    assert len(merged) == MEGABYTE
    assert merged.nbytes <= 16 * MEGABYTE
    assert merge([make_layer(3, [5], MEGABYTE)[0], merged]).nbytes <= 16 * MEGABYTE
    assert merged.find(101) == newer.find(101)
    assert merged.find(102) == base.find(102)
