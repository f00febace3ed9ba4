"""What every replica client must do; a subclass gives the client, and the suite runs on it.

`put`, `fill` and `put_object` may go around the client, so that it is not tested with itself; a client that cannot
write passes the reading half so. Bugs planted to see the suite fail: a listing unsorted, a seek past the file itself,
the identity ignored, a file visible while it is written, the time of the upload instead of the header's.
"""

import io
import threading
from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from replication.client.base import ReplicaClient
from replication.clock import from_timestamp_ms
from replication.errors import LTXError, LTXExistsError, LTXMissingError, UsageError
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.client.ltx_bytes import TIMESTAMP_MS, WatchedReader, ltx_bytes, names, write

GARBAGE = (
    "lock.json",
    "0000000000000001-0000000000000001.ltx.tmp",
    "0000000000000001.ltx",
    "000000000000000A-000000000000000A.ltx",
    "0000000000000002-0000000000000001.ltx",
    "sub/0000000000000001-0000000000000001.ltx",
)


class ReadingTests(ABC):
    """What clients do that only read, and all others too."""

    @pytest.fixture
    @abstractmethod
    def client(self) -> ReplicaClient:
        """Return a client of an empty replica."""

    def put(
        self, client: ReplicaClient, level: int, min_txid: int, max_txid: int | None = None, data: bytes | None = None
    ) -> FileInfo:
        """Store a file, by the client where it can, and return what a listing with `use_metadata` says of it."""
        return write(client, level, min_txid, max_txid, data)

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        for txid in txids:
            self.put(client, level, txid)

    # Listing

    def test_a_level_nobody_wrote_is_empty(self, client: ReplicaClient) -> None:
        assert [names(client, level) for level in range(10)] == [[]] * 10

    def test_a_level_that_there_is_not_is_a_usage_error(self, client: ReplicaClient) -> None:
        with pytest.raises(UsageError):
            list(client.ltx_files(10))

    def test_files_are_listed_in_order_of_their_txids(self, client: ReplicaClient) -> None:
        for min_txid, max_txid in [(16, 17), (2, 9), (10, 15), (2, 3), (1, 1), (256, 256)]:
            self.put(client, 1, min_txid, max_txid)
        assert names(client, 1) == [(1, 1), (2, 3), (2, 9), (10, 15), (16, 17), (256, 256)]

    def test_seek_starts_at_the_file_itself(self, client: ReplicaClient) -> None:
        self.fill(client, 0, range(1, 6))
        assert names(client, 0, seek=3) == [(3, 3), (4, 4), (5, 5)]

    def test_seek_starts_at_the_next_file_when_there_is_no_exact_one(self, client: ReplicaClient) -> None:
        self.put(client, 1, 1, 4)
        self.put(client, 1, 5, 8)
        self.put(client, 1, 9, 9)
        assert names(client, 1, seek=2) == [(5, 8), (9, 9)]
        assert names(client, 1, seek=10) == []

    def test_levels_are_separate(self, client: ReplicaClient) -> None:
        self.put(client, 0, 7)
        self.put(client, 9, 1, 7)
        assert (names(client, 0), names(client, 1), names(client, 9)) == ([(7, 7)], [], [(1, 7)])

    def test_2_500_files_are_listed_and_sought(self, client: ReplicaClient) -> None:
        self.fill(client, 0, range(1, 2501))
        assert names(client, 0) == [(txid, txid) for txid in range(1, 2501)]
        assert names(client, 0, seek=2450) == [(txid, txid) for txid in range(2450, 2501)]

    @pytest.mark.parametrize("timestamp_ms", [0, 1, 1_700_000_000_000, 1_700_000_000_120, 1_700_000_000_999])
    def test_the_headers_time_is_kept(self, client: ReplicaClient, timestamp_ms: int) -> None:
        self.put(client, 0, 1, data=ltx_bytes(1, 1, timestamp_ms=timestamp_ms))
        (info,) = client.ltx_files(0, use_metadata=True)
        assert info.created_at == from_timestamp_ms(timestamp_ms)

    def test_plain_listings_have_the_headers_time_where_the_client_says_so(self, client: ReplicaClient) -> None:
        self.put(client, 0, 1)
        (info,) = client.ltx_files(0)
        assert (info.created_at == from_timestamp_ms(TIMESTAMP_MS)) is client.accurate_list_times

    # Reading

    def test_any_range_is_read_as_it_was_written(self, client: ReplicaClient) -> None:
        data = ltx_bytes(1, 1)
        info = self.put(client, 0, 1, data=data)
        for start, end in [(0, None), (0, 1000), (0, 1), (100, 300), (999, 1000), (500, None), (10, 10)]:
            assert client.read_ltx(info, start, end) == data[start:end]

    def test_a_range_past_the_end_is_cut_short(self, client: ReplicaClient) -> None:
        data = ltx_bytes(1, 1)
        info = self.put(client, 0, 1, data=data)
        assert client.read_ltx(info, 990, 2000) == data[990:]
        assert client.read_ltx(info, 1000, 2000) == b""
        assert client.read_ltx(info, 5000, 6000) == b""
        assert client.read_ltx(info, 5000) == b""

    def test_a_missing_file_is_missing(self, client: ReplicaClient) -> None:
        self.put(client, 0, 1)
        for info in [
            FileInfo(level=0, min_txid=TXID(2), max_txid=TXID(2)),
            FileInfo(level=0, min_txid=TXID(1), max_txid=TXID(2)),
            FileInfo(level=1, min_txid=TXID(1), max_txid=TXID(1)),
        ]:
            with pytest.raises(LTXMissingError):
                client.read_ltx(info)
            with pytest.raises(LTXMissingError):
                client.open_ltx_file(info.level, info.min_txid, info.max_txid)

    def test_a_file_without_a_known_identity_is_read(self, client: ReplicaClient) -> None:
        info = self.put(client, 0, 1)
        assert client.read_ltx(replace(info, identity=""), 0, 4) == b"LTX1"

    def test_a_file_replaced_by_another_is_missing_under_its_old_identity(self, client: ReplicaClient) -> None:
        old = self.put(client, 0, 1)
        new = self.put(client, 0, 1, data=ltx_bytes(1, 1, size=1100, timestamp_ms=TIMESTAMP_MS + 1))
        assert old.identity
        assert list(client.ltx_files(0, use_metadata=True)) == [new]
        with pytest.raises(LTXMissingError):
            client.read_ltx(old, 0, 100)
        assert len(client.read_ltx(new)) == 1100

    @pytest.mark.parametrize(("offset", "size"), [(0, 0), (0, 100), (100, 0), (100, 300), (990, 50), (0, 5000)])
    def test_an_open_file_reads_the_part_asked_for(self, client: ReplicaClient, offset: int, size: int) -> None:
        data = ltx_bytes(1, 1)
        self.put(client, 0, 1, data=data)
        expected = data[offset : offset + size] if size else data[offset:]
        with client.open_ltx_file(0, TXID(1), TXID(1), offset, size) as reader:
            assert reader.read(7) == expected[:7]
            assert reader.read() == expected[7:]
            assert reader.read(1) == b""

    # Life

    def test_init_and_close_may_be_called_again(self, client: ReplicaClient) -> None:
        client.init()
        client.init()
        info = self.put(client, 0, 1)
        client.close()
        client.close()
        assert client.read_ltx(info, 0, 4) == b"LTX1"

    def test_its_type_is_told_by_client_and_repr(self, client: ReplicaClient) -> None:
        assert client.type in {"abs", "file", "gs", "http", "memory", "nats", "oss", "s3", "sftp", "webdav"}
        assert "Client" in repr(client)


