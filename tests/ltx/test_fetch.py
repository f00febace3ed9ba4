"""Fetching parts of files: the right bytes in as few requests as can be, and errors that say which file it was."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO, ClassVar

import pytest

from replication.client import fetch as fetch_module
from replication.client.base import ReplicaClient
from replication.client.fetch import (
    DEFAULT_ESTIMATED_PAGE_INDEX_SIZE,
    fetch_ltx_header,
    fetch_page,
    fetch_page_index,
    find_ltx_files,
)
from replication.errors import LTXError, LTXMissingError, UsageError
from replication.ltx.decoder import decode_file
from replication.ltx.file_info import FileInfo
from replication.ltx.header import Header
from replication.ltx.index import FrameSpan
from replication.ltx.tail import tail_size
from replication.position import NO_TXID, TXID
from tests.support.golden import golden
from tests.support.ltx_files import make_file, make_header


@dataclass
class CountingClient(ReplicaClient):
    """Holds files at level 0 and notes what is read."""

    type: ClassVar[str] = "counting"
    accurate_list_times: ClassVar[bool] = True

    files: dict[FileInfo, bytes] = field(default_factory=dict)
    reads: list[tuple[int, int | None]] = field(default_factory=list)

    def add(self, data: bytes) -> FileInfo:
        header = Header.unpack(data)
        info = FileInfo(level=0, min_txid=header.min_txid, max_txid=header.max_txid, size=len(data))
        self.files[info] = data
        return info

    def init(self) -> None:
        """Nothing to connect to."""

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        self.reads.append((level, int(use_metadata)))
        return (info for info in sorted(self.files, key=lambda info: info.min_txid) if info.min_txid >= seek)

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        self.reads.append((start, end))
        for known, data in self.files.items():
            if (known.min_txid, known.max_txid) == (info.min_txid, info.max_txid):
                return data[start:end]
        msg = "no such file"
        raise LTXMissingError(msg)

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        info = FileInfo(level=level, min_txid=min_txid, max_txid=max_txid)
        return io.BytesIO(self.read_ltx(info, offset, offset + size if size else None))

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        raise NotImplementedError

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        raise NotImplementedError

    def delete_all(self) -> None:
        raise NotImplementedError


@pytest.fixture(name="client")
def _client() -> CountingClient:
    return CountingClient()


@pytest.fixture(scope="module", name="large")
def _large() -> bytes:
    pages = {pgno: bytes([pgno % 256]) * 512 for pgno in range(1, 6001)}
    return make_file(make_header(8, commit=6000), pages)


def test_a_header_is_one_request(client: CountingClient) -> None:
    data = golden("leveled-4096", 0, 4, 4)
    assert fetch_ltx_header(client, client.add(data)) == Header.unpack(data)
    assert client.reads == [(0, 100)]


def test_a_header_under_the_name_of_another_file_is_refused(client: CountingClient) -> None:
    info = client.add(golden("leveled-4096", 0, 4, 4))
    other = replace(info, min_txid=TXID(5), max_txid=TXID(6))
    client.files = {other: client.files[info]}
    with pytest.raises(LTXError, match=r"TXIDs 0{15}5 to 0{15}6, got 0{15}4 to 0{15}4") as caught:
        fetch_ltx_header(client, other)
    assert (caught.value.level, caught.value.min_txid, caught.value.max_txid) == (0, 5, 6)


def test_the_page_index_of_a_small_file_is_one_request(client: CountingClient) -> None:
    data = golden("leveled-4096", 0, 1, 1)
    assert fetch_page_index(client, client.add(data)) == decode_file(data).index
    assert client.reads == [(0, len(data))]


def test_the_page_index_of_a_large_file_is_two_requests(client: CountingClient, large: bytes) -> None:
    index = fetch_page_index(client, client.add(large), 6000)
    assert list(index) == list(range(1, 6001))
    tail, rest = client.reads
    assert tail == (len(large) - DEFAULT_ESTIMATED_PAGE_INDEX_SIZE, len(large))
    assert rest == (index.end + 6, tail[0])


def test_a_tail_that_holds_the_page_index_is_enough(client: CountingClient) -> None:
    data = make_file(make_header(8, commit=3000), {pgno: bytes([pgno % 256]) * 512 for pgno in range(1, 3001)})
    assert len(fetch_page_index(client, client.add(data))) == 3000
    assert client.reads == [(len(data) - DEFAULT_ESTIMATED_PAGE_INDEX_SIZE, len(data))]


def test_the_page_index_of_a_file_of_unknown_size_takes_reading_it(client: CountingClient, large: bytes) -> None:
    info = replace(client.add(large), size=0)
    assert len(fetch_page_index(client, info)) == 6000
    assert client.reads == [(0, None)]


def test_a_tail_that_just_fits_is_enough(client: CountingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    data = golden("leveled-4096", 0, 1, 1)
    for more in (1, 0):
        client.reads.clear()
        monkeypatch.setattr(fetch_module, "DEFAULT_ESTIMATED_PAGE_INDEX_SIZE", tail_size(data, len(data)) - more)
        assert fetch_page_index(client, client.add(data)) == decode_file(data).index
        assert len(client.reads) == 1 + more


@pytest.mark.parametrize("difference", [-1, 1, -500, 500])
def test_a_file_of_another_size_than_listed_is_refused(client: CountingClient, large: bytes, difference: int) -> None:
    info = client.add(large)
    listed = replace(info, size=info.size + difference)
    with pytest.raises(LTXError) as caught:
        fetch_page_index(client, listed)
    assert (caught.value.level, caught.value.min_txid, caught.value.max_txid) == (0, 8, 8)
    if difference > 0:
        assert str(caught.value).startswith(f"expected bytes {listed.size - DEFAULT_ESTIMATED_PAGE_INDEX_SIZE} to")


def test_a_page_beyond_the_commit_is_refused(client: CountingClient) -> None:
    info = client.add(golden("leveled-4096", 0, 1, 1))
    with pytest.raises(LTXError, match="pages up to 3"):
        fetch_page_index(client, info, 3)


def test_a_page_is_one_request(client: CountingClient, large: bytes) -> None:
    info = client.add(large)
    span = fetch_page_index(client, info).find(4711)
    assert span is not None
    client.reads.clear()
    assert fetch_page(client, info, span, page_size=512, pgno=4711) == bytes([4711 % 256]) * 512
    assert client.reads == [(span.start, span.end)]


def test_a_broken_page_says_where_it_is(client: CountingClient, large: bytes) -> None:
    info = client.add(large)
    span = fetch_page_index(client, info).find(4711)
    assert span is not None
    for broken in (FrameSpan(span.start + 1, span.end), FrameSpan(span.start, span.end + 1)):
        with pytest.raises(LTXError) as caught:
            fetch_page(client, info, broken, page_size=512, pgno=4711)
        assert (caught.value.level, caught.value.min_txid, caught.value.offset) == (0, 8, broken.start)
    beyond = FrameSpan(len(large) - 5, len(large) + 5)
    with pytest.raises(LTXError, match="got 5 of them") as caught:
        fetch_page(client, info, beyond, page_size=512, pgno=4711)
    assert caught.value.offset == len(large)


def test_a_missing_file_is_missing(client: CountingClient) -> None:
    info = FileInfo(level=0, min_txid=TXID(1), max_txid=TXID(1), size=500)
    with pytest.raises(LTXMissingError):
        fetch_page_index(client, info)


def test_files_are_found_by_what_is_said_of_them(client: CountingClient) -> None:
    for txid in (3, 1, 2):
        client.add(golden("leveled-4096", 0, txid, txid))
    found = find_ltx_files(client, 0, lambda info: info.min_txid != 2, use_metadata=True)
    assert [info.min_txid for info in found] == [1, 3]
    assert client.reads == [(0, 1)]
    with pytest.raises(UsageError):
        find_ltx_files(client, 10, lambda _: True)
