"""Goal: whatever happens to the storage during a restore, it ends with the right bytes, or with one error and nothing.

Method: replicas of noise behind a client with faults, and behind an S3 server with faults: answers that break off,
files that vanish, flipped bits, throttling, hanging; then restores of every prefix of a file, and of files of which any
one byte was changed.
"""

import io
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from replication.client.base import ReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient, RetryPolicy
from replication.client.url import replica_client
from replication.client.wrapper import WrapperClient
from replication.errors import CorruptError, DeniedError, LTXError, LTXMissingError, ThrottledError, UnavailableError
from replication.ltx.file_info import FileInfo
from replication.restore import assemble, assembly, load
from tests.support.faulty_client import FaultyClient
from tests.support.ltx_files import make_header
from tests.support.restoring import PageReplica, info_of, left_in, make_pages, restore_to
from tests.support.s3_server import S3Server

SMALL_PIECES = 4 * 512


@pytest.fixture(autouse=True)
def _nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in pieces, however small they are."""
    monkeypatch.setattr(load, "HELD_SIZE", 0)


def patient(client: ReplicaClient) -> ReplicaClient:
    return RetryingClient(client, RetryPolicy(sleep=lambda _: None))


@pytest.mark.parametrize("size", [1, 99, 1000])
def test_answers_that_break_off_are_gone_on_with(tmp_path: Path, size: int) -> None:
    replica = make_pages(client=FaultyClient(MemoryReplicaClient()))
    faulty = replica.client
    assert isinstance(faulty, FaultyClient)
    faulty.truncate(size, times=10)
    restore_to(faulty, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == replica.image()


def test_answers_that_always_break_off_end_in_an_error_that_says_where(tmp_path: Path) -> None:
    replica = make_pages()
    faulty = FaultyClient(replica.client)
    faulty.truncate(50, times=None)
    with pytest.raises(LTXError, match=r"end at 0|end at \d+") as caught:
        restore_to(faulty, tmp_path / "out.db", parallelism=1)
    assert caught.value.offset is not None
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("error", [UnavailableError("down"), ThrottledError("slow down")])
@pytest.mark.parametrize("after", [0, 5, 27])
def test_what_time_heals_is_asked_again(tmp_path: Path, error: Exception, after: int) -> None:
    replica = make_pages()
    faulty = FaultyClient(replica.client)
    faulty.fail("read_ltx", error, after=after, times=2)
    faulty.fail("ltx_files", error, after=after // 5, times=1)
    restore_to(patient(faulty), tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == replica.image()


@pytest.mark.parametrize("error", [UnavailableError("down"), DeniedError("no")])
@pytest.mark.parametrize("after", [0, 12, 27])
def test_a_storage_that_stays_away_is_an_error_and_nothing_is_left(
    tmp_path: Path, error: Exception, after: int
) -> None:
    replica = make_pages()
    faulty = FaultyClient(replica.client)
    faulty.fail("read_ltx", error, after=after, times=None)
    with pytest.raises(type(error)):
        restore_to(patient(faulty), tmp_path / "out.db")
    assert left_in(tmp_path) == []


class DeletingClient(WrapperClient):
    """Deletes files when a read has been asked for so many times."""

    def __init__(self, inner: ReplicaClient, after: int, gone: list[FileInfo]) -> None:
        super().__init__(inner)
        self._after = after
        self._gone = gone
        self._lock = threading.Lock()

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        with self._lock:
            self._after -= 1
            if self._after == 0:
                self.inner.delete_ltx_files(self._gone)
        return super().read_ltx(info, start, end)


@pytest.mark.parametrize("parallelism", [1, 4])
@pytest.mark.parametrize("after", range(1, 60, 4))
def test_files_deleted_on_the_way_are_planned_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, parallelism: int
) -> None:
    monkeypatch.setattr(assembly.split, "__defaults__", (SMALL_PIECES,))
    monkeypatch.setattr(assembly.count_pieces, "__defaults__", (SMALL_PIECES,))
    replica = make_pages(pages=120)
    gone = replica.infos[3:8]
    replica.merge(4, 10, level=8)
    deleting = DeletingClient(replica.client, after, [*gone, *replica.infos[8:10]])
    result = restore_to(deleting, tmp_path / "out.db", parallelism=parallelism)
    assert (tmp_path / "out.db").read_bytes() == replica.images[10]
    assert result.txid == 10


class OnePlanClient(WrapperClient):
    """Hides a file from the first listing of its level."""

    def __init__(self, inner: ReplicaClient, hidden: FileInfo) -> None:
        super().__init__(inner)
        self._hidden = hidden
        self._shown = False

    def ltx_files(self, level: int, *arguments: object, **options: object) -> Iterator[FileInfo]:
        infos = list(super().ltx_files(level, *arguments, **options))  # type: ignore[arg-type]
        if level != self._hidden.level or self._shown:
            return iter(infos)
        self._shown = True
        return iter([info for info in infos if info != self._hidden])


def test_the_files_of_a_second_plan_may_be_wholly_others(tmp_path: Path) -> None:
    replica = PageReplica()
    replica.add(range(1, 2001), commit=2000)
    last = replica.add([1, 5], commit=2000)
    other = replica.merge(1, 2, level=9)
    # The first plan has the snapshot of level 0 and then the last file, which vanishes; the second has both.
    faulty = FaultyClient(OnePlanClient(replica.client, other))
    faulty.vanish(last)
    result = restore_to(faulty, tmp_path / "out.db", parallelism=1)
    assert (tmp_path / "out.db").read_bytes() == replica.image()
    assert (result.txid, result.files) == (2, 1)


def test_a_vanished_file_costs_no_second_reading_of_the_others(tmp_path: Path) -> None:
    replica = PageReplica()
    replica.add(range(1, 2001), commit=2000)
    middle = replica.add([1, 2, 3, 4, 5], commit=2000)
    replica.add([1, 6], commit=2000, level=1)
    faulty = FaultyClient(SwappingClient(replica, middle))
    restore_to(faulty, tmp_path / "out.db", parallelism=1)
    assert (tmp_path / "out.db").read_bytes() == replica.image()
    pieces = [
        call for call in faulty.calls if call.method == "read_ltx" and call.end and call.end - call.start > 40_000
    ]
    assert len([call for call in pieces if call.min_txid == call.max_txid == 1]) == 1


class SwappingClient(WrapperClient):
    """Swaps a file for one that holds the same and more, when its page frames are asked for the first time."""

    def __init__(self, replica: PageReplica, gone: FileInfo) -> None:
        super().__init__(replica.client)
        self._replica = replica
        self._gone = gone

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        if info == self._gone and start == 100:
            replica = self._replica
            pages = {pgno: replica.pages[pgno] for pgno in (1, 2, 3, 4, 5, 6)}
            self.inner.delete_ltx_files([self._gone, info_of(replica, 3)])
            replica.put(make_header(2, 3, commit=2000), pages, level=2)
        return super().read_ltx(info, start, end)


def test_files_that_keep_vanishing_are_an_error_after_a_bounded_number_of_plans(tmp_path: Path) -> None:
    replica = make_pages()
    faulty = FaultyClient(replica.client)
    faulty.vanish(replica.infos[4])
    with pytest.raises(LTXMissingError, match=f"{assemble.MAX_PLANS} times"):
        restore_to(faulty, tmp_path / "out.db")
    assert left_in(tmp_path) == []
    assert faulty.count("ltx_files") == assemble.MAX_PLANS * 10


def test_every_prefix_of_a_file_is_refused_and_the_file_is_named(tmp_path: Path) -> None:
    whole = PageReplica()
    whole.add(range(1, 4), commit=3)
    data = whole.client.read_ltx(whole.infos[0])
    for size in range(100, len(data), 7):
        client = MemoryReplicaClient()
        info = client.write_ltx_file(0, whole.infos[0].min_txid, whole.infos[0].max_txid, io.BytesIO(data[:size]))
        with pytest.raises(CorruptError, match="level 0 file 0000000000000001-0000000000000001") as caught:
            restore_to(client, tmp_path / "out.db")
        assert caught.value.offset is not None
        assert caught.value.offset <= info.size
        assert left_in(tmp_path) == []


@pytest.mark.parametrize("held_size", [0, 10_000])
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_size: int
) -> None:
    monkeypatch.setattr(load, "HELD_SIZE", held_size)
    replica = PageReplica()
    replica.add(range(1, 4), commit=3)
    chance = random.Random(held_size)  # noqa: S311
    refused = 0
    for offset in range(0, replica.infos[0].size, 3):
        faulty = FaultyClient(replica.client)
        faulty.flip_bit(offset, bit=chance.randrange(8), times=None)
        try:
            restore_to(faulty, tmp_path / "out.db", overwrite=True)
        except CorruptError as error:
            assert "level 0 file 0000000000000001-0000000000000001" in str(error)  # noqa: PT017 - most, not all
            assert left_in(tmp_path) in ([], ["out.db"])
            refused += 1
        else:
            assert (tmp_path / "out.db").read_bytes() == replica.image()
    assert refused > 0.9 * replica.infos[0].size / 3


def test_a_slow_piece_holds_up_no_other(tmp_path: Path) -> None:
    replica = make_pages()
    faulty = FaultyClient(replica.client)
    gate = faulty.hold("read_ltx", after=22)
    done = threading.Thread(target=restore_to, args=(faulty, tmp_path / "out.db"))
    done.start()
    gate.wait_until_reached()
    gate.release()
    done.join(20)
    assert (tmp_path / "out.db").read_bytes() == replica.image()


@pytest.fixture(scope="module")
def s3_process() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_server(s3_process: S3Server) -> Iterator[S3Server]:
    s3_process.reset()
    yield s3_process
    s3_process.reset()


@pytest.fixture(scope="module")
def stored(s3_process: S3Server) -> PageReplica:
    """A replica of a megabyte in the bucket, under `app`."""
    return make_pages(4096, replica_client(s3_process.url("app")), pages=400)


def test_s3_is_asked_for_everything_in_parallel(tmp_path: Path, s3_server: S3Server, stored: PageReplica) -> None:
    s3_server.set_delay_ms(30)
    client = replica_client(s3_server.url("app"))
    result = restore_to(client, tmp_path / "out.db", parallelism=16)
    assert (tmp_path / "out.db").read_bytes() == stored.image()
    requests = s3_server.requests()
    # One for all levels, and one for files of Litestream 0.3.
    assert sum(request.kind == "LIST" for request in requests) == 2
    assert result.duration_s < 0.5 * 0.03 * len(requests)


@pytest.mark.parametrize(
    ("what", "status"), [("cut", 200), ("SlowDown", 503), ("InternalError", 500), ("RequestTimeout", 400)]
)
def test_a_server_that_stumbles_is_asked_again(
    tmp_path: Path, s3_server: S3Server, stored: PageReplica, what: str, status: int
) -> None:
    s3_server.fail(what, status=status, kind="GET", times=3)
    restore_to(replica_client(s3_server.url("app")), tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == stored.image()


@pytest.mark.usefixtures("stored")
def test_a_server_that_hangs_is_an_error_in_time(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.fail("hang", kind="GET", times=None)
    client = replica_client(s3_server.url("app"), timeout_s=1.0)
    with pytest.raises(UnavailableError):
        restore_to(client, tmp_path / "out.db")
    assert left_in(tmp_path) == []


def test_a_missing_object_of_s3_is_planned_around(tmp_path: Path, s3_server: S3Server) -> None:
    client = replica_client(s3_server.url("gone"))
    replica = make_pages(512, client)
    replica.merge(4, 10, level=8)
    deleting = DeletingClient(client, 14, replica.infos[3:10])
    restore_to(deleting, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == replica.image()
