"""Every store that is reached by HTTP meets what networks and servers do: a right answer in the end, or a clear error.

Wrong bytes, half a listing and half a file are what must never come of it. Seen to
fail on a body that ends early and was taken for the end of the file.
"""

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from replication.client.base import ReplicaClient
from replication.client.url import replica_client
from replication.errors import LitestreamError, UnavailableError, UsageError
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.client.ltx_bytes import ltx_bytes, names, write
from tests.support import faulty_proxy
from tests.support.azure_server import AzureServer
from tests.support.faulty_proxy import Fault, FaultyProxy
from tests.support.gcs_server import GCSServer
from tests.support.s3_server import S3Server, oss_url
from tests.support.web_servers import WebDAVServer

TIMEOUT_S = 8.0
IMPATIENT_S = 2.0
UNAVAILABLE_S = 3.0
SLOW_S = 0.5
FILES = 40
DATA = ltx_bytes(1, 1, size=300_000)


@dataclass(frozen=True, slots=True)
class Store:
    """A replica with files 1 to 40 of level 0, reached directly, and through a proxy: patiently or not."""

    direct: ReplicaClient
    proxied: ReplicaClient
    impatient: ReplicaClient
    proxy: FaultyProxy


def _s3_client(server: S3Server, port: int, path: str, timeout_s: float) -> ReplicaClient:
    return replica_client(server.url(path).replace(f":{server.port}", f":{port}"), timeout_s=timeout_s)


def _abs_client(server: AzureServer, port: int, path: str, timeout_s: float) -> ReplicaClient:
    return replica_client(server.url(path, port=port), timeout_s=timeout_s)


def _oss_client(server: S3Server, port: int, path: str, timeout_s: float) -> ReplicaClient:
    return replica_client(oss_url(server, f"oss/{path}", port=port), timeout_s=timeout_s)


def _gs_client(server: GCSServer, port: int, path: str, timeout_s: float) -> ReplicaClient:
    return replica_client(server.url(path, port=port), timeout_s=timeout_s)


def _webdav_client(server: WebDAVServer, port: int, path: str, timeout_s: float) -> ReplicaClient:
    return replica_client(server.url(path, port=port), timeout_s=timeout_s)


def _http_client(server: WebDAVServer, port: int, path: str, timeout_s: float) -> ReplicaClient:
    """Return a client that only reads, but past the proxy one that can fill the replica."""
    scheme = "webdav" if port == server.port else "http"
    return replica_client(server.url(f"http/{path}", scheme=scheme, port=port), timeout_s=timeout_s)


CLIENTS: dict[str, Callable[..., ReplicaClient]] = {
    "abs": _abs_client,
    "gs": _gs_client,
    "http": _http_client,
    "oss": _oss_client,
    "s3": _s3_client,
    "webdav": _webdav_client,
}
# The fixtures that are not called NAME_server.
SERVERS = {"http": "webdav_server", "oss": "s3_process", "s3": "s3_process"}


@pytest.fixture(scope="module", params=CLIENTS)
def filled(request: pytest.FixtureRequest) -> Iterator[Store]:
    server = request.getfixturevalue(SERVERS.get(request.param, f"{request.param}_server"))
    with FaultyProxy(server.port) as proxy:
        make = CLIENTS[request.param]
        direct = make(server, server.port, "faults", TIMEOUT_S)
        proxied, impatient = (make(server, proxy.port, "faults", timeout_s) for timeout_s in (TIMEOUT_S, IMPATIENT_S))
        write(direct, 0, 1, data=DATA)
        for txid in range(2, FILES + 1):
            write(direct, 0, txid)
        yield Store(direct, proxied, impatient, proxy)
        for client in (direct, proxied, impatient):
            client.close()


@pytest.fixture
def store(filled: Store) -> Iterator[Store]:
    filled.proxy.heal()
    yield filled
    filled.proxy.heal()


