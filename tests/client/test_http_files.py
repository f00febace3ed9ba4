"""HTTP that is only read: the reading half of the suite on both ways to list, wrong URLs, credentials, refusals.

Bugs planted to see the tests fail: a missing base taken for an empty replica; the identity of a GET not looked at; HTML
taken for an empty listing; a token sent to where the server points.
"""

import io
import itertools
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import litestream
from replication.client.base import ReplicaClient
from replication.client.http_files import HTTPReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import replica_client
from replication.errors import DeniedError, LitestreamError, LTXMissingError, UnavailableError, UsageError
from replication.lease_stores import lease_store
from replication.ltx.file_info import FileInfo
from replication.ltx.name import format_ltx_name
from replication.position import TXID
from tests.client.conformance import SharedReadingTests
from tests.client.ltx_bytes import ltx_bytes, names
from tests.support.faulty_proxy import Answer, Fault, FaultyProxy
from tests.support.servers import free_port
from tests.support.web_server_process import PASSWORD, USERNAME
from tests.support.web_servers import TOKEN, NginxServer, WebDAVServer, store, user_info

_numbers = itertools.count(1)


def inner(client: ReplicaClient) -> HTTPReplicaClient:
    assert isinstance(client, RetryingClient)
    assert isinstance(client.inner, HTTPReplicaClient)
    return client.inner


class ServedFilesTests(SharedReadingTests):
    """A replica that lies in a directory which a server serves."""

    @abstractmethod
    def directory(self, client: ReplicaClient) -> Path:
        """Return the directory of a client's replica."""

    def put(
        self, client: ReplicaClient, level: int, min_txid: int, max_txid: int | None = None, data: bytes | None = None
    ) -> FileInfo:
        max_txid = max_txid or min_txid
        name = format_ltx_name(min_txid, max_txid)
        self.put_object(client, level, name, ltx_bytes(min_txid, max_txid) if data is None else data)
        listed = client.ltx_files(level, TXID(min_txid), use_metadata=True)
        return next(info for info in listed if info.max_txid == max_txid)

    def fill(self, client: ReplicaClient, level: int, txids: range) -> None:
        for txid in txids:
            self.put_object(client, level, format_ltx_name(txid, txid), ltx_bytes(txid, txid))

    def put_object(self, client: ReplicaClient, level: int, name: str, data: bytes) -> None:
        store(self.directory(client) / "ltx" / str(level), [(name, data)])


class TestNginx(ServedFilesTests):
    @pytest.fixture
    def client(self, nginx_server: NginxServer) -> ReplicaClient:
        self.server = nginx_server
        client = replica_client(nginx_server.url(f"conformance/{next(_numbers)}"))
        self.directory(client).mkdir(parents=True)
        return client

    def directory(self, client: ReplicaClient) -> Path:
        return self.server.files / inner(client).config.path


class TestPropfind(ServedFilesTests):
    @pytest.fixture
    def client(self, webdav_server: WebDAVServer) -> ReplicaClient:
        self.server = webdav_server
        client = replica_client(webdav_server.url(f"readonly/conformance-http/{next(_numbers)}", scheme="http"))
        self.directory(client).mkdir(parents=True)
        return client

    def directory(self, client: ReplicaClient) -> Path:
        return self.server.open / inner(client).config.path.removeprefix("readonly/")


@pytest.fixture
def path(nginx_server: NginxServer) -> str:
    """A replica in nginx of three files."""
    path = f"http/{next(_numbers)}"
    store(nginx_server.files / path / "ltx" / "0", [(format_ltx_name(n, n), ltx_bytes(n, n)) for n in range(1, 4)])
    return path


def answer(status: str, *headers: tuple[bytes, bytes], body: bytes = b"") -> Fault:
    return lambda _request, _answer: Answer(status.encode(), headers, body).with_length(len(body))


# Requests


def test_each_way_to_list_is_found_once_and_kept(
    nginx_server: NginxServer, webdav_server: WebDAVServer, path: str
) -> None:
    store(webdav_server.open / path / "ltx" / "0", [(format_ltx_name(1, 1), ltx_bytes(1, 1))])
    for server, expected in [
        (nginx_server, ["GET"] * 3),
        (webdav_server, ["GET", "PROPFIND", "PROPFIND", "PROPFIND"]),
    ]:
        with FaultyProxy(server.port) as proxy:
            client = replica_client(f"http://127.0.0.1:{proxy.port}/{path}")
            assert names(client, 0)
            assert names(client, 1) == []
            assert names(client, 0)
            assert [request.method for request in proxy.seen()] == expected
            client.close()


