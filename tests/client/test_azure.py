"""Azure Blob Storage: the suite of all clients, requests, errors sorted by what to do next, leases, and secrets.

Bugs planted to see it fail: a lease's condition left out, a missing container taken for a missing file, a seek that is
not filtered, the text of obstore's error in a message.
"""

import io
import itertools
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from replication.client.azure import AzureReplicaClient
from replication.client.base import ReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from replication.errors import (
    DeniedError,
    LitestreamError,
    LTXExistsError,
    LTXMissingError,
    ThrottledError,
    UnavailableError,
    UsageError,
)
from replication.lease import LeaseStore, StoredLease
from replication.lease_stores import lease_store
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.client.conformance import SharedStoreTests
from tests.client.ltx_bytes import ltx_bytes, names, write
from tests.support import faulty_proxy
from tests.support.azure_server import ACCOUNT, ACCOUNT_KEY, DEFAULT_CONTAINER, AzureServer
from tests.support.faulty_proxy import Answer, Fault, FaultyProxy, Request

FILE = FileInfo(level=0, min_txid=TXID(1), max_txid=TXID(1))
MISSING = FileInfo(level=0, min_txid=TXID(2), max_txid=TXID(2))
NAME = "0000000000000001-0000000000000001.ltx"
OTHER_KEY = "b3RoZXIga2V5IG9mIHRoZSB0ZXN0cw=="
PART = 5 * 2**20

_numbers = itertools.count(1)


def inner(client: ReplicaClient) -> AzureReplicaClient:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, AzureReplicaClient)
    return client.inner


class TestAzure(SharedStoreTests):
    @pytest.fixture
    def client(self, abs_server: AzureServer) -> ReplicaClient:
        self.server = abs_server
        return replica_client(abs_server.url(f"conformance/{next(_numbers)}"))

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        names = (f"{txid:016x}-{txid:016x}.ltx" for txid in txids)
        self.server.fill((f"{inner(client).config.path}/ltx/{level}/{name}", ltx_bytes(1, 1)) for name in names)

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        self.server.fill([(f"{inner(client).config.path}/ltx/{level}/{name}", data)])

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        return replica_client(self.server.url(inner(client).config.path + "0"))


@pytest.fixture
def path(abs_server: AzureServer) -> str:
    """The path of a replica that holds FILE."""
    path = f"azure/{next(_numbers)}"
    abs_server.fill([(f"{path}/ltx/0/{NAME}", ltx_bytes(1, 1))])
    return path