FAULTS: dict[str, Fault] = {
    "cut": faulty_proxy.cut,
    "too long a length": faulty_proxy.too_long,
    "too short a length": faulty_proxy.too_short,
    "a slow first byte": faulty_proxy.slow(SLOW_S),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_range_is_right_after_a_fault(store: Store, fault: str) -> None:
    (info, *_) = store.direct.ltx_files(0)
    store.proxy.break_next(FAULTS[fault], part=".ltx")
    assert store.proxied.read_ltx(info, 1000, 250_000) == DATA[1000:250_000]
    assert store.proxied.read_ltx(info, 290_000, 310_000) == DATA[290_000:]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_whole_file_is_right_after_a_fault_or_an_error_is_raised(store: Store, fault: str) -> None:
    (info, *_) = store.direct.ltx_files(0)
    store.proxy.break_next(FAULTS[fault], part=".ltx")
    assert right_or_error(lambda: store.proxied.read_ltx(info), DATA)
    assert store.proxied.read_ltx(info) == DATA


@pytest.mark.parametrize("fault", FAULTS)
def test_a_listing_is_right_after_a_fault_or_an_error_is_raised(store: Store, fault: str) -> None:
    expected = [(txid, txid) for txid in range(1, FILES + 1)]
    store.proxy.break_next(FAULTS[fault])
    assert right_or_error(lambda: names(store.proxied, 0), expected)
    assert names(store.proxied, 0) == expected


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upload_whose_answer_broke_leaves_a_whole_file_or_nothing(store: Store, fault: str) -> None:
    data = ltx_bytes(1, 9, size=200_000)
    store.proxy.break_next(FAULTS[fault])

    def upload() -> bool:
        return store.proxied.write_ltx_file(2, TXID(1), TXID(9), io.BytesIO(data)).size == len(data)

    assert right_or_error(upload, expected=True)
    for info in store.direct.ltx_files(2):
        assert info.size == len(data)
        assert store.direct.read_ltx(info) == data
    store.direct.delete_ltx_files(store.direct.ltx_files(2))


def test_three_seconds_of_503_are_waited_for(store: Store) -> None:
    (info, *_) = store.direct.ltx_files(0)
    store.proxy.break_next(faulty_proxy.unavailable, times=None, seconds=UNAVAILABLE_S)
    with ThreadPoolExecutor() as pool:
        listing = pool.submit(names, store.proxied, 0, FILES)
        assert store.proxied.read_ltx(info, 0, 1000) == DATA[:1000]
        assert listing.result() == [(FILES, FILES)]


def test_a_server_that_is_never_available_is_an_error_in_time(store: Store) -> None:
    (info, *_) = store.direct.ltx_files(0)
    store.proxy.break_next(faulty_proxy.unavailable, times=None)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="503"):
        store.impatient.read_ltx(info, 0, 1000)
    assert time.monotonic() - began < IMPATIENT_S + 1


def test_a_redirect_is_followed_or_told(store: Store) -> None:
    (info, *_) = store.direct.ltx_files(0)
    expected = [(txid, txid) for txid in range(1, FILES + 1)]
    store.proxy.break_next(faulty_proxy.redirect(store.proxy.port), times=1)
    assert right_or_error(lambda: store.proxied.read_ltx(info, 0, 1000), DATA[:1000])
    store.proxy.heal()
    store.proxy.break_next(faulty_proxy.redirect(store.proxy.port), times=1)
    assert right_or_error(lambda: names(store.proxied, 0), expected)
    store.proxy.heal()
    assert names(store.proxied, 0) == expected


def test_a_missing_file_behind_faults_is_still_missing(store: Store) -> None:
    missing = FileInfo(level=3, min_txid=TXID(1), max_txid=TXID(1))
    store.proxy.break_next(faulty_proxy.slow(SLOW_S))
    with pytest.raises(LitestreamError, match=r"0000000000000001-0000000000000001"):
        store.proxied.read_ltx(missing)


def right_or_error(call: Callable[[], object], expected: object) -> bool:
    """Say whether a call gave the expected, or one of our errors that says something."""
    try:
        return call() == expected
    except (UnavailableError, UsageError) as error:
        return bool(str(error))