class SharedReadingTests(ReadingTests):
    """Readers of a store that holds other things too."""

    @abstractmethod
    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        """Store something beside the files of a level."""

    def test_objects_with_other_names_are_not_listed(self, client: ReplicaClient) -> None:
        self.put(client, 0, 1)
        for name in GARBAGE:
            self.put_object(client, 0, name, b"garbage")
        assert names(client, 0) == [(1, 1)]


class ReplicaClientTests(ReadingTests):
    """What every client does that writes."""

    # Writing

    def test_all_levels_at_once_are_what_each_says(self, client: ReplicaClient) -> None:
        for level, min_txid, max_txid in [(0, 5, 5), (0, 4, 4), (1, 1, 3), (1, 4, 4), (9, 1, 5)]:
            write(client, level, min_txid, max_txid)
        found = client.ltx_levels()
        if found is not None:
            assert {level: list(infos) for level, infos in found.items() if infos} == {
                level: list(client.ltx_files(level)) for level in (0, 1, 9)
            }

    def test_a_written_file_is_listed_as_it_was_reported(self, client: ReplicaClient) -> None:
        info = write(client, 0, 1)
        assert info == FileInfo(
            level=0,
            min_txid=TXID(1),
            max_txid=TXID(1),
            size=1000,
            created_at=from_timestamp_ms(TIMESTAMP_MS),
            identity=info.identity,
        )
        assert list(client.ltx_files(0, use_metadata=True)) == [info]

    def test_a_file_is_not_visible_before_it_is_whole(self, client: ReplicaClient) -> None:
        seen: list[list[tuple[int, int]]] = []
        reader = WatchedReader(ltx_bytes(1, 1, size=3_000_000), lambda _position: seen.append(names(client, 0)))
        info = client.write_ltx_file(0, TXID(1), TXID(1), reader)
        assert seen
        assert all(listing == [] for listing in seen)
        assert [info.size for info in client.ltx_files(0)] == [info.size] == [3_000_000]

    def test_a_write_whose_source_fails_leaves_nothing(self, client: ReplicaClient) -> None:
        def fail_later(position: int) -> None:
            if position > 1_000_000:
                msg = "the source failed"
                raise RuntimeError(msg)

        with pytest.raises(RuntimeError, match="the source failed"):
            client.write_ltx_file(0, TXID(1), TXID(1), WatchedReader(ltx_bytes(1, 1, size=3_000_000), fail_later))
        assert names(client, 0) == []

    @pytest.mark.parametrize("data", [b"", b"LTX1", b"x" * 1000, bytes(100)])
    def test_what_is_no_ltx_is_not_stored(self, client: ReplicaClient, data: bytes) -> None:
        with pytest.raises(LTXError):
            write(client, 0, 1, data=data)
        assert names(client, 0) == []

    def test_a_name_that_is_taken_is_not_written_over_if_that_is_asked_for(self, client: ReplicaClient) -> None:
        first, second = ltx_bytes(4, 4), ltx_bytes(4, 4, size=2000)
        info = client.write_ltx_file(0, TXID(4), TXID(4), io.BytesIO(first), if_absent=True)
        with pytest.raises(LTXExistsError):
            client.write_ltx_file(0, TXID(4), TXID(4), io.BytesIO(second), if_absent=True)
        assert names(client, 0) == [(4, 4)]
        assert client.read_ltx(info) == first
        client.write_ltx_file(0, TXID(4), TXID(4), io.BytesIO(second))
        assert client.read_ltx(replace(info, identity="")) == second

    def test_of_two_writers_at_once_one_is_told_that_the_name_is_taken(self, client: ReplicaClient) -> None:
        for txid in map(TXID, range(1, 6)):
            start, results = threading.Barrier(2), list[object]()

            def store(txid: TXID, start: threading.Barrier, results: list[object]) -> None:
                start.wait()
                try:
                    results.append(
                        client.write_ltx_file(0, txid, txid, io.BytesIO(ltx_bytes(txid, txid)), if_absent=True)
                    )
                except LTXExistsError as error:
                    results.append(type(error))

            threads = [threading.Thread(target=store, args=(txid, start, results)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert results.count(LTXExistsError) == 1
            assert len(results) == 2

    def test_two_writers_of_one_name_leave_one_whole_file(self, client: ReplicaClient) -> None:
        contents = [ltx_bytes(1, 1, size=200_000 + number, timestamp_ms=number) for number in range(4)]
        start = threading.Barrier(len(contents))
        failures: list[BaseException] = []

        def write_repeatedly(data: bytes) -> None:
            start.wait()
            try:
                for _ in range(3):
                    write(client, 0, 1, data=data)
            except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
                failures.append(error)

        threads = [threading.Thread(target=write_repeatedly, args=(data,)) for data in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        (info,) = client.ltx_files(0)
        assert client.read_ltx(info) in contents

    # Deleting

    def test_deleting_twice_is_no_error(self, client: ReplicaClient) -> None:
        self.fill(client, 0, range(1, 4))
        infos = list(client.ltx_files(0))
        client.delete_ltx_files(infos[:2])
        client.delete_ltx_files(infos[:2])
        client.delete_ltx_files([])
        assert names(client, 0) == [(3, 3)]
        with pytest.raises(LTXMissingError):
            client.read_ltx(infos[0])

    def test_delete_all_empties_every_level(self, client: ReplicaClient) -> None:
        for level in range(10):
            write(client, level, 1)
        client.delete_all()
        client.delete_all()
        assert [names(client, level) for level in range(10)] == [[]] * 10
        write(client, 0, 1)
        assert names(client, 0) == [(1, 1)]


class SharedStoreTests(SharedReadingTests, ReplicaClientTests):
    """Clients of a store that holds other things too."""

    @abstractmethod
    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        """Return a replica in the same store whose place begins like the client's."""

    def test_delete_all_touches_nothing_outside_its_replica(self, client: ReplicaClient) -> None:
        neighbour = self.neighbour(client)
        write(client, 0, 1)
        write(neighbour, 0, 1)
        client.delete_all()
        assert (names(client, 0), names(neighbour, 0)) == ([], [(1, 1)])