@pytest.fixture(scope="module")
def started_proxy(abs_server: AzureServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(abs_server.port) as proxy:
        yield proxy


@pytest.fixture
def proxy(started_proxy: FaultyProxy) -> Iterator[FaultyProxy]:
    started_proxy.heal()
    yield started_proxy
    started_proxy.heal()


@pytest.fixture
def proxied(abs_server: AzureServer, path: str, proxy: FaultyProxy) -> AzureReplicaClient:
    """A client that does not retry."""
    return inner(replica_client(abs_server.url(path, port=proxy.port), timeout_s=2.0))


def without_key(server: AzureServer, path: str, *, port: int | None = None, **options: object) -> ReplicaClient:
    return replica_client(server.url(path, port=port, key=False), **options)


def refuse(status: int, code: str, message: str = "as the test asked") -> Fault:
    """Answer with an error of Azure."""

    def fault(request: Request, _answer: Answer) -> Answer:
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
        body = b"" if request.method == "HEAD" else body
        return Answer(f"{status} {code}".encode(), (), body).with_length(len(body))

    return fault


# Requests


def kinds(proxy: FaultyProxy) -> Counter[str]:
    return Counter("LIST" if "comp=list" in request.path else request.method for request in proxy.seen())


def test_what_it_does_costs_one_request_each(abs_server: AzureServer, path: str, proxy: FaultyProxy) -> None:
    client = replica_client(abs_server.url(path, port=proxy.port))
    client.init()
    assert proxy.seen() == []
    (info,) = client.ltx_files(0)
    client.read_ltx(info, 0, 100)
    client.read_ltx(info)
    client.read_ltx(info, 5, 5)
    client.open_ltx_file(0, TXID(1), TXID(1)).read()
    write(client, 0, 3)
    client.delete_ltx_files([info])
    assert kinds(proxy) == {"LIST": 1, "GET": 3, "PUT": 1, "POST": 1}


def test_accurate_times_cost_a_request_for_each_file(abs_server: AzureServer, path: str, proxy: FaultyProxy) -> None:
    client = replica_client(abs_server.url(path, port=proxy.port))
    for txid in range(2, 21):
        write(client, 0, txid)
    proxy.heal()
    infos = list(client.ltx_files(0, seek=TXID(2), use_metadata=True))
    assert len({info.created_at for info in infos}) == 1
    assert kinds(proxy) == {"LIST": 1, "HEAD": 19}


def test_the_stored_blob_is_as_the_go_program_stores_it(abs_server: AzureServer, path: str) -> None:
    write(replica_client(abs_server.url(path)), 9, 1, 18)
    assert abs_server.metadata(f"{path}/ltx/9/0000000000000001-0000000000000012.ltx") == {
        "litestreamtimestamp": "2026-11-22T08:31:03.442Z",
        "content-type": "application/octet-stream",
    }


def test_a_replica_may_be_at_the_top_of_a_container(abs_server: AzureServer) -> None:
    client = replica_client(abs_server.url(""))
    info = write(client, 8, 1, 2)
    assert list(client.ltx_files(8, use_metadata=True)) == [info]
    assert abs_server.metadata("ltx/8/0000000000000001-0000000000000002.ltx")
    client.delete_ltx_files([info])


def test_a_large_file_is_sent_in_parts_of_which_one_may_fail(
    abs_server: AzureServer, path: str, proxy: FaultyProxy
) -> None:
    client = inner(replica_client(abs_server.url(path, port=proxy.port)))
    data = ltx_bytes(1, 1, size=3 * PART + 1000)
    proxy.break_next(refuse(500, "InternalError"), kind="PUT", part="comp=block&")
    info = write(client, 1, 1, data=data)
    assert list(client.ltx_files(1, use_metadata=True)) == [info]
    assert client.read_ltx(info) == data
    puts = Counter(request.path.partition("comp=")[2].partition("&")[0] for request in proxy.seen())
    assert (puts["block"], puts["blocklist"]) == (5, 1)


def test_of_two_uploads_in_parts_at_once_one_whole_file_is_there_after(abs_server: AzureServer, path: str) -> None:
    client = replica_client(abs_server.url(path))
    contents = [ltx_bytes(1, 1, size=2 * PART + number, timestamp_ms=number) for number in range(3)]
    start = threading.Barrier(len(contents))
    failures: list[BaseException] = []

    def upload(data: bytes) -> None:
        start.wait()
        try:
            write(client, 1, 1, data=data)
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=upload, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    (info,) = client.ltx_files(1)
    assert client.read_ltx(info) in contents


def test_a_file_in_parts_is_not_written_over_if_that_is_asked_for(abs_server: AzureServer, path: str) -> None:
    client = replica_client(abs_server.url(path))
    reader = io.BytesIO(ltx_bytes(1, 1, size=PART + 1))
    with pytest.raises(LTXExistsError, match=NAME):
        client.write_ltx_file(0, TXID(1), TXID(1), reader, if_absent=True)


# Errors


def test_wrong_credentials_are_denied_in_words(abs_server: AzureServer, path: str) -> None:
    expired = abs_server.sas_token("racwdl", expiry="2020-01-01T00:00:00Z")
    for client in (
        without_key(abs_server, path, account_key=OTHER_KEY),
        without_key(abs_server, path, sas_token=expired),
        without_key(abs_server, path, sas_token=abs_server.sas_token("racwdl", container="other")),
    ):
        with pytest.raises(DeniedError, match="SAS token is wrong"):
            client.read_ltx(FILE)


@pytest.mark.parametrize(
    ("permissions", "call", "needed"),
    [
        ("racwd", lambda client: list(client.ltx_files(0)), "SAS token with l, on test-container"),
        ("acwdl", lambda client: client.read_ltx(FILE), "SAS token with r"),
        ("rdl", lambda client: write(client, 0, 7), "SAS token with c and w"),
        ("racwl", lambda client: client.delete_ltx_files([FILE]), "SAS token with d"),
    ],
)
def test_a_token_that_allows_too_little_is_told_what_it_lacks(
    abs_server: AzureServer, path: str, permissions: str, call: Callable[[ReplicaClient], object], needed: str
) -> None:
    client = without_key(abs_server, path, sas_token=abs_server.sas_token(permissions))
    with pytest.raises(DeniedError, match=needed):
        call(client)
    assert names(replica_client(abs_server.url(path)), 0) == [(1, 1)]


def test_a_token_that_allows_all_is_enough(abs_server: AzureServer, path: str) -> None:
    client = without_key(abs_server, path, sas_token="?" + abs_server.sas_token("rwdl"))
    info = write(client, 0, 2)
    write(client, 1, 2, data=ltx_bytes(2, 2, size=PART + 1))
    assert client.read_ltx(info, 0, 4) == b"LTX1"
    client.delete_ltx_files([FILE])
    assert (names(client, 0), names(client, 1)) == ([(2, 2)], [(2, 2)])


@pytest.mark.parametrize(
    "call", [lambda client: list(client.ltx_files(0)), lambda client: client.read_ltx(FILE), lambda c: write(c, 0, 1)]
)
def test_a_container_that_does_not_exist_is_named(
    abs_server: AzureServer, call: Callable[[ReplicaClient], object]
) -> None:
    with pytest.raises(UsageError, match="container no-such-one does not exist"):
        call(replica_client(abs_server.url("path", container="no-such-one")))


def test_a_file_whose_name_holds_another_blob_is_missing(abs_server: AzureServer, path: str) -> None:
    client = replica_client(abs_server.url(path))
    (info,) = client.ltx_files(0)
    write(client, 0, 1)
    with pytest.raises(LTXMissingError, match="replaced"):
        client.read_ltx(info)
    with pytest.raises(LTXMissingError, match="no such object"):
        client.read_ltx(MISSING)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (refuse(503, "ServerBusy"), ThrottledError, "fewer requests"),
        (refuse(429, "TooManyRequests"), ThrottledError, "fewer requests"),
        (refuse(500, "OperationTimedOut"), UnavailableError, "500 OperationTimedOut"),
        (refuse(500, "InternalError"), UnavailableError, "500 InternalError"),
        (refuse(409, "ContainerBeingDeleted"), UnavailableError, "ContainerBeingDeleted"),
        (refuse(403, "AuthenticationFailed"), DeniedError, "wrong or expired"),
        (refuse(403, "AuthorizationPermissionMismatch"), DeniedError, "it needs Storage Blob Data Reader"),
        (refuse(403, "AccountIsDisabled"), DeniedError, "account is disabled"),
        (refuse(401, "NoAuthenticationInformation"), DeniedError, "wants credentials"),
        (refuse(400, "InvalidHeaderValue"), UsageError, "InvalidHeaderValue"),
        (faulty_proxy.cut, UnavailableError, "broke"),
        (faulty_proxy.slow(2.5), UnavailableError, "no answer in time"),
    ],
)
def test_a_failed_read_is_sorted_by_what_to_do_next(
    proxied: AzureReplicaClient, proxy: FaultyProxy, answer: Fault, kind: type[LitestreamError], text: str
) -> None:
    proxy.break_next(answer)
    with pytest.raises(kind) as raised:
        proxied.read_ltx(FILE)
    assert type(raised.value) is kind
    assert text in str(raised.value)


