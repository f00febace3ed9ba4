"""Plans from a replica client: as exact as if every header were read, at the cost of a few.

Method: a replica in memory whose listing gives upload times instead of the headers', and a count of requests. Bugs
once planted and caught here: no margin for clocks; listing times taken for exact; no second listing.
"""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.client.base import ReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.clock import to_timestamp_ms
from replication.errors import LTXError, LTXMissingError, NoSnapshotsError, TxNotAvailableError, UsageError
from replication.levels import LEVELS
from replication.ltx.file_info import FileInfo
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.position import NO_TXID, TXID
from replication.restore.plan import plan_restore
from replication.restore.source import (
    MAX_CLOCK_SKEW,
    MAX_LISTINGS,
    calc_restore_plan,
    files_before,
    list_levels,
)
from replication.restore.workers import WorkerExecutor
from tests.support.faulty_client import FaultyClient

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


class UploadTimesClient(FaultyClient):
    """Lists when files were uploaded, as S3 does: later than the headers say, or a little earlier by the clocks."""

    def __init__(self, inner: ReplicaClient, lateness: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(inner)
        vars(self).update(accurate_list_times=False)
        self.lateness = lateness

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        assert not use_metadata
        for info in super().ltx_files(level, seek):
            yield replace(info, created_at=info.created_at + self.lateness)


def put(client: ReplicaClient, level: int, min_txid: int, max_txid: int, second: float) -> FileInfo:
    header = Header(
        flags=NO_CHECKSUM_FLAG,
        page_size=4096,
        commit=1,
        min_txid=TXID(min_txid),
        max_txid=TXID(max_txid),
        timestamp_ms=to_timestamp_ms(at(second)),
    )
    return client.write_ltx_file(level, TXID(min_txid), TXID(max_txid), io.BytesIO(header.pack()))


def hour_of_files(client: ReplicaClient, count: int = 3600) -> None:
    """One file a second, compacted every 30 s and every 5 min, and a snapshot every half hour."""
    for txid in range(1, count + 1):
        put(client, 0, txid, txid, txid)
        for level, length in ((1, 30), (2, 300)):
            if txid % length == 0:
                put(client, level, txid - length + 1, txid, txid)
        if txid % 1800 == 0:
            put(client, 9, 1, txid, txid)


@pytest.fixture(scope="module")
def hour() -> MemoryReplicaClient:
    client = MemoryReplicaClient()
    hour_of_files(client)
    return client


def names(plan: Sequence[FileInfo]) -> list[tuple[int, int, int]]:
    return [(info.level, info.min_txid, info.max_txid) for info in plan]


@pytest.mark.parametrize("lateness_s", [-600, 0.5, 40, 10 * 24 * 3600])
@pytest.mark.parametrize("second", [1.001, 2, 30, 30.001, 1799.5, 1800.001, 2000, 3599.001, 5000])
def test_a_plan_before_an_instant_does_not_depend_on_upload_times(
    hour: MemoryReplicaClient, second: float, lateness_s: float
) -> None:
    late = UploadTimesClient(hour, timedelta(seconds=lateness_s))
    exact = plan_restore(list_levels(hour), timestamp=at(second))
    assert names(calc_restore_plan(late, timestamp=at(second))) == names(exact)


def test_an_exact_plan_reads_few_headers(hour: MemoryReplicaClient) -> None:
    client = UploadTimesClient(hour)
    calc_restore_plan(client, timestamp=at(2500.5))
    assert client.count("ltx_files") == len(LEVELS)
    assert client.count("read_ltx") <= 11 + 6 + 4 + 1  # the binary logarithms of 2001, 67, 7 and 1 undecided files
    assert all((call.start, call.end) == (0, 100) for call in client.calls if call.method == "read_ltx")


def test_headers_once_read_are_not_read_again(hour: MemoryReplicaClient) -> None:
    client, header_times = UploadTimesClient(hour), dict[FileInfo, datetime]()
    first = calc_restore_plan(client, timestamp=at(2500.5), header_times=header_times)
    assert len(header_times) == client.count("read_ltx") > 0
    client.clear_calls()
    assert calc_restore_plan(client, timestamp=at(2500.5), header_times=header_times) == first
    assert client.count("read_ltx") == 0


def test_a_store_that_lists_exact_times_is_asked_for_no_header(hour: MemoryReplicaClient) -> None:
    client = FaultyClient(hour)
    calc_restore_plan(client, timestamp=at(2500.5))
    calc_restore_plan(client, TXID(2500))
    assert client.count("read_ltx") == 0


def test_a_plan_for_a_txid_or_the_newest_state_reads_no_header(hour: MemoryReplicaClient) -> None:
    client = UploadTimesClient(hour)
    assert calc_restore_plan(client, TXID(2500))[-1].max_txid == 2500
    assert calc_restore_plan(client)[-1].max_txid == 3600
    assert client.count("read_ltx") == 0


class AtOnceClient(FaultyClient):
    """Tells of all levels with one request, and not of those without files."""

    def ltx_levels(self) -> dict[int, list[FileInfo]]:
        return {level: infos for level in LEVELS if (infos := list(self.inner.ltx_files(level)))}


def test_no_level_is_listed_where_one_request_tells_of_all(hour: MemoryReplicaClient) -> None:
    client = AtOnceClient(hour)
    assert list_levels(client) == list_levels(hour)
    assert list_levels(client, executor=WorkerExecutor(2)) == list_levels(hour)
    assert calc_restore_plan(client, TXID(2500)) == calc_restore_plan(hour, TXID(2500))
    assert client.calls == []


def test_levels_are_listed_at_the_same_time_if_there_is_an_executor() -> None:
    client = FaultyClient(MemoryReplicaClient())
    put(client, 0, 1, 1, 1)
    gates = [client.hold("ltx_files", after=count) for count in range(10)]
    with ThreadPoolExecutor(10) as executor:
        listing = executor.submit(list_levels, client, executor=ThreadPoolExecutor(10))
        for gate in gates:
            gate.wait_until_reached(10)
        for gate in gates:
            gate.release()
        assert {level: len(infos) for level, infos in listing.result().items()} == {0: 1} | dict.fromkeys(
            range(1, 10), 0
        )


def test_an_executor_changes_nothing_but_the_time(hour: MemoryReplicaClient) -> None:
    with ThreadPoolExecutor(4) as executor:
        client = UploadTimesClient(hour)
        assert list_levels(client, executor=executor) == list_levels(client)
        together = calc_restore_plan(client, timestamp=at(2500.5), executor=executor)
        assert together == calc_restore_plan(client, timestamp=at(2500.5))


def test_a_file_that_vanishes_while_headers_are_read_leads_to_a_second_listing() -> None:
    client = UploadTimesClient(MemoryReplicaClient())
    infos = [put(client, 0, txid, txid, txid) for txid in range(1, 9)]
    put(client, 1, 1, 8, 8)
    client.fail("read_ltx", LTXMissingError("deleted"))
    client.inner.delete_ltx_files(infos[3:5])
    assert names(calc_restore_plan(client, timestamp=at(7))) == [(0, 1, 1), (0, 2, 2), (0, 3, 3)]
    assert client.count("ltx_files") == 2 * len(LEVELS)


def test_files_that_keep_vanishing_are_an_error() -> None:
    client = UploadTimesClient(MemoryReplicaClient())
    client.vanish(put(client, 0, 1, 1, 1))
    with pytest.raises(LTXMissingError, match="3 times"):
        calc_restore_plan(client, timestamp=at(7))
    assert client.count("ltx_files") == MAX_LISTINGS * len(LEVELS)


def test_an_instant_before_history_is_answered_with_the_time_in_the_header() -> None:
    client = UploadTimesClient(MemoryReplicaClient(), timedelta(hours=1))
    put(client, 0, 1, 1, 60)
    with pytest.raises(TxNotAvailableError, match="just after 2026-01-01T00:01:00Z"):
        calc_restore_plan(client, timestamp=at(60))


def test_an_empty_replica_and_a_bad_call_are_told_apart() -> None:
    client = UploadTimesClient(MemoryReplicaClient())
    with pytest.raises(NoSnapshotsError):
        calc_restore_plan(client, timestamp=at(60))
    with pytest.raises(UsageError, match="both"):
        calc_restore_plan(client, TXID(1), at(60))
    with pytest.raises(UsageError, match="time zone"):
        calc_restore_plan(client, timestamp=at(60).replace(tzinfo=None))


def test_a_broken_header_says_which_file() -> None:
    client = UploadTimesClient(MemoryReplicaClient())
    put(client, 3, 1, 5, 1)
    client.flip_bit(0)
    with pytest.raises(LTXError, match="magic") as caught:
        calc_restore_plan(client, timestamp=at(1.5))
    assert (caught.value.level, caught.value.min_txid, caught.value.max_txid) == (3, 1, 5)


def test_the_header_of_another_file_does_not_date_this_one() -> None:
    client = UploadTimesClient(MemoryReplicaClient())
    put(client, 0, 1, 1, 1)
    header = Header.unpack(client.read_ltx(put(client, 0, 2, 2, 2)))
    client.write_ltx_file(0, TXID(3), TXID(3), io.BytesIO(header.pack()))
    with pytest.raises(LTXError, match="expected a header of TXIDs 0000000000000003 to 0000000000000003") as caught:
        calc_restore_plan(client, timestamp=at(2.5))
    assert (caught.value.level, caught.value.min_txid, caught.value.max_txid) == (0, 3, 3)


def test_header_times_may_be_forgotten_while_they_are_used(hour: MemoryReplicaClient) -> None:
    class Forgetful(dict[FileInfo, datetime]):
        def __setitem__(self, info: FileInfo, time: datetime) -> None:
            """Keep nothing, as if another thread had cleared it at once."""

    client = UploadTimesClient(hour)
    forgetful = calc_restore_plan(client, timestamp=at(2500.5), header_times=Forgetful())
    assert forgetful == calc_restore_plan(client, timestamp=at(2500.5))


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(-900, 5000)), max_size=30),
    st.integers(-1000, 6000),
)
def test_files_before_an_instant_are_those_whose_headers_say_so(files: list[tuple[int, int]], second: int) -> None:
    assert timedelta(seconds=900) <= MAX_CLOCK_SKEW
    exact: dict[FileInfo, datetime] = {}
    times = sorted(time for time, _ in files)
    for txid, (time, (_, lateness)) in enumerate(zip(times, files, strict=True), start=1):
        info = FileInfo(level=0, min_txid=TXID(txid), max_txid=TXID(txid), created_at=at(time + lateness))
        exact[info] = at(time)
    asked: list[FileInfo] = []

    def created_at(info: FileInfo) -> datetime:
        asked.append(info)
        return exact[info]

    before = files_before(list(exact), at(second), created_at)
    assert before == tuple(info for info in exact if exact[info] < at(second))
    assert len(asked) <= len(exact).bit_length()