def test_that_something_is_there_is_asked_once_where_all_is_empty(nginx_server: NginxServer) -> None:
    path = f"empty/{next(_numbers)}"
    (nginx_server.files / path).mkdir(parents=True)
    with FaultyProxy(nginx_server.port) as proxy:
        client = replica_client(nginx_server.url(path, port=proxy.port))
        assert [names(client, level) for level in range(10)] == [[]] * 10
        assert Counter(request.method for request in proxy.seen())["HEAD"] == 1
        client.close()


def test_a_replica_may_be_at_the_top_of_a_server(nginx_server: NginxServer) -> None:
    store(nginx_server.files / "ltx" / "9", [(format_ltx_name(1, 5), ltx_bytes(1, 5))])
    assert names(replica_client(nginx_server.url("")), 9) == [(1, 5)]


def test_a_database_is_opened_from_it(nginx_server: NginxServer, tmp_path: Path) -> None:
    path = f"database/{next(_numbers)}"
    connection = apsw.Connection(str(tmp_path / "app.db"))
    connection.execute("PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES (1), (2)").fetchall()
    with litestream.replicate(connection, f"file://{nginx_server.files / path}") as replicated:
        replicated.sync()
    connection.close()
    reader = litestream.connect(nginx_server.url(path))
    assert reader.execute("SELECT sum(x) FROM t").fetchone() == (3,)
    reader.close()
    litestream.restore(nginx_server.url(path), tmp_path / "restored.db", integrity_check="full")


# What is not there


@pytest.mark.parametrize("scheme", ["nginx", "wsgidav"])
def test_a_url_with_nothing_behind_it_is_no_empty_replica(
    nginx_server: NginxServer, webdav_server: WebDAVServer, scheme: str
) -> None:
    url = nginx_server.url("no/such") if scheme == "nginx" else webdav_server.url("no/such", scheme="http")
    with pytest.raises(UsageError, match=r"there is nothing at http://127\.0\.0\.1:\d+/no/such/"):
        names(replica_client(url), 0)


def test_a_listing_in_html_names_both_ways_and_the_url(nginx_server: NginxServer, path: str) -> None:
    with pytest.raises(UsageError, match="cannot be listed") as caught:
        names(replica_client(nginx_server.url(f"html/{path}")), 0)
    for text in (f"/html/{path}/ltx/0/", "autoindex_format json", "PROPFIND", "405"):
        assert text in str(caught.value)


def test_no_listing_at_all_names_both_ways_and_the_url(nginx_server: NginxServer, path: str) -> None:
    with pytest.raises(UsageError, match="got 403; or an answer to PROPFIND, got 405") as caught:
        names(replica_client(nginx_server.url(f"unlisted/{path}")), 0)
    assert f"/unlisted/{path}/ltx/0/" in str(caught.value)


def test_a_server_that_is_down_is_unavailable() -> None:
    port = free_port()
    with pytest.raises(UnavailableError, match=rf"cannot connect \(http://127\.0\.0\.1:{port}\)"):
        names(replica_client(f"http://127.0.0.1:{port}/app", timeout_s=2.0), 0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer("200 OK", body=b"[{"), UnavailableError),
        (answer("200 OK", body=b'[{"name": 1, "type": "file", "size": 1}]'), UnavailableError),
        (answer("200 OK", body=b'[{"name": "a", "type": "file", "size": -1}]'), UnavailableError),
        (answer("200 OK", body=b"[" * 100_000), UnavailableError),
        (answer("200 OK", body=b"{}"), UsageError),
        (answer("200 OK", (b"Content-Encoding", b"gzip"), body=b"[]"), UsageError),
        (answer("401 Unauthorized"), DeniedError),
        (answer("403 Forbidden"), DeniedError),
        (answer("500 Internal Server Error"), UnavailableError),
        (answer("301 Moved Permanently"), UsageError),
        (answer("302 Found", (b"Location", b"ftp://127.0.0.1/")), UsageError),
    ],
)
def test_answers_that_are_no_listing_are_errors_and_not_empty_levels(
    nginx_server: NginxServer, path: str, given: Fault, expected: type[LitestreamError]
) -> None:
    with FaultyProxy(nginx_server.port) as proxy:
        client = inner(replica_client(nginx_server.url(path, port=proxy.port), timeout_s=2.0))
        proxy.break_next(given, times=None)
        with pytest.raises(expected):
            names(client, 0)
        client.close()


