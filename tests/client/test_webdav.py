"""WebDAV: the suite of all clients, requests, leftovers, errors sorted by what to do next, leases, and secrets.

Bugs planted to see the tests fail: an upload to the name itself; a move that overwrites; a listing that shows what was
left under a temporary name; an unconditional PUT of a lease.
"""

import io
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from replication.client.base import ReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from replication.client.web_upload import SPOOL_SIZE
from replication.client.webdav import LEFTOVER_AGE, WebDAVReplicaClient
from replication.errors import (
    DeniedError,
    LitestreamError,
    LTXExistsError,
    LTXMissingError,
    UnavailableError,
    UsageError,
)
from replication.lease import Lease
from replication.lease_stores import lease_store
from replication.position import TXID
from tests.client.conformance import SharedStoreTests
from tests.client.ltx_bytes import WatchedReader, ltx_bytes, names, write
from tests.support.faulty_proxy import Answer, Fault, FaultyProxy
from tests.support.servers import free_port
from tests.support.web_server_process import PASSWORD, USERNAME
from tests.support.web_servers import NginxServer, WebDAVServer, store, user_info

NAME = "0000000000000001-0000000000000001.ltx"
_numbers = itertools.count(1)


def inner(client: ReplicaClient) -> WebDAVReplicaClient:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, WebDAVReplicaClient)
    return client.inner


class TestWebDAV(SharedStoreTests):
    @pytest.fixture
    def client(self, webdav_server: WebDAVServer) -> ReplicaClient:
        self.server = webdav_server
        return replica_client(webdav_server.url(f"conformance/{next(_numbers)}"))

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        names = (f"{txid:016x}-{txid:016x}.ltx" for txid in txids)
        store(self._level(client, level), ((name, ltx_bytes(1, 1)) for name in names))

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        store(self._level(client, level), [(name, data)])

    def neighbour(self, client: ReplicaClient) -> ReplicaClient:
        return replica_client(self.server.url(inner(client).config.path + "0"))

    def _level(self, client: ReplicaClient, level: int) -> Path:
        return self.server.open / inner(client).config.path / "ltx" / str(level)


@pytest.fixture
def path() -> str:
    return f"webdav/{next(_numbers)}"


