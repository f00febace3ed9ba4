"""Google Cloud Storage: requests, large uploads, leases, errors sorted by what to do next, and settings.

The conformance suite runs twice: through a front that does all that the client asks of Google, and on the emulator
alone, which does not check conditions and generations.

Bugs planted to see it fail: the seek and the page token not sent, the generation not asked for, a condition not sent,
a part's unkept end dropped, a part sent again without asking what arrived, Google's words shown, a listing unsorted.
"""

import io
import itertools
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote

import httpx
import pytest

from litestream.config import parse_config
from replication.client.base import ReplicaClient
from replication.client.gcs import CHUNK_SIZE, GCSReplicaClient
from replication.client.gcs_config import EMULATOR_VARIABLE, GCSConfig, gcs_config
from replication.client.gcs_errors import answer_error
from replication.client.gcs_upload import PART_SIZE
from replication.client.http_session import HTTPAnswer
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from replication.client.url_parse import ReplicaURL, parse_replica_url
from replication.errors import (
    DeniedError,
    LTXExistsError,
    LTXMissingError,
    ThrottledError,
    UnavailableError,
    UsageError,
)
from replication.lease import LeaseStore, StoredLease
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from tests.client.conformance import SharedStoreTests
from tests.client.ltx_bytes import WatchedReader, ltx_bytes, names, write
from tests.support import faulty_proxy
from tests.support.gcs_server import DEFAULT_BUCKET, GCSServer
from tests.support.servers import free_port

MISSING = FileInfo(level=0, min_txid=TXID(7), max_txid=TXID(7))
NAME = "0000000000000001-0000000000000001.ltx"

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _reset(gs_server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(EMULATOR_VARIABLE, raising=False)
    gs_server.reset()
    yield
    gs_server.reset()


@pytest.fixture
def made() -> Iterator[list[ReplicaClient]]:
    """Clients that are closed when the test is over."""
    clients: list[ReplicaClient] = []
    yield clients
    for client in clients:
        client.close()


def inner(client: ReplicaClient) -> GCSReplicaClient:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, GCSReplicaClient)
    return client.inner


class TestGCS(SharedStoreTests):
    @pytest.fixture
    def client(self, gs_server: GCSServer, made: list[ReplicaClient]) -> ReplicaClient:
        self.server, self.made = gs_server, made
        return self.make(f"conformance/{next(_numbers)}")

    def make(self, path: str) -> ReplicaClient:
        self.made.append(replica_client(self.url(path)))
        return self.made[-1]

    def url(self, path: str) -> str:
        return self.server.url(path)

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        path = inner(client).config.path
        self.server.fill(
            (f"{path}/ltx/{level}/{txid:016x}-{txid:016x}.ltx", ltx_bytes(1, 1)) for txid in reversed(txids)
        )

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        self.server.fill([(f"{inner(client).config.path}/ltx/{level}/{name}", data)])

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        return self.make(inner(client).config.path + "0")


class TestGCSEmulator(TestGCS):
    """The emulator alone; what it cannot do is shown to be its own doing, past the client."""

    @pytest.fixture(autouse=True)
    def _emulator(self, gs_server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(EMULATOR_VARIABLE, gs_server.emulator_host)

    def url(self, path: str) -> str:
        return f"gs://{DEFAULT_BUCKET}/{path}"

    def test_a_file_replaced_by_another_is_missing_under_its_old_identity(self, client: ReplicaClient) -> None:
        """The emulator ignores the generation asked for, and does not tell which one it gives."""
        path = f"/storage/v1/b/{DEFAULT_BUCKET}/o/{quote(f'{inner(client).config.path}/ltx/0/{NAME}', safe='')}"
        write(client, 0, 1)
        answer = httpx.get(f"http://{self.server.emulator_host}{path}?alt=media&generation=1")
        assert answer.status_code == 200
        assert "x-goog-generation" not in answer.headers

    def test_of_two_writers_at_once_one_is_told_that_the_name_is_taken(self, client: ReplicaClient) -> None:
        """The emulator ignores conditions: the client asks before, which two at once can both do."""
        path = f"/upload/storage/v1/b/{DEFAULT_BUCKET}/o?uploadType=media&ifGenerationMatch=0"
        name = quote(f"{inner(client).config.path}/ltx/0/{NAME}", safe="")
        write(client, 0, 1)
        answer = httpx.post(f"http://{self.server.emulator_host}{path}&name={name}", content=b"x")
        assert answer.status_code == 200
        with pytest.raises(LTXExistsError):
            client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(ltx_bytes(1, 1)), if_absent=True)