def test_an_upload_whose_blocks_another_one_dropped_is_tried_again(
    abs_server: AzureServer, path: str, proxy: FaultyProxy
) -> None:
    client = replica_client(abs_server.url(path, port=proxy.port))
    proxy.break_next(refuse(400, "InvalidBlockList"), kind="PUT", part="comp=blocklist")
    write(client, 1, 1, data=ltx_bytes(1, 1, size=PART + 1))
    assert names(client, 1) == [(1, 1)]


def test_a_dead_endpoint_is_an_error_that_names_it_within_the_timeout() -> None:
    url = "abs://account@container/path?endpoint=http://127.0.0.1:9"
    with pytest.raises(UnavailableError, match=r"cannot connect \(http://127\.0\.0\.1:9\)"):
        replica_client(url, account_key=OTHER_KEY, timeout_s=1.0).read_ltx(FILE)


# Leases


@pytest.fixture
def lease(abs_server: AzureServer, path: str) -> LeaseStore:
    found = lease_store(replica_client(abs_server.url(path)))
    assert found is not None
    return found


def test_a_lease_is_written_on_condition_only(abs_server: AzureServer, path: str, lease: LeaseStore) -> None:
    assert lease.read() is None
    assert lease.replace(b"0", '"nothing"') is None
    first = lease.create(b"1")
    assert first
    assert lease.create(b"2") is None
    second = lease.replace(b"3", first)
    assert second
    assert lease.replace(b"4", first) is None
    assert lease.read() == StoredLease(b"3", second)
    assert abs_server.metadata(f"{path}/lock.json")


def test_of_many_that_create_a_lease_at_once_one_succeeds(lease: LeaseStore) -> None:
    results: list[str | None] = []
    barrier = threading.Barrier(6)

    def create(number: int) -> None:
        barrier.wait()
        results.append(lease.create(b"%d" % number))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result is not None for result in results) == 1


# Secrets


def test_no_secret_is_in_any_error_or_repr(abs_server: AzureServer, path: str, proxy: FaultyProxy) -> None:
    token = abs_server.sas_token("r")
    signature = token.rpartition("sig=")[2]
    texts: list[str] = []
    for key, sas in ((ACCOUNT_KEY, None), (None, token)):
        given = without_key(abs_server, path, port=proxy.port, timeout_s=2.0, account_key=key, sas_token=sas)
        client = inner(given)
        calls: list[Callable[[], object]] = [
            partial(client.read_ltx, FILE),
            partial(client.ltx_files, 0),
            partial(write, client, 0, 1),
            partial(client.delete_ltx_files, [FILE]),
        ]
        texts += [repr(client), repr(client.config)]
        for status, code in [(403, "AuthenticationFailed"), (500, "InternalError"), (400, "Odd")]:
            proxy.break_next(refuse(status, code, f"{ACCOUNT_KEY} {signature}"), times=None)
            for call in calls:
                with pytest.raises(LitestreamError) as raised:
                    call()
                texts.append("".join(traceback.format_exception(raised.value)))
                error: BaseException | None = raised.value
                while error is not None:  # also what no traceback shows
                    texts.append(repr(error))
                    error = error.__cause__ or error.__context__
            proxy.heal()
    assert [text for text in texts if signature in text or ACCOUNT_KEY in text] == []
    assert ACCOUNT in texts[0]
    assert DEFAULT_CONTAINER in texts[0]
