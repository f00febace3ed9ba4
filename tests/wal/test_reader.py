"""The reader: frames up to the first that is wrong, page maps that end at commits, and where a reading may go on.

Forged WALs for what is rare, WALs that SQLite wrote for the rest; `test_sqlite` compares with SQLite's own reading.
Planted in the code, each is found: frames promoted before their commit; the page above the last commit kept; the limit
taken as exclusive, from the start of the file, or at the last commit of a piece; the position left behind frames that
are not committed; the sums of the wrong frame taken on; a frame across two pieces lost; salts not compared before an
offset; salts stopped at before they are taken.
"""

import random
import struct
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.errors import PrevFrameMismatchError, UsageError, WALError
from replication.wal import reader as module
from replication.wal.checksum import ByteOrder
from replication.wal.frame import WALFrame
from replication.wal.page_map import PageMap
from replication.wal.reader import WALReader
from tests.support.wal_files import HEADER_SIZE, SALTS, grow_and_shrink, make_wal, reader_of, write_wal

FRAME = 536  # bytes of a frame with a page of 512


def page(number: int) -> bytes:
    return number.to_bytes(2, "big") * 256


def wal_of(*frames: tuple[int, int], byteorder: ByteOrder = "little", salts: tuple[int, int] = SALTS) -> bytes:
    """A WAL of these page numbers and commits; each page tells which frame it is in."""
    numbered = [(pgno, commit, page(number)) for number, (pgno, commit) in enumerate(frames)]
    return make_wal(numbered, byteorder=byteorder, salts=salts)


def frames_of(reader: WALReader) -> list[WALFrame]:
    frames = []
    while (frame := reader.read_frame()) is not None:
        frames.append(frame)
    return frames