@pytest.fixture(scope="module")
def started_proxy(webdav_server: WebDAVServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(webdav_server.port) as proxy:
        yield proxy


@pytest.fixture
def proxy(started_proxy: FaultyProxy) -> Iterator[FaultyProxy]:
    started_proxy.heal()
    yield started_proxy
    started_proxy.heal()


@pytest.fixture
def proxied(webdav_server: WebDAVServer, proxy: FaultyProxy, path: str) -> WebDAVReplicaClient:
    return inner(replica_client(webdav_server.url(path, port=proxy.port), timeout_s=3.0))


def answer(status: str, *headers: tuple[bytes, bytes], body: bytes = b"") -> Fault:
    return lambda _request, _answer: Answer(status.encode(), headers, body).with_length(len(body))


def methods(proxy: FaultyProxy) -> list[str]:
    return [request.method for request in proxy.seen()]


# Requests


def test_the_first_file_of_a_level_makes_its_directories_and_others_cost_three_requests(
    proxied: WebDAVReplicaClient, proxy: FaultyProxy
) -> None:
    write(proxied, 0, 1)
    first = Counter(methods(proxy))
    assert (first["PUT"], first["MOVE"], first["PROPFIND"]) == (2, 1, 1)
    assert first["MKCOL"] <= 8
    proxy.heal()
    write(proxied, 0, 2)
    assert methods(proxy) == ["PUT", "MOVE", "PROPFIND"]
    proxy.heal()
    write(proxied, 1, 1)
    assert methods(proxy) == ["PUT", "MKCOL", "PUT", "MOVE", "PROPFIND"]


def test_listing_reading_and_deleting_cost_one_request_each(proxied: WebDAVReplicaClient, proxy: FaultyProxy) -> None:
    info = write(proxied, 0, 1)
    proxy.heal()
    assert list(proxied.ltx_files(0, TXID(1)))
    assert proxied.read_ltx(info, 10, 20)
    proxied.delete_ltx_files([info])
    assert methods(proxy) == ["PROPFIND", "GET", "DELETE"]
    proxy.heal()
    assert list(proxied.ltx_files(5)) == []
    assert methods(proxy) == ["PROPFIND"]


def test_accurate_times_cost_a_request_for_each_file(proxied: WebDAVReplicaClient, proxy: FaultyProxy) -> None:
    for txid in range(1, 4):
        write(proxied, 0, txid)
    proxy.heal()
    assert len(list(proxied.ltx_files(0, use_metadata=True))) == 3
    assert methods(proxy) == ["PROPFIND", "GET", "GET", "GET"]


def test_what_is_no_ltx_file_has_the_servers_time_even_where_the_headers_was_asked_for(
    webdav_server: WebDAVServer, path: str
) -> None:
    client = replica_client(webdav_server.url(path))
    store(webdav_server.open / path / "ltx" / "0", [(NAME, b"garbage")])
    (plain,) = client.ltx_files(0)
    assert list(client.ltx_files(0, use_metadata=True)) == [plain]


@pytest.mark.parametrize("size", [1000, SPOOL_SIZE + 1000])
@pytest.mark.parametrize("seekable", [True, False])
def test_an_upload_has_its_length_whatever_its_source(
    proxied: WebDAVReplicaClient, proxy: FaultyProxy, size: int, *, seekable: bool
) -> None:
    data = ltx_bytes(1, 1, size=size)
    reader = io.BytesIO(data) if seekable else WatchedReader(data, lambda _position: None)
    info = proxied.write_ltx_file(0, TXID(1), TXID(1), reader)
    (put, *_) = [request for request in proxy.seen() if request.method == "PUT"]
    assert f"Content-Length: {size}".lower().encode() in put.head.lower()
    assert proxied.read_ltx(info) == data


def test_a_path_may_hold_what_has_to_be_escaped(webdav_server: WebDAVServer, path: str) -> None:
    client = replica_client(webdav_server.url(f"{path}/a%20b+c=d;e/ü"))
    info = write(client, 0, 1)
    assert (webdav_server.open / path / "a b+c=d;e" / "ü" / "ltx" / "0" / NAME).exists()
    assert list(client.ltx_files(0, use_metadata=True)) == [info]
    assert client.read_ltx(info) == ltx_bytes(1, 1)


def test_a_replica_may_be_at_the_top_of_a_server(webdav_server: WebDAVServer) -> None:
    client = replica_client(webdav_server.url(""))
    info = write(client, 8, 1, 2)
    assert (webdav_server.open / "ltx" / "8" / "0000000000000001-0000000000000002.ltx").exists()
    assert client.read_ltx(info)
    client.delete_all()
    assert not (webdav_server.open / "ltx").exists()


# Uploads


def test_an_upload_that_failed_leaves_no_temporary_file(
    webdav_server: WebDAVServer, proxied: WebDAVReplicaClient, proxy: FaultyProxy, path: str
) -> None:
    write(proxied, 0, 1)
    proxy.break_next(answer("500 Internal Server Error"), kind="MOVE")
    with pytest.raises(UnavailableError, match="500"):
        write(proxied, 0, 2)
    proxy.break_next(answer("507 Insufficient Storage"), kind="PUT")
    with pytest.raises(UnavailableError, match="507"):
        write(proxied, 0, 2)
    write(proxied, 0, 3)
    with pytest.raises(LTXExistsError):
        proxied.write_ltx_file(0, TXID(3), TXID(3), io.BytesIO(ltx_bytes(3, 3)), if_absent=True)
    found = sorted(each.name for each in (webdav_server.open / path / "ltx" / "0").iterdir())
    assert found in (
        [NAME, NAME.replace("1", "3")],
        [NAME, NAME.replace("1", "2"), NAME.replace("1", "3")],  # the server had moved it, and the answer was lost
    )


def test_a_file_is_not_listed_while_it_is_uploaded(webdav_server: WebDAVServer, path: str) -> None:
    client, listed, there = replica_client(webdav_server.url(path)), list[object](), set[bool]()
    directory = webdav_server.open / path / "ltx" / "0"

    class Seekable(WatchedReader):
        def seekable(self) -> bool:
            return True

    def look(_position: int) -> None:
        listed.extend(names(client, 0))
        there.add(directory.is_dir() and any(directory.iterdir()))

    client.write_ltx_file(0, TXID(1), TXID(1), Seekable(ltx_bytes(1, 1, size=9_000_000), look))
    assert listed == []
    assert there == {False, True}, "the server has a part of it before it has all"
    assert names(client, 0) == [(1, 1)]


def test_what_a_dead_writer_left_is_deleted_by_a_later_write_once_it_is_old(
    webdav_server: WebDAVServer, path: str
) -> None:
    directory = webdav_server.open / path / "ltx" / "0"
    old, young, foreign = f"{NAME}.{'a' * 16}.tmp", f"{NAME}.{'b' * 16}.tmp", f"{NAME}.part"
    store(directory, [(name, b"half") for name in (old, young, foreign)])
    long_ago = (directory / old).stat().st_mtime - LEFTOVER_AGE.total_seconds() - 60
    for name in (old, foreign):
        os.utime(directory / name, (long_ago, long_ago))
    client = replica_client(webdav_server.url(path))
    write(client, 0, 1)
    assert (directory / old).exists(), "nobody has listed the level yet"
    assert names(client, 0) == [(1, 1)]
    write(client, 1, 1)
    assert (directory / old).exists()
    write(client, 0, 2)
    left = {each.name for each in directory.iterdir()}
    assert left == {young, foreign, NAME, NAME.replace("1", "2")}


def test_a_file_whose_listing_fails_after_the_upload_is_stored_all_the_same(
    proxied: WebDAVReplicaClient, proxy: FaultyProxy
) -> None:
    proxy.break_next(answer("500 Internal Server Error"), kind="PROPFIND")
    info = write(proxied, 0, 1)
    assert info.identity == ""
    assert [replace(found, identity="") for found in proxied.ltx_files(0, use_metadata=True)] == [info]


def test_a_file_that_shrinks_while_it_is_uploaded_is_not_stored(proxied: WebDAVReplicaClient) -> None:
    class Shrinking(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            return super().seek(offset, whence) + (500 if whence == os.SEEK_END else 0)

    with pytest.raises(UnavailableError, match="expected 1500 bytes to upload, got 1000"):
        proxied.write_ltx_file(0, TXID(1), TXID(1), Shrinking(ltx_bytes(1, 1)))
    assert names(proxied, 0) == []


def test_a_directory_that_vanishes_before_the_move_is_an_error_that_time_heals(
    proxied: WebDAVReplicaClient, proxy: FaultyProxy
) -> None:
    proxy.break_next(answer("409 Conflict"), kind="MOVE")
    with pytest.raises(UnavailableError, match="deleted meanwhile"):
        write(proxied, 0, 1)


# Identity


def test_where_the_listing_has_no_etag_mtime_and_size_are_the_identity(
    proxied: WebDAVReplicaClient, proxy: FaultyProxy
) -> None:
    data = ltx_bytes(1, 1)
    write(proxied, 0, 1, data=data)

    def without_etag(_request: object, found: Answer) -> Answer:
        body = found.body.replace(b"getetag", b"gotetag")
        return replace(found, body=body).with_length(len(body))

    proxy.break_next(without_etag, kind="PROPFIND", times=None)
    (info,) = proxied.ltx_files(0)
    assert info.identity.endswith(f"-{len(data):x}")
    assert proxied.read_ltx(info) == data
    write(proxied, 0, 1, data=ltx_bytes(1, 1, size=1001))
    with pytest.raises(LTXMissingError, match="replaced"):
        proxied.read_ltx(info, 0, 100)


def test_an_open_file_that_is_replaced_is_missing(webdav_server: WebDAVServer, path: str) -> None:
    client = replica_client(webdav_server.url(path))
    write(client, 0, 1, data=ltx_bytes(1, 1, size=5 * 2**20))
    with client.open_ltx_file(0, TXID(1), TXID(1)) as reader:
        assert reader.read(10)
        write(client, 0, 1, data=ltx_bytes(1, 1, size=5 * 2**20 + 1))
        with pytest.raises(LTXMissingError, match="replaced"):
            reader.read()


# Errors


def test_a_wrong_password_is_denied_in_words(webdav_server: WebDAVServer) -> None:
    client = replica_client(webdav_server.url("private/app", user=f"{USERNAME}:wrong-secret"))
    for call in CALLS.values():
        with pytest.raises(DeniedError, match="access denied") as caught:
            call(client)
        assert "wrong-secret" not in str(caught.value)


CALLS: dict[str, Callable[[ReplicaClient], object]] = {
    "list": lambda client: list(client.ltx_files(0)),
    "write": lambda client: write(client, 0, 1),
    "delete all": lambda client: client.delete_all(),
}


@pytest.mark.parametrize("given", ["in the URL", "as options", "as options that go before the URL"])
def test_a_user_and_a_password_are_taken(webdav_server: WebDAVServer, path: str, given: str) -> None:
    user = {"in the URL": user_info(), "as options": ""}.get(given, "other:wrong")
    options = {} if given == "in the URL" else {"username": USERNAME, "password": PASSWORD}
    client = replica_client(webdav_server.url(f"private/{path}", user=user), **options)
    info = write(client, 0, 1)
    assert (webdav_server.private / path / "ltx" / "0" / NAME).exists()
    assert list(client.ltx_files(0, use_metadata=True)) == [info]
    assert "pass" not in repr(client)
    assert "pass" not in repr(inner(client).config)


def test_a_share_that_may_only_be_read_is_read_and_not_written(webdav_server: WebDAVServer, path: str) -> None:
    info = write(replica_client(webdav_server.url(path)), 0, 1)
    client = replica_client(webdav_server.url(f"readonly/{path}"))
    assert names(client, 0) == [(1, 1)]
    assert len(client.read_ltx(replace(info, identity=""))) == 1000
    for call in (lambda: write(client, 0, 2), lambda: client.delete_ltx_files([info]), client.delete_all):
        with pytest.raises(DeniedError, match="permission to write"):
            call()


def test_a_web_server_without_webdav_says_so(nginx_server: NginxServer) -> None:
    client = replica_client(f"webdav://127.0.0.1:{nginx_server.port}/app")
    with pytest.raises(UsageError, match="does not speak WebDAV"):
        list(client.ltx_files(0))
    with pytest.raises(UsageError, match="405"):
        write(client, 0, 1)


def test_a_server_that_is_down_is_unavailable() -> None:
    port = free_port()
    client = inner(replica_client(f"webdav://127.0.0.1:{port}/app", timeout_s=2.0))
    for call in CALLS.values():
        with pytest.raises(UnavailableError, match=rf"cannot connect \(http://127\.0\.0\.1:{port}\)"):
            call(client)


@pytest.mark.parametrize("body", [b"", b"<html/>", b"<x", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'])
def test_a_listing_that_is_none_is_an_error_and_not_an_empty_level(
    proxied: WebDAVReplicaClient, proxy: FaultyProxy, body: bytes
) -> None:
    proxy.break_next(answer("207 Multi-Status", body=body))
    with pytest.raises(UnavailableError, match="expected a"):
        list(proxied.ltx_files(0))


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        ("423 Locked", "MOVE", UnavailableError),
        ("429 Too Many Requests", "PUT", UnavailableError),
        ("413 Content Too Large", "PUT", UsageError),
        ("207 Multi-Status", "DELETE", UnavailableError),
        ("301 Moved Permanently", "PUT", UsageError),
    ],
)
def test_refusals_are_sorted_by_what_to_do_next(
    proxied: WebDAVReplicaClient, proxy: FaultyProxy, status: str, kind: str, expected: type[LitestreamError]
) -> None:
    proxy.break_next(answer(status, (b"Location", b"http://127.0.0.1:9/elsewhere")), kind=kind, times=None)
    with pytest.raises(expected, match=status[:3]):
        CALLS["delete all" if kind == "DELETE" else "write"](proxied)


# Leases


def test_a_lease_is_created_once_and_replaced_only_by_who_has_its_etag(webdav_server: WebDAVServer, path: str) -> None:
    leases = lease_store(replica_client(webdav_server.url(path)))
    assert leases is not None
    assert leases.read() is None
    assert leases.replace(b"{}", '"stale"') is None
    first = leases.create(b"one")
    assert first is not None
    assert leases.create(b"two") is None
    second = leases.replace(b"second", first)
    assert second not in {None, first}
    assert leases.replace(b"third", first) is None
    stored = leases.read()
    assert stored is not None
    assert (stored.data, stored.etag) == (b"second", second)
    assert (webdav_server.open / path / "lock.json").read_bytes() == b"second"


def test_a_lease_passes_from_one_writer_to_the_next(webdav_server: WebDAVServer, path: str) -> None:
    stores = [lease_store(replica_client(webdav_server.url(path))) for _ in range(2)]
    one, two = (Lease(store, owner=name) for store, name in zip(stores, ("one", "two"), strict=True) if store)
    assert one.hold()
    with pytest.raises(LitestreamError, match="one, holds"):
        two.hold()
    one.release()
    assert two.hold()


def test_without_etags_the_content_of_a_lease_is_compared(
    webdav_server: WebDAVServer, path: str, proxied: WebDAVReplicaClient, proxy: FaultyProxy
) -> None:
    def without_etag(_request: object, found: Answer) -> Answer:
        return replace(found, headers=tuple(pair for pair in found.headers if pair[0].lower() != b"etag"))

    proxy.break_next(without_etag, times=None)
    leases = proxied.lease_store()
    first = leases.create(b"one")
    assert first is not None
    assert leases.create(b"two") is None
    second = leases.replace(b"second", first)
    assert second is not None
    assert leases.replace(b"third", first) is None
    assert (webdav_server.open / path / "lock.json").read_bytes() == b"second"
