"""The fault injector does what a test tells it to, and nothing else; the S3 server's log counts right."""

import threading

import pytest

from replication.client.memory import MemoryReplicaClient
from replication.errors import LTXMissingError, UnavailableError
from tests.client.ltx_bytes import ltx_bytes, names, write
from tests.support.faulty_client import Call, FaultyClient
from tests.support.s3_server import S3Request, sequential_depth


@pytest.fixture
def client() -> FaultyClient:
    return FaultyClient(MemoryReplicaClient())


def test_calls_fail_after_and_as_often_as_was_said(client: FaultyClient) -> None:
    info = write(client, 0, 1)
    client.fail("read_ltx", UnavailableError("down"), after=1, times=2)
    outcomes: list[bool] = []
    for _ in range(4):
        try:
            client.read_ltx(info)
            outcomes.append(True)
        except UnavailableError:
            outcomes.append(False)
    assert outcomes == [True, False, False, True]
    assert client.count("read_ltx") == 4


def test_reads_are_cut_and_bits_flipped(client: FaultyClient) -> None:
    data = ltx_bytes(1, 1)
    info = write(client, 0, 1, data=data)
    client.flip_bit(500, bit=3, times=None)
    assert client.read_ltx(info, 0, 500) == data[:500]
    assert client.read_ltx(info, 490, 510)[10] == data[500] ^ 8
    client.heal()
    client.truncate(3)
    assert client.read_ltx(info) == data[:3]
    assert client.read_ltx(info) == data


def test_a_vanished_file_is_listed_and_missing(client: FaultyClient) -> None:
    info = write(client, 0, 1)
    client.vanish(info)
    assert names(client, 0) == [(1, 1)]
    with pytest.raises(LTXMissingError):
        client.read_ltx(info)
    with pytest.raises(LTXMissingError):
        client.open_ltx_file(0, info.min_txid, info.max_txid)


def test_a_held_call_waits_until_it_is_released(client: FaultyClient) -> None:
    gate = client.hold("ltx_files")
    found: list[list[tuple[int, int]]] = []
    thread = threading.Thread(target=lambda: found.append(names(client, 0)))
    thread.start()
    gate.wait_until_reached()
    assert found == []
    gate.release()
    thread.join()
    assert found == [[]]


def test_calls_are_remembered_with_their_arguments(client: FaultyClient) -> None:
    info = write(client, 2, 3, 4)
    client.clear_calls()
    client.read_ltx(info, 5, 6)
    list(client.ltx_files(2, info.min_txid))
    assert client.calls == [Call("read_ltx", 2, 3, 4, 5, 6), Call("ltx_files", 2, seek=3)]


def request(start: float, end: float | None) -> S3Request:
    return S3Request(
        method="GET",
        kind="GET",
        bucket="b",
        key="k",
        query="",
        range=None,
        status=200,
        bytes=0,
        start=start,
        end=end,
        host="",
        authorization="",
        headers={},
    )


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (0, 1), (0.5, 1.5)], 1),
        ([(0, 1), (1, 2), (2, 3)], 3),
        ([(0, 10), (1, 2), (3, 4), (5, 6)], 3),
        ([(0, 1), (0, 2), (2.5, 3), (2.6, 4)], 2),
        ([(0, 1), (2, None)], 1),
    ],
)
def test_the_depth_is_the_longest_chain_of_waiting_requests(
    spans: list[tuple[float, float | None]], expected: int
) -> None:
    assert sequential_depth([request(start, end) for start, end in spans]) == expected