# Requests


@pytest.fixture
def client(gs_server: GCSServer, made: list[ReplicaClient]) -> GCSReplicaClient:
    """A client that does not retry, of an empty replica."""
    return inner(opened(gs_server.url(f"gcs/{next(_numbers)}"), made))


def opened(url: str, made: list[ReplicaClient], **options: object) -> ReplicaClient:
    made.append(replica_client(url, **options))
    return made[-1]


def test_what_it_does_costs_one_request_each(client: GCSReplicaClient, gs_server: GCSServer) -> None:
    client.init()
    info = write(client, 0, 1)
    write(client, 0, 2)
    assert len(names(client, 0)) == 2
    client.read_ltx(info, 0, 100)
    client.read_ltx(info)
    client.read_ltx(info, 5, 5)
    client.open_ltx_file(0, TXID(1), TXID(1)).read()
    client.delete_ltx_files([info, MISSING])
    kinds = Counter(request.kind for request in gs_server.requests())
    assert kinds == {"PUT": 2, "LIST": 1, "GET": 3, "DELETE": 2}
    asked = [request.query.get("generation") for request in gs_server.requests() if request.kind == "GET"]
    assert asked == [info.identity, info.identity, None]


def test_an_open_file_does_not_turn_into_another(client: GCSReplicaClient) -> None:
    data = large(CHUNK_SIZE + 1000)
    write(client, 0, 1, data=data)
    with client.open_ltx_file(0, TXID(1), TXID(1)) as reader:
        assert reader.read(1000) == data[:1000]
        write(client, 0, 1, data=large(CHUNK_SIZE + 2000))
        with pytest.raises(LTXMissingError):
            reader.read()