def test_entries_that_are_no_files_of_the_level_are_passed_over(nginx_server: NginxServer, path: str) -> None:
    name = format_ltx_name(9, 9)
    body = (
        f'[{{"name": "../../{name}", "type": "file", "size": 7, "mtime": "nonsense"}}, '
        f'{{"name": "{format_ltx_name(8, 8)}", "type": "directory", "mtime": ""}}]'
    )
    with FaultyProxy(nginx_server.port) as proxy:
        client = replica_client(nginx_server.url(path, port=proxy.port))
        proxy.break_next(answer("200 OK", body=body.encode()), times=1)
        (info,) = client.ltx_files(0)
        assert (info.size, info.identity) == (7, "")
        with pytest.raises(LTXMissingError, match=rf"/{path}/ltx/0/{name}"):
            client.read_ltx(info)
        client.close()


# Redirects and credentials


def test_a_server_that_points_elsewhere_is_followed(nginx_server: NginxServer, path: str) -> None:
    client = replica_client(nginx_server.url(f"moved/{path}"))
    infos = list(client.ltx_files(0, use_metadata=True))
    assert len(infos) == 3
    assert client.read_ltx(infos[0]) == ltx_bytes(1, 1)


@pytest.mark.parametrize("given", ["in the URL", "as options"])
def test_a_user_and_a_password_are_taken(nginx_server: NginxServer, path: str, given: str) -> None:
    url = nginx_server.url(f"private/{path}", user=user_info() if given == "in the URL" else "")
    options = {} if given == "in the URL" else {"username": USERNAME, "password": PASSWORD}
    client = replica_client(url, **options)
    assert len(list(client.ltx_files(0, use_metadata=True))) == 3
    assert "pass" not in repr(client)


def test_a_token_is_taken_and_not_shown(nginx_server: NginxServer, path: str) -> None:
    client = replica_client(nginx_server.url(f"token/{path}"), token=TOKEN)
    assert names(client, 0) == [(1, 1), (2, 2), (3, 3)]
    assert TOKEN not in repr(client) + repr(inner(client).config)


@pytest.mark.parametrize("options", [{}, {"username": USERNAME, "password": "wrong-secret"}, {"token": "wrong-secret"}])
@pytest.mark.parametrize("share", ["private", "token"])
def test_wrong_credentials_are_denied_in_words(
    nginx_server: NginxServer, path: str, share: str, options: dict[str, str]
) -> None:
    client = replica_client(nginx_server.url(f"{share}/{path}"), **options)
    with pytest.raises(DeniedError, match="access denied") as caught:
        names(client, 0)
    assert "wrong-secret" not in str(caught.value)


# Writing


WRITES: dict[str, Callable[[ReplicaClient], object]] = {
    "write": lambda client: client.write_ltx_file(0, TXID(9), TXID(9), io.BytesIO(ltx_bytes(9, 9))),
    "delete": lambda client: client.delete_ltx_files(client.ltx_files(0)),
    "delete all": lambda client: client.delete_all(),
    "lease": lease_store,
}


@pytest.mark.parametrize("write", WRITES)
def test_it_is_not_written_to(nginx_server: NginxServer, path: str, write: str) -> None:
    client = replica_client(nginx_server.url(path))
    with pytest.raises(UsageError, match=r"can only be read.*webdav://"):
        WRITES[write](client)
    assert names(client, 0) == [(1, 1), (2, 2), (3, 3)]


def test_replicating_to_it_is_refused_at_once(nginx_server: NginxServer, path: str, tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "app.db"))
    with (
        pytest.raises(UsageError, match="can only be read"),
        litestream.replicate(connection, nginx_server.url(path)),
    ):
        pass
    connection.close()


def test_deleting_nothing_is_no_error(nginx_server: NginxServer, path: str) -> None:
    replica_client(nginx_server.url(path)).delete_ltx_files([])
