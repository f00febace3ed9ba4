"""The two small files beside the level-0 files: what is written comes back, and what is torn counts for nothing."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.ltx.checksum import CHECKSUM_FLAG
from replication.sync.local_files import LocalFile
from replication.sync.page_sums import PageSums, SumsTag
from replication.sync.wal_position import PositionFile, WALPosition
from replication.wal.checksum import Sums
from replication.wal.header import Salts
from tests.support.ltx_files import make_header

TAG = SumsTag(page_size=4096, commit=50, txid=7, file_checksum=CHECKSUM_FLAG | 42)
POSITION = WALPosition(8272, Salts(1, 2**32 - 1), Sums(3, 4))


def file(txid: int, checksum: int = CHECKSUM_FLAG | 5) -> LocalFile:
    return LocalFile(make_header(txid, commit=10), checksum)


@given(st.lists(st.dictionaries(st.integers(1, 60), st.integers(0, 2**64 - 1), max_size=20), min_size=1, max_size=5))
def test_checksums_come_back_as_they_were_last_written(
    tmp_path_factory: pytest.TempPathFactory, writes: list[dict[int, int]]
) -> None:
    sums = PageSums(tmp_path_factory.mktemp("sums") / "sums")
    known: dict[int, int] = {}
    for entries in writes:
        pgnos = sorted(entries)
        checksums = np.array([entries[pgno] for pgno in pgnos], dtype=np.uint64)
        sums.write(TAG, np.array(pgnos, dtype=np.uint32), checksums)
        known.update(entries)
    assert sums.tag() == TAG
    highest = max(known, default=0)
    found = sums.read(highest)
    assert found is not None
    assert found.tolist() == [known.get(pgno, 0) for pgno in range(1, highest + 1)]
    assert sums.read(highest + 1) is None
    asked = np.array([pgno for pgno in range(1, highest + 3) if pgno % 3], dtype=np.uint32)
    assert sums.read_pages(asked).tolist() == [known.get(pgno, 0) for pgno in asked.tolist()]


@given(st.integers(0, 39), st.integers(1, 255))
def test_a_torn_tag_is_none(place: int, flip: int) -> None:
    data = bytearray(TAG.pack())
    assert SumsTag.unpack(bytes(data)) == TAG
    data[place] ^= flip
    assert SumsTag.unpack(bytes(data)) is None
    assert SumsTag.unpack(bytes(data[:place])) is None


def test_no_file_means_no_tag(tmp_path: Path) -> None:
    sums = PageSums(tmp_path / "sums")
    assert sums.tag() is None
    sums.delete()


def test_the_position_counts_beside_its_level_0_file_only(tmp_path: Path) -> None:
    position = PositionFile(tmp_path / "position")
    assert position.read(file(7)) is None
    position.write(file(7), POSITION)
    assert position.read(file(7)) == POSITION
    assert position.read(file(8)) is None
    assert position.read(file(7, CHECKSUM_FLAG | 6)) is None
    position.delete()
    assert position.read(file(7)) is None


@given(st.integers(0, 55), st.integers(1, 255))
def test_a_torn_position_is_none(tmp_path_factory: pytest.TempPathFactory, place: int, flip: int) -> None:
    position = PositionFile(tmp_path_factory.mktemp("position") / "position")
    position.write(file(7), POSITION)
    data = bytearray(position.path.read_bytes())
    data[place] ^= flip
    position.path.write_bytes(data)
    assert position.read(file(7)) is None
    position.path.write_bytes(data[:place])
    assert position.read(file(7)) is None