def test_a_server_that_gives_another_generation_than_asked_for_is_noticed(
    client: GCSReplicaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = HTTPAnswer(200, {"x-goog-generation": "2"}, b"x")
    monkeypatch.setattr(client._bucket._session, "get_range", lambda *_arguments, **_options: answer)
    with pytest.raises(LTXMissingError, match="replaced by another"):
        client.read_ltx(replace(MISSING, identity="1"), 0, 1)
    assert client.read_ltx(replace(MISSING, identity="2"), 0, 1) == b"x"


def test_a_listing_is_read_in_pages_and_a_seek_is_done_by_the_server(
    client: GCSReplicaClient, gs_server: GCSServer
) -> None:
    path = client.config.path
    gs_server.fill((f"{path}/ltx/0/{txid:016x}-{txid:016x}.ltx", b"x") for txid in range(1, 2101))
    assert len(names(client, 0)) == 2100
    assert names(client, 0, seek=2000) == [(txid, txid) for txid in range(2000, 2101)]
    *first, last = gs_server.requests()
    assert len(first) == 3
    assert last.query["startOffset"] == f"{path}/ltx/0/{2000:016x}"
    assert {request.query["prefix"] for request in (*first, last)} == {f"{path}/ltx/0/"}


def test_all_levels_are_one_request_until_there_are_too_many_files(
    client: GCSReplicaClient, gs_server: GCSServer
) -> None:
    path = client.config.path
    snapshot = write(client, 9, 1, 18)
    gs_server.fill((f"{path}/ltx/0/{txid:016x}-{txid:016x}.ltx", b"x") for txid in range(1, 998))
    gs_server.fill([(f"{path}/ltx/{NAME}", b"x"), (f"{path}/ltx/10/{NAME}", b"x"), (f"{path}/lock.json", b"x")])
    files = list(client.ltx_files(0))
    gs_server.reset()
    found = client.ltx_levels()
    assert found == {level: {0: files, 9: [snapshot]}.get(level, []) for level in range(10)}
    (request,) = gs_server.requests()
    assert request.kind == "LIST"
    assert request.query["prefix"] == f"{path}/ltx/"
    write(client, 1, 1)
    gs_server.reset()
    assert client.ltx_levels() is None
    assert client.ltx_levels() is None  # which is known by now
    assert len(gs_server.requests()) == 1


def test_files_are_deleted_side_by_side(client: GCSReplicaClient, gs_server: GCSServer) -> None:
    path = client.config.path
    gs_server.fill((f"{path}/ltx/3/{txid:016x}-{txid:016x}.ltx", b"x") for txid in range(1, 51))
    client.delete_all()
    assert names(client, 3) == []
    assert Counter(request.kind for request in gs_server.requests())["DELETE"] == 50


def test_the_stored_object_is_as_the_go_program_stores_it(client: GCSReplicaClient, gs_server: GCSServer) -> None:
    write(client, 9, 1, 18)
    stored = gs_server.objects()[f"{client.config.path}/ltx/9/0000000000000001-0000000000000012.ltx"]
    assert stored["metadata"] == {"litestream-timestamp": "2026-11-22T08:31:03.442Z"}
    assert stored["contentType"] == "application/octet-stream"


def test_an_object_without_the_metadata_has_the_time_of_its_upload(
    client: GCSReplicaClient, gs_server: GCSServer
) -> None:
    name = f"{client.config.path}/ltx/0/{NAME}"
    gs_server.fill([(name, ltx_bytes(1, 1))])
    (info,) = client.ltx_files(0)
    assert info.created_at == datetime.fromisoformat(gs_server.objects()[name]["updated"])


@pytest.mark.parametrize("path", ["", "a b/ü#?%2F&=+", "x/ltx/0"])
def test_any_path_is_kept_apart_in_the_requests(gs_server: GCSServer, made: list[ReplicaClient], path: str) -> None:
    config = replace(inner(opened(gs_server.url("x"), made)).config, path=path)
    made.append(client := GCSReplicaClient(config))
    info = write(client, 4, 1)
    assert list(client.ltx_files(4)) == [info]
    assert client.ltx_levels() == {level: [info] if level == 4 else [] for level in range(10)}
    assert client.read_ltx(info, 0, 4) == b"LTX1"
    assert f"{path}/ltx/4/{NAME}".lstrip("/") in gs_server.objects()
    client.delete_ltx_files([info])
    assert names(client, 4) == []


# Large uploads


@pytest.mark.parametrize("size", [PART_SIZE - 1, PART_SIZE, PART_SIZE + 1, 2 * PART_SIZE, 2 * PART_SIZE + 12345])
def test_a_large_file_is_sent_in_parts_and_read_whole(
    client: GCSReplicaClient, gs_server: GCSServer, size: int
) -> None:
    data = large(size)
    info = client.write_ltx_file(1, TXID(1), TXID(1), WatchedReader(data, lambda _position: None), if_absent=True)
    assert (info.size, list(client.ltx_files(1))) == (size, [info])
    assert client.read_ltx(info) == data
    sizes = [request.size for request in gs_server.requests() if request.kind == "PUT"]
    if size < PART_SIZE:
        assert len(sizes) == 1
    else:
        assert sizes[1:] == [PART_SIZE] * ((size - 1) // PART_SIZE) + [(size - 1) % PART_SIZE + 1]


def test_a_large_file_is_not_visible_before_it_is_whole(client: GCSReplicaClient) -> None:
    seen: list[list[tuple[int, int]]] = []
    reader = WatchedReader(large(3 * PART_SIZE), lambda _position: seen.append(names(client, 0)))
    client.write_ltx_file(0, TXID(1), TXID(1), reader)
    assert len(seen) > 3
    assert all(listing == [] for listing in seen)


def test_a_large_file_whose_source_fails_leaves_nothing(client: GCSReplicaClient) -> None:
    def fail_later(position: int) -> None:
        if position > 2 * PART_SIZE:
            msg = "the source failed"
            raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="the source failed"):
        client.write_ltx_file(0, TXID(1), TXID(1), WatchedReader(large(3 * PART_SIZE), fail_later))
    assert names(client, 0) == []


def test_a_large_file_is_not_written_over_if_that_is_asked_for(client: GCSReplicaClient, gs_server: GCSServer) -> None:
    write(client, 0, 1)
    with pytest.raises(LTXExistsError):
        client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(large(PART_SIZE)), if_absent=True)
    write(client, 0, 2)
    gs_server.reset()

    def appear(position: int) -> None:
        if position > PART_SIZE and names(client, 0) == [(1, 1), (2, 2)]:
            write(client, 0, 3)

    with pytest.raises(LTXExistsError):
        client.write_ltx_file(0, TXID(3), TXID(3), WatchedReader(large(2 * PART_SIZE), appear), if_absent=True)
    assert {info.size for info in client.ltx_files(0)} == {1000}