def as_dict(page_map: PageMap) -> dict[int, int]:
    """Frame numbers by page number."""
    return {pgno: (offset - HEADER_SIZE) // FRAME for pgno, offset in zip(page_map, page_map.offsets, strict=True)}


def at(frame: int) -> int:
    return HEADER_SIZE + frame * FRAME


@pytest.fixture(params=[1, 2 * FRAME, 1 << 20], ids=["frame by frame", "two frames at once", "all at once"])
def read_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read WALs in pieces of each of these sizes."""
    monkeypatch.setattr(module, "MIN_READ_SIZE", request.param)
    monkeypatch.setattr(module, "MAX_READ_SIZE", request.param)


SMALL = wal_of((1, 0), (2, 2), (2, 0), (3, 0), (2, 3), (1, 3))


@pytest.mark.usefixtures("read_size")
def test_frames_come_with_page_number_commit_bytes_and_offset() -> None:
    assert frames_of(WALReader(reader_of(SMALL))) == [
        WALFrame(pgno, commit, page(number), at(number))  # type: ignore[arg-type]
        for number, (pgno, commit) in enumerate([(1, 0), (2, 2), (2, 0), (3, 0), (2, 3), (1, 3)])
    ]


@pytest.mark.usefixtures("read_size")
@pytest.mark.parametrize(
    ("count", "expected", "max_offset", "commit"),
    [
        (0, {}, at(0), 0),
        (1, {}, at(0), 0),
        (2, {1: 0, 2: 1}, at(2), 2),
        (3, {1: 0, 2: 1}, at(2), 2),
        (4, {1: 0, 2: 1}, at(2), 2),
        (5, {1: 0, 2: 4, 3: 3}, at(5), 3),
        (6, {1: 5, 2: 4, 3: 3}, at(6), 3),
    ],
)
def test_only_what_a_commit_ends_is_in_the_page_map(
    count: int, expected: dict[int, int], max_offset: int, commit: int
) -> None:
    page_map = WALReader(reader_of(SMALL[: at(count)])).page_map()
    assert as_dict(page_map) == expected
    assert (page_map.max_offset, page_map.commit) == (max_offset, commit)


@pytest.mark.usefixtures("read_size")
def test_pages_above_the_last_commit_are_dropped() -> None:
    wal = wal_of((1, 0), (9, 0), (5, 9), (2, 3), (4, 4))
    assert as_dict(WALReader(reader_of(wal[: at(4)])).page_map()) == {1: 0, 2: 3}
    assert as_dict(WALReader(reader_of(wal)).page_map()) == {1: 0, 2: 3, 4: 4}


@pytest.mark.usefixtures("read_size")
def test_a_limit_ends_the_page_map_at_the_first_commit_there_or_beyond() -> None:
    commits = [2, 5, 6]  # frames
    for start in (0, 2):
        for limit in range(7 * FRAME):
            if limit % FRAME not in (0, 1, FRAME - 1):
                continue
            reader = WALReader(reader_of(SMALL))
            for _ in range(start):
                reader.read_frame()
            beyond = [at(end) for end in commits if end > start and (end - start) * FRAME >= limit]
            assert reader.page_map(limit).max_offset == min(beyond, default=at(6))


@pytest.mark.usefixtures("read_size")
def test_page_maps_with_a_limit_add_up_to_the_one_without() -> None:
    reader = WALReader(reader_of(SMALL))
    maps = [reader.page_map(1) for _ in range(4)]
    assert [one.max_offset for one in maps] == [at(2), at(5), at(6), at(6)]
    assert as_dict(maps[0]) | as_dict(maps[1]) | as_dict(maps[2]) == as_dict(WALReader(reader_of(SMALL)).page_map())
    assert (len(maps[3]), maps[3].commit) == (0, 0)


@pytest.mark.usefixtures("read_size")
def test_after_a_page_map_the_reader_stands_behind_the_last_commit() -> None:
    reader = WALReader(reader_of(SMALL[: at(4)]))
    reader.page_map()
    assert (reader.next_offset, reader.offset) == (at(2), at(1))
    assert [frame.offset for frame in frames_of(reader)] == [at(2), at(3)]


@pytest.mark.usefixtures("read_size")
def test_a_page_map_begins_where_the_frames_read_end() -> None:
    reader = WALReader(reader_of(SMALL))
    reader.read_frame()
    assert as_dict(reader.page_map()) == {1: 5, 2: 4, 3: 3}
    reader = WALReader(reader_of(SMALL[: at(2)]))
    reader.read_frame()
    assert as_dict(reader.page_map()) == {2: 1}


@pytest.mark.usefixtures("read_size")
def test_a_reader_at_the_end_goes_on_when_more_is_written() -> None:
    wal = bytearray(SMALL[: at(2) + 100])
    reader = WALReader(reader_of(wal))
    assert len(frames_of(reader)) == 2
    assert reader.read_frame() is None
    assert reader.page_map().max_offset == at(2)
    wal[:] = SMALL[: at(5)]
    assert as_dict(reader.page_map()) == {2: 4, 3: 3}
    wal[:] = SMALL
    assert [frame.offset for frame in frames_of(reader)] == [at(5)]
    assert (reader.next_offset, reader.offset) == (at(6), at(5))


def test_the_offset_is_that_of_the_last_frame_read_and_0_before_any() -> None:
    reader = WALReader(reader_of(SMALL))
    assert (reader.offset, reader.next_offset) == (0, 32)
    for number in range(3):
        frame = reader.read_frame()
        assert frame is not None
        assert reader.offset == frame.offset == at(number)


@pytest.mark.usefixtures("read_size")
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_reading_stops_before_the_frame_with_a_flipped_byte(byteorder: ByteOrder) -> None:
    wal = wal_of((1, 0), (2, 2), (2, 2), byteorder=byteorder)
    whole = frames_of(WALReader(reader_of(wal)))
    for position in range(HEADER_SIZE, len(wal)):
        flipped = bytearray(wal)
        flipped[position] ^= 1 << position % 8
        reader = WALReader(reader_of(flipped))
        count = (position - HEADER_SIZE) // FRAME
        assert frames_of(reader) == whole[:count]
        assert WALReader(reader_of(flipped)).page_map().max_offset == at(count if count > 1 else 0)


def test_a_flipped_byte_in_the_header_is_refused() -> None:
    for position in range(HEADER_SIZE):
        flipped = bytearray(SMALL)
        flipped[position] ^= 1
        with pytest.raises(WALError):
            WALReader(reader_of(flipped))


@pytest.mark.usefixtures("read_size")
def test_a_wal_cut_at_any_byte_ends_with_its_last_whole_frame() -> None:
    whole = frames_of(WALReader(reader_of(SMALL)))
    for size in range(len(SMALL)):
        if size < HEADER_SIZE:
            with pytest.raises(WALError) as caught:
                WALReader(reader_of(SMALL[:size]))
            assert caught.value.offset == size
        else:
            reader = WALReader(reader_of(SMALL[:size]))
            assert frames_of(reader) == whole[: (size - HEADER_SIZE) // FRAME]


@pytest.mark.usefixtures("read_size")
def test_frames_of_an_earlier_use_behind_the_new_ones_are_not_read() -> None:
    new = wal_of((1, 0), (2, 2), salts=(SALTS[0] + 1, 77))
    reader = WALReader(reader_of(new + SMALL[at(2) :]))
    assert as_dict(reader.page_map()) == {1: 0, 2: 1}
    assert reader.read_frame() is None


@settings(deadline=None)
@given(st.binary(max_size=3000), st.randoms(use_true_random=False), st.booleans())
def test_any_bytes_are_frames_and_an_end_or_refused(data: bytes, chance: random.Random, forged: bool) -> None:  # noqa: FBT001
    if forged:
        wal = bytearray(SMALL)
        for _ in range(chance.randint(0, 3)):
            start = chance.randrange(len(wal))
            wal[start : start + chance.randint(0, 40)] = data[: chance.randint(0, 40)]
        data = bytes(wal)
    try:
        reader = WALReader(reader_of(data))
        offset = chance.randint(32, len(data) + 10)
        later = WALReader.at(reader_of(data), offset, salts=SALTS)
    except WALError:
        return
    except PrevFrameMismatchError:
        later = reader
    for one in (reader, later):
        page_map = one.page_map()
        assert all(1 <= pgno <= page_map.commit for pgno in page_map)
        for frame in frames_of(one):
            assert data[frame.offset + 24 : frame.offset + FRAME] == frame.data
        assert one.frame_salts_until(SALTS) or len(data) < 56


@pytest.mark.usefixtures("read_size")
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_reading_goes_on_at_any_frame_as_if_it_had_not_stopped(byteorder: ByteOrder) -> None:
    wal = wal_of((1, 0), (2, 2), (2, 0), (3, 0), (2, 3), (1, 3), byteorder=byteorder)
    first = WALReader(reader_of(wal))
    whole = frames_of(WALReader(reader_of(wal)))
    for number in range(7):
        reader = WALReader.at(reader_of(wal), at(number), salts=SALTS)
        assert (reader.next_offset, reader.sums, reader.offset) == (first.next_offset, first.sums, first.offset)
        assert frames_of(reader) == whole[number:]
        same = WALReader.at(reader_of(wal), first.next_offset, salts=first.salts, sums=first.sums)
        assert same.page_map().max_offset == max(at(6), at(number))
        first.read_frame()


def test_the_frames_behind_an_offset_must_follow_from_the_one_before_it() -> None:
    wal = bytearray(SMALL)
    wal[at(2) + 20] ^= 1  # a stored sum
    assert frames_of(WALReader.at(reader_of(wal), at(3), salts=SALTS)) == []


@pytest.mark.parametrize("salts", [(SALTS[0] + 1, SALTS[1]), (SALTS[0], 0), (0, 0)])
@pytest.mark.parametrize("offset", [at(0), at(1), at(4)])
def test_other_salts_before_the_offset_are_refused(offset: int, salts: tuple[int, int]) -> None:
    with pytest.raises(PrevFrameMismatchError, match="salts") as caught:
        WALReader.at(reader_of(SMALL), offset, salts=salts)
    assert caught.value.offset == offset


@pytest.mark.parametrize("offset", [at(0), at(1), at(4)])
def test_another_checksum_before_the_offset_is_refused_if_it_is_known(offset: int) -> None:
    s0, s1 = WALReader.at(reader_of(SMALL), offset, salts=SALTS).sums
    for sums in [(s0 ^ 1, s1), (s0, s1 ^ 1)]:
        with pytest.raises(PrevFrameMismatchError, match="checksum"):
            WALReader.at(reader_of(SMALL), offset, salts=SALTS, sums=sums)


@pytest.mark.parametrize("offset", [33, at(1) - 1, at(1) + 1, at(2) + 24, at(7), at(100)])
def test_an_offset_at_which_no_frame_ends_is_refused(offset: int) -> None:
    with pytest.raises(PrevFrameMismatchError, match="found none"):
        WALReader.at(reader_of(SMALL), offset, salts=SALTS)


def test_a_frame_cut_short_does_not_end_at_its_end() -> None:
    with pytest.raises(PrevFrameMismatchError, match="found none"):
        WALReader.at(reader_of(SMALL[: at(3) - 1]), at(3), salts=SALTS)


@pytest.mark.parametrize("offset", [-1, 0, 31])
def test_an_offset_inside_the_header_is_a_mistake(offset: int) -> None:
    with pytest.raises(UsageError):
        WALReader.at(reader_of(SMALL), offset, salts=SALTS)


def test_what_is_left_of_the_earlier_use_can_be_read_by_its_salts() -> None:
    new = wal_of((1, 1), salts=(SALTS[0] + 1, 77))
    wal = new + SMALL[at(1) :]
    reader = WALReader.at(reader_of(wal), at(3), salts=SALTS)
    assert reader.salts != reader.header.salts
    assert as_dict(reader.page_map()) == {1: 5, 2: 4, 3: 3}


def test_salts_are_collected_up_to_those_asked_for() -> None:
    second, third = (SALTS[0] + 1, 77), (SALTS[0] + 2, 88)
    wal = wal_of((1, 1), salts=third) + wal_of((1, 0), (1, 1), (1, 1), salts=second)[at(1) :] + SMALL[at(3) :]
    reader = WALReader(reader_of(wal))
    assert reader.frame_salts_until(third) == {third}
    assert reader.frame_salts_until(second) == {third, second}
    assert reader.frame_salts_until(SALTS) == {third, second, SALTS}
    assert reader.frame_salts_until((0, 0)) == {third, second, SALTS}
    assert WALReader(reader_of(wal[: at(0)])).frame_salts_until(SALTS) == set()
    assert reader.next_offset == at(0)


def test_after_a_restart_by_sqlite_the_header_has_other_salts_and_the_old_frame_may_still_be_there(
    tmp_path: Path,
) -> None:
    positions: list[tuple[int, tuple[int, int], tuple[int, int]]] = []

    def work(connection: apsw.Connection) -> None:
        grow_and_shrink(connection)
        before = WALReader(reader_of(Path(f"{tmp_path / 'a.db'}-wal").read_bytes()))
        before.page_map()
        positions.append((before.next_offset, before.salts, before.sums))
        connection.execute("INSERT INTO item VALUES (60, 'never seen')")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        connection.execute("INSERT INTO item VALUES (61, 'after')")

    wal = write_wal(tmp_path / "a.db", 512, work).wal
    offset, salts, sums = positions[0]
    reader = WALReader.at(reader_of(wal), offset, salts=salts, sums=sums)
    assert reader.header.salts != salts  # the only sign
    assert reader.header.salts.salt1 == (salts[0] + 1) % 2**32
    assert reader.frame_salts_until(salts) == {salts, reader.header.salts}


def test_after_a_power_failure_only_the_sums_tell_that_other_frames_are_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    written = write_wal(path, 512, grow_and_shrink)
    lost = WALReader(reader_of(written.wal))
    lost.page_map()
    path = tmp_path / "b.db"
    path.write_bytes(written.database)
    last = lost.next_offset - written.frame_size
    previous = WALReader(reader_of(written.wal[:last]))
    previous.page_map()
    Path(f"{path}-wal").write_bytes(written.wal[: previous.next_offset])
    connection = apsw.Connection(str(path))
    while (size := Path(f"{path}-wal").stat().st_size) < lost.next_offset:
        connection.execute("INSERT INTO item VALUES (NULL, 'other')")
    wal = Path(f"{path}-wal").read_bytes()
    connection.close()
    assert size >= lost.next_offset
    assert WALReader.at(reader_of(wal), lost.next_offset, salts=lost.salts).header.salts == lost.salts
    with pytest.raises(PrevFrameMismatchError, match="checksum"):
        WALReader.at(reader_of(wal), lost.next_offset, salts=lost.salts, sums=lost.sums)


def test_a_long_wal_is_read_in_bounded_pieces_and_each_byte_once() -> None:
    frames = [(1 + number % 700, 700 if number % 10 == 9 else 0, bytes(512)) for number in range(5000)]
    wal = make_wal(frames)
    reads: list[tuple[int, int]] = []

    def read_at(offset: int, size: int) -> bytes:
        reads.append((offset, size))
        return wal[offset : offset + size]

    reader = WALReader(read_at)
    page_map = reader.page_map()
    assert as_dict(page_map) == {pgno: number for number, (pgno, _, _) in enumerate(frames)}
    assert max(size for _, size in reads) <= module.MAX_READ_SIZE
    assert reads[0] == (0, HEADER_SIZE)
    assert reads[1][1] <= module.MIN_READ_SIZE
    ends = [offset + size for offset, size in reads]
    assert [offset for offset, _ in reads[2:]] == [min(end, len(wal)) for end in ends[1:-1]]
    reads.clear()
    assert len(frames_of(WALReader(read_at))) == 5000
    assert len(reads) < 10


def test_the_representation_says_where_the_reader_stands() -> None:
    reader = WALReader(reader_of(SMALL))
    reader.read_frame()
    assert repr(reader) == "<WALReader next_offset=568 salts=01020304-f0e0d0c0 page_size=512>"


def test_the_forged_wals_are_as_sqlite_writes_them() -> None:
    assert struct.unpack_from(">4I", SMALL) == (0x377F0682, 3_007_000, 512, 0)