def test_what_the_server_did_not_keep_of_a_part_is_sent_again(client: GCSReplicaClient, gs_server: GCSServer) -> None:
    gs_server.keep_at_most(PART_SIZE - 256 * 2**10)
    data = large(3 * PART_SIZE + 77)
    info = client.write_ltx_file(0, TXID(1), TXID(1), WatchedReader(data, lambda _position: None))
    assert client.read_ltx(info) == data


@pytest.mark.parametrize("fault", [faulty_proxy.cut, faulty_proxy.unavailable, faulty_proxy.too_long])
def test_a_failure_in_the_middle_of_an_upload_costs_no_more_than_a_part(
    client: GCSReplicaClient, gs_server: GCSServer, made: list[ReplicaClient], fault: faulty_proxy.Fault
) -> None:
    data = large(3 * PART_SIZE)
    with faulty_proxy.FaultyProxy(gs_server.port) as proxy:
        broken = inner(opened(gs_server.url(client.config.path, port=proxy.port), made))

        def plant(position: int) -> None:
            if position == 2 * PART_SIZE + 1:  # two parts are read, and one is sent
                proxy.break_next(fault, kind="PUT")
            if position == 3 * PART_SIZE:
                proxy.break_next(fault, kind="PUT")

        info = broken.write_ltx_file(0, TXID(1), TXID(1), WatchedReader(data, plant))
        broken.close()
    assert client.read_ltx(info) == data
    assert sum(request.size for request in gs_server.requests() if request.kind == "PUT") < 4 * PART_SIZE


def large(size: int) -> bytes:
    """Return a file of which no two parts are alike."""
    head = ltx_bytes(1, 1)
    return head + random.Random(size).randbytes(size - len(head))  # noqa: S311


# The lease


def test_the_lease_is_written_on_condition_only(client: GCSReplicaClient, gs_server: GCSServer) -> None:
    check_lease(client.lease_store())
    assert f"{client.config.path}/lock.json" in gs_server.objects()


def test_the_lease_is_kept_on_the_emulator_too(
    gs_server: GCSServer, made: list[ReplicaClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EMULATOR_VARIABLE, f"http://{gs_server.emulator_host}")
    check_lease(inner(opened(f"gs://{DEFAULT_BUCKET}/lease/{next(_numbers)}", made)).lease_store())


def check_lease(store: LeaseStore) -> None:
    assert store.read() is None
    assert store.replace(b"0", "1") is None
    first = store.create(b"1")
    assert first
    assert store.create(b"2") is None
    second = store.replace(b"3", first)
    assert second
    assert store.replace(b"4", first) is None
    assert store.read() == StoredLease(b"3", second)


def test_of_many_writers_one_gets_the_lease(client: GCSReplicaClient) -> None:
    store = client.lease_store()
    with ThreadPoolExecutor(8) as pool:
        etags = list(pool.map(lambda number: store.create(b"%d" % number), range(8)))
    assert len([etag for etag in etags if etag]) == 1


# Errors


def refusal(status: str, reason: str = "", message: str = "leaky words") -> faulty_proxy.Fault:
    error = {"error": {"code": int(status[:3]), "message": message, "errors": [{"reason": reason}]}}
    body = json.dumps(error).encode()
    return lambda _request, _answer: faulty_proxy.Answer(status.encode(), (), body).with_length(len(body))


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of Google, and what becomes of it; {} stands for the permission."""

    status: str
    reason: str
    kind: type[Exception]
    text: str


REFUSALS = [
    Refusal(
        "401 Unauthorized",
        "required",
        DeniedError,
        r"anonymous access is denied \(401.*\); it needs {}.* on bucket test-bucket",
    ),
    Refusal(
        "403 Forbidden",
        "forbidden",
        DeniedError,
        r"anonymous access is denied \(403.*\); it needs {}.* on bucket test-bucket",
    ),
    Refusal("403 Forbidden", "<b>leaky</b>", DeniedError, r"anonymous access is denied \(403\); it needs {}"),
    Refusal("404 Not Found", "notFound", UsageError, r"bucket test-bucket does not exist"),
    Refusal("429 Too Many Requests", "rateLimitExceeded", ThrottledError, r"asks for fewer requests \(429\)"),
    Refusal("503 Service Unavailable", "backendError", ThrottledError, r"asks for fewer requests \(503\)"),
    Refusal("500 Internal Server Error", "internalError", UnavailableError, r"the server failed \(500\)"),
    Refusal("400 Bad Request", "invalid", UsageError, r"the server refuses such a request \(400\)"),
]


@pytest.mark.parametrize("refused", REFUSALS, ids=lambda refused: f"{refused.status[:3]} {refused.reason}")
def test_each_refusal_is_one_clear_error(
    client: GCSReplicaClient, gs_server: GCSServer, made: list[ReplicaClient], refused: Refusal
) -> None:
    info = write(client, 0, 1)
    is_missing = refused.kind is UsageError and refused.reason == "notFound"
    message = "The specified bucket does not exist." if is_missing else "leaky words"
    with faulty_proxy.FaultyProxy(gs_server.port) as proxy:
        broken = inner(opened(gs_server.url(client.config.path, port=proxy.port), made))
        proxy.break_next(refusal(refused.status, refused.reason, message), times=None)
        calls: list[tuple[str, Callable[[], object]]] = [
            ("storage.objects.list", lambda: names(broken, 0)),
            ("storage.objects.create", lambda: write(broken, 0, 1)),
            ("storage.objects.delete", lambda: broken.delete_ltx_files([info])),
            ("storage.objects.get", lambda: broken.read_ltx(info)),
        ]
        for permission, call in calls[:3] if is_missing else calls:
            broken.close()  # the proxy ends a connection on which it broke something
            with pytest.raises(refused.kind, match=refused.text.replace("{}", permission)) as raised:
                call()
            assert type(raised.value) is refused.kind
            assert "leaky" not in str(raised.value)
        broken.close()


def test_credentials_that_may_not_are_told_which_permission_they_lack() -> None:
    answer = HTTPAnswer(403, {}, b'{"error": {"errors": [{"reason": "forbidden"}]}}')
    error = answer_error(answer, what="PUT x", bucket="b", permission="storage.objects.create", anonymous=False)
    assert str(error) == "PUT x: access denied (403 forbidden); it needs storage.objects.create on bucket b"
    quota = HTTPAnswer(403, {}, b'{"error": {"errors": [{"reason": "rateLimitExceeded"}]}}')
    assert isinstance(answer_error(quota, what="", bucket="", permission="", anonymous=False), ThrottledError)


def test_a_bucket_that_is_not_there_is_named(gs_server: GCSServer, made: list[ReplicaClient]) -> None:
    client = opened(gs_server.url("x", bucket="no-such-bucket"), made)
    calls: list[Callable[[], object]] = [
        lambda: names(client, 0),
        lambda: write(client, 0, 1),
        lambda: client.delete_ltx_files([MISSING]),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="bucket no-such-bucket does not exist"):
            call()


def test_a_server_that_is_down_is_an_error_in_time(made: list[ReplicaClient]) -> None:
    url = f"gs://bucket/path?endpoint=127.0.0.1:{free_port()}&anonymous=true"
    with pytest.raises(UnavailableError, match="cannot connect"):
        names(opened(url, made, timeout_s=1.0), 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"items": [{}]}',
        b'{"items": 5}',
        b'{"items": [{"name": "x", "size": "y"}]}',
        b"[" * 9999,
    ],
)
def test_an_answer_that_is_no_listing_is_an_error(
    client: GCSReplicaClient, gs_server: GCSServer, made: list[ReplicaClient], body: bytes
) -> None:
    with faulty_proxy.FaultyProxy(gs_server.port) as proxy:
        broken = inner(opened(gs_server.url(client.config.path, port=proxy.port), made))
        proxy.break_next(lambda _request, _answer: faulty_proxy.Answer(b"200 OK", (), body).with_length(len(body)))
        with pytest.raises(UnavailableError, match=r"LIST .*: expected"):
            names(broken, 0)
        broken.close()


def test_a_listing_that_does_not_end_is_an_error(client: GCSReplicaClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def send(_method: str, url: str, **_options: object) -> HTTPAnswer:
        asked.append(url)
        return HTTPAnswer(200, {}, b'{"nextPageToken": "again"}')

    monkeypatch.setattr(client._bucket, "send", send)
    with pytest.raises(UnavailableError, match="the listing does not end"):
        names(client, 0)
    assert len(asked) == 2


def test_a_listing_is_sorted_and_what_was_not_asked_for_is_passed_over(
    client: GCSReplicaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"{client.config.path}/ltx/0/"
    given = [f"{prefix}{txid:016x}-{txid:016x}.ltx" for txid in (3, 1, 2)] + [NAME, f"elsewhere/{NAME}"]
    body = json.dumps({"items": [{"name": name, "size": "1", "generation": "1"} for name in given]}).encode()
    monkeypatch.setattr(client._bucket, "send", lambda *_arguments, **_options: HTTPAnswer(200, {}, body))
    assert names(client, 0) == [(1, 1), (2, 2), (3, 3)]
    assert names(client, 0, seek=2) == [(2, 2), (3, 3)]


# Settings


def config_of(url: str, environ: Mapping[str, str] | None = None, **options: object) -> GCSConfig:
    return gcs_config(parse_replica_url(url), options, environ or {})


def test_settings_come_from_the_url_the_options_and_the_environment() -> None:
    assert config_of("gs://bucket/a//b/") == GCSConfig(bucket="bucket", path="a/b")
    emulated = config_of("gs://bucket", {"STORAGE_EMULATOR_HOST": "emulator.test:4443"})
    assert emulated == GCSConfig(
        bucket="bucket", path="", endpoint="http://emulator.test:4443", is_emulator=True, anonymous=True
    )
    assert config_of("gs://bucket/a", {"STORAGE_EMULATOR_HOST": "https://x/"}).endpoint == "https://x"
    given = config_of("gs://bucket/a?endpoint=storage.europe-west3.rep.googleapis.com", {"STORAGE_EMULATOR_HOST": "x"})
    assert (given.endpoint, given.is_emulator) == ("https://storage.europe-west3.rep.googleapis.com", False)
    optional = config_of("gs://bucket/a?anonymous=true", credentials_path="/key.json", timeout_s=3)
    assert (optional.anonymous, optional.credentials_path, optional.timeout_s) == (True, "/key.json", 3.0)


@pytest.mark.parametrize(
    ("path", "kept"), [("/app/", "/app"), ("//app//x/./y/..", "/app/x"), ("app/", "app"), ("", ""), ("../x", "x")]
)
def test_a_path_of_the_configuration_is_cleaned_as_the_go_program_does(path: str, kept: str) -> None:
    assert gcs_config(ReplicaURL("gs", host="bucket", path=path), {}, {}).path == kept


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("gs:///path", {}, "expected gs://bucket/path, got the bucket ''"),
        ("gs://bucket:80/path", {}, "expected gs://bucket/path, got the bucket 'bucket:80'"),
        ("gs://Bucket/path", {}, "expected gs://bucket/path, got the bucket 'Bucket'"),
        ("gs://key:secret@bucket/path", {}, "do not go into the URL"),
        ("gs://bucket/path?credentialsPath=x", {}, "unknown parameter of the URL of a Google Cloud Storage replica"),
        ("gs://bucket/path?endpoint=ftp://x", {}, "expected a server like https://storage.googleapis.com"),
        ("gs://bucket/path?endpoint=http://example.com", {}, "credentials may travel only over https"),
        ("gs://bucket/path", {"credential_path": "x"}, "did you mean credentials_path?"),
        ("gs://bucket/path", {"anonymous": "perhaps"}, "expected true or false as anonymous"),
    ],
)
def test_a_wrong_setting_is_named(url: str, options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(text)) as raised:
        gcs_config(parse_replica_url(url), options, {})
    assert "secret" not in str(raised.value)


def test_the_configuration_file_names_a_bucket_and_a_path() -> None:
    text = "{dbs: [{path: a.db, replica: {type: gs, bucket: bucket, path: /app/db}}]}"
    ((replica,),) = [entry.replicas for entry in parse_config(text, environ={}).entries]
    client = inner(replica.client())
    assert (client.config.bucket, client.config.path) == ("bucket", "/app/db")
    assert repr(client) == "<GCSReplicaClient gs://bucket//app/db endpoint=https://storage.googleapis.com>"


# Processes


def test_a_forked_child_makes_connections_of_its_own(client: GCSReplicaClient, gs_server: GCSServer) -> None:
    script = """
import os, sys, warnings
from replication.client.url import replica_client
from replication.ltx.file_info import FileInfo
warnings.simplefilter("ignore")
info = FileInfo(level=0, min_txid=1, max_txid=1)
client = replica_client(sys.argv[1])
print(any(name in sys.modules for name in ("httpx", "google.auth", "obstore")), flush=True)
client.read_ltx(info)
if os.fork() == 0:
    print(client.read_ltx(info, 0, 4), flush=True)
    os._exit(0)
os.wait()
print(client.read_ltx(info, 0, 4), flush=True)
"""
    write(client, 0, 1)
    arguments = [sys.executable, "-c", script, gs_server.url(client.config.path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["False", "b'LTX1'", "b'LTX1'"]
