"""Requests over HTTP against a little server of sockets that answers just what a test wants, byte for byte.

Bugs planted to see the tests fail: credentials sent to where the server points; a body that ends early taken for the
end; a compressed answer taken as it is; the first bytes of a file taken for a range; an upload's time counted as the
answer's.
"""

import ipaddress
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from replication.client.http_rules import MAX_SKIPPED_SIZE, origin, redirected
from replication.client.http_session import MAX_REDIRECTS, HTTPAnswer, HTTPSession, status_error
from replication.errors import (
    DeniedError,
    LitestreamError,
    LTXMissingError,
    ThrottledError,
    UnavailableError,
    UsageError,
)

TIMEOUT_S = 1.5
CHILD_TIMEOUT_S = 10
DATA = bytes(range(256)) * 40
Reply = bytes | Callable[[socket.socket], None]


class LittleServer:
    """Gives its replies in turn, one for each request, each on a connection of its own unless `keeps` is set."""

    def __init__(self, *replies: Reply, keeps: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connection_count = 0
        self._replies = list(replies)
        self._keeps = keeps
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while self._replies:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connection_count += 1
            try:
                connection.settimeout(10)
                connection = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            except OSError:
                connection.close()
                continue
            with connection:
                while self._replies and self._answer(connection) and self._keeps:
                    pass

    def _answer(self, connection: socket.socket) -> bool:
        try:
            request = _read_request(connection)
            if not request:
                return False
            self.requests.append(request)
            reply = self._replies.pop(0)
            if isinstance(reply, bytes):
                connection.sendall(reply)
            else:
                reply(connection)
        except OSError:
            return False
        return True


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length and (data := connection.recv(65536)):
        body += data
    return head + b"\r\n\r\n" + body


def reply(status: str, *headers: str, body: bytes = b"", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def part(start: int, end: int, *headers: str, total: object = len(DATA), **given: int) -> bytes:
    """Return the reply of a server that knows ranges."""
    range_given = f"Content-Range: bytes {start}-{end - 1}/{total}"
    return reply("206 Partial Content", range_given, *headers, body=DATA[start:end], **given)


def slowly(*parts: bytes, pause_s: float) -> Callable[[socket.socket], None]:
    """Send parts with pauses before each of them."""

    def send(connection: socket.socket) -> None:
        for each in parts:
            time.sleep(pause_s)
            connection.sendall(each)

    return send


@pytest.fixture
def session() -> Iterator[HTTPSession]:
    session = HTTPSession(timeout_s=TIMEOUT_S, auth=("user", "secret-word"))
    yield session
    session.close()


# Whole answers


def test_an_answer_comes_with_its_status_headers_and_body(session: HTTPSession) -> None:
    with LittleServer(reply("404 Not Found", "X-Why: gone", body=b"no")) as server:
        answer = session.request("GET", f"{server.url}/a")
    assert (answer.status, answer.headers["x-why"], answer.body) == (404, "gone", b"no")


def test_bytes_are_asked_for_as_they_are_stored(session: HTTPSession) -> None:
    with LittleServer(reply("200 OK")) as server:
        session.request("GET", f"{server.url}/a")
        assert b"accept-encoding: identity\r\n" in server.requests[0].lower()


@pytest.mark.parametrize(
    "broken",
    [
        reply("200 OK", body=DATA[:100], length=200),
        b"",
        b"HTTP/1.1 200",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    ],
    ids=["cut body", "no answer", "cut head", "no HTTP", "cut chunk", "no length"],
)
def test_an_answer_that_breaks_is_unavailable(session: HTTPSession, broken: bytes) -> None:
    with LittleServer(broken, broken) as server:
        with pytest.raises(UnavailableError, match=r"GET /a: .*127\.0\.0\.1"):
            session.request("GET", f"{server.url}/a?secret=1")
        with pytest.raises(UnavailableError, match="GET /a") as caught:
            session.get_range(f"{server.url}/a?secret=1", 0, 100)
    assert "secret" not in str(caught.value)


def test_an_answer_of_a_smaller_length_than_was_sent_is_cut_and_the_next_one_is_right_or_an_error(
    session: HTTPSession,
) -> None:
    with LittleServer(reply("200 OK", body=b"abcdef", length=3), reply("200 OK", body=b"next"), keeps=True) as server:
        assert session.request("GET", f"{server.url}/a").body == b"abc"
        try:
            assert session.request("GET", f"{server.url}/b").body == b"next"
        except UnavailableError as error:
            assert "broke" in str(error)  # noqa: PT017


def test_a_long_answer_is_refused_and_a_long_failure_is_cut(session: HTTPSession) -> None:
    with LittleServer(reply("200 OK", body=DATA), reply("200 OK", body=DATA), reply("500 Oh", body=DATA)) as server:
        assert session.request("GET", f"{server.url}/a", limit=len(DATA)).body == DATA
        with pytest.raises(UnavailableError, match=f"an answer of {len(DATA) - 1} bytes at most"):
            session.request("GET", f"{server.url}/a", limit=len(DATA) - 1)
        failure = session.request("GET", f"{server.url}/a", limit=10)
        assert (failure.status, failure.body) == (500, DATA[:10])


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "deflate, gzip"])
def test_an_answer_that_was_compressed_though_nobody_asked_is_refused(session: HTTPSession, encoding: str) -> None:
    header = f"Content-Encoding: {encoding}"
    with LittleServer(
        reply("200 OK", header, body=b"x"), part(0, 10, header), reply("404 Not Found", header, body=b"x")
    ) as server:
        with pytest.raises(UsageError, match="compressed"):
            session.request("GET", f"{server.url}/a")
        with pytest.raises(UsageError, match="compressed"):
            session.get_range(f"{server.url}/a", 0, 10)
        assert session.request("GET", f"{server.url}/a").status == 404


def test_connections_are_used_again(session: HTTPSession) -> None:
    replies = [reply("200 OK", body=b"a"), part(0, 10), part(10, 20), reply("404 Not Found", body=b"no")]
    with LittleServer(*replies, keeps=True) as server:
        session.request("GET", f"{server.url}/a")
        session.get_range(f"{server.url}/a", 0, 10)
        session.get_range(f"{server.url}/a", 10, 20)
        session.request("GET", f"{server.url}/a")
        assert server.connection_count == 1


# Time


def test_a_slow_first_byte_is_waited_for_within_the_timeout(session: HTTPSession) -> None:
    with LittleServer(slowly(reply("200 OK", body=b"late"), pause_s=0.3)) as server:
        assert session.request("GET", f"{server.url}/a").body == b"late"


@pytest.mark.parametrize("pause_s", [TIMEOUT_S + 1, TIMEOUT_S / 5])
def test_an_answer_that_does_not_end_in_time_is_unavailable(session: HTTPSession, pause_s: float) -> None:
    began = time.monotonic()
    with LittleServer(slowly(reply("200 OK", length=100), *[b"x"] * 20, pause_s=pause_s)) as server:
        with pytest.raises(UnavailableError, match="in time"):
            session.request("GET", f"{server.url}/a")
        assert time.monotonic() - began < 2 * TIMEOUT_S
        session.close()


def test_a_range_may_stall_for_a_part_of_the_timeout_only(session: HTTPSession) -> None:
    began = time.monotonic()
    with LittleServer(slowly(part(0, 10), pause_s=TIMEOUT_S)) as server:
        with pytest.raises(UnavailableError, match="no answer in time"):
            session.get_range(f"{server.url}/a", 0, 10)
        assert time.monotonic() - began < TIMEOUT_S


def test_an_upload_may_take_longer_than_the_timeout_while_it_moves(session: HTTPSession) -> None:
    def content() -> Iterator[bytes]:
        for _ in range(8):
            time.sleep(TIMEOUT_S / 5)
            yield b"x" * 10

    with LittleServer(slowly(reply("201 Created", length=2), b"ok", pause_s=0.1)) as server:
        answer = session.request("PUT", f"{server.url}/a", headers={"Content-Length": "80"}, content=content())
        assert (answer.status, answer.body) == (201, b"ok")
        assert server.requests[0].endswith(b"\r\n\r\n" + b"x" * 80)
        assert b"transfer-encoding" not in server.requests[0].lower()


def test_what_the_source_of_an_upload_raises_comes_out(session: HTTPSession) -> None:
    def content() -> Iterator[bytes]:
        yield b"x"
        msg = "the source failed"
        raise RuntimeError(msg)

    with LittleServer(b"") as server, pytest.raises(RuntimeError, match="the source failed"):
        session.request("PUT", f"{server.url}/a", headers={"Content-Length": "80"}, content=content())


# Ranges


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (part(100, 200), DATA[100:200]),
        (part(100, 150, total=150), DATA[100:150]),
        (part(100, 150, total="*"), DATA[100:150]),
        (part(100, 300), DATA[100:200]),
        (reply("200 OK", body=DATA), DATA[100:200]),
        (reply("200 OK", body=DATA[:150]), DATA[100:150]),
        (reply("200 OK", body=DATA[:100]), b""),
        (reply("200 OK"), b""),
    ],
    ids=[
        "as asked",
        "to the end",
        "of unknown size",
        "more",
        "whole",
        "whole, short",
        "whole, shorter",
        "whole, empty",
    ],
)
def test_a_range_is_right_whether_the_server_knows_ranges_or_not(
    session: HTTPSession, given: bytes, expected: bytes
) -> None:
    with LittleServer(given) as server:
        answer = session.get_range(f"{server.url}/a", 100, 200)
        assert b"range: bytes=100-199\r\n" in server.requests[0].lower()
    assert (answer.status, answer.body) == (200, expected)


@pytest.mark.parametrize(
    "given",
    [
        part(0, 100),
        part(101, 200),
        part(100, 150),
        part(100, 200, length=50),
        reply("206 Partial Content", body=DATA[100:200]),
        reply("206 Partial Content", "Content-Range: bytes */10240", body=DATA[100:200]),
        reply("206 Partial Content", "Content-Range: lines 100-199/300", body=DATA[100:200]),
        reply("206 Partial Content", "Content-Type: multipart/byteranges; boundary=x", body=b"--x--"),
    ],
    ids=["before", "after", "fewer", "fewer sent", "no range", "no bytes", "other unit", "several ranges"],
)
def test_other_bytes_than_asked_for_are_unavailable(session: HTTPSession, given: bytes) -> None:
    with LittleServer(given) as server, pytest.raises(UnavailableError, match="expected"):
        session.get_range(f"{server.url}/a", 100, 200)


def test_a_server_without_ranges_is_not_read_from_the_begin_for_a_range_far_away(session: HTTPSession) -> None:
    with LittleServer(reply("200 OK", length=2**40)) as server, pytest.raises(UsageError, match="knows no ranges"):
        session.get_range(f"{server.url}/a", MAX_SKIPPED_SIZE + 1, MAX_SKIPPED_SIZE + 2)


@pytest.mark.parametrize("status", [404, 412, 416, 500])
def test_other_answers_to_a_range_come_with_their_status_and_no_body(session: HTTPSession, status: int) -> None:
    with LittleServer(reply(f"{status} So", "Content-Range: bytes */10", body=b"some page")) as server:
        answer = session.get_range(f"{server.url}/a", 100, 200)
    assert (answer.status, answer.body, answer.headers["content-range"]) == (status, b"", "bytes */10")


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PROPFIND"])
def test_the_same_server_is_followed_with_credentials_headers_and_body(
    session: HTTPSession, status: int, method: str
) -> None:
    body = b"<propfind/>" if method == "PROPFIND" else None
    with LittleServer(reply(f"{status} Moved", "Location: /b?c=d#e"), reply("200 OK", "X-There: yes")) as server:
        answer = session.request(method, f"{server.url}/a", headers={"Depth": "1"}, content=body)
        first, second = server.requests
    assert answer.headers["x-there"] == "yes"
    assert second.startswith(f"{method} /b?c=d HTTP/1.1\r\n".encode())
    for request in (first, second):
        assert b"\r\nauthorization: basic " in request.lower()
        assert b"\r\ndepth: 1\r\n" in request.lower()
        assert request.endswith(b"\r\n\r\n" + (body or b""))


@pytest.mark.parametrize("with_token", [True, False])
def test_another_server_is_followed_without_credentials(session: HTTPSession, *, with_token: bool) -> None:
    headers = {"Authorization": "Bearer secret-token"} if with_token else {}
    with LittleServer(part(0, 10)) as other:
        user = other.url.replace("://", "://someone:else@")
        with LittleServer(reply("302 Found", f"Location: {user}/b")) as server:
            assert session.get_range(f"{server.url}/a", 0, 10, headers=headers).body == DATA[:10]
            assert b"authorization" in server.requests[0].lower()
    assert b"authorization" not in other.requests[0].lower()
    assert b"range: bytes=0-9\r\n" in other.requests[0].lower()
    assert f"host: {other.url[7:]}\r\n".encode() in other.requests[0].lower()


def test_credentials_go_to_their_server_again_when_another_one_points_back(session: HTTPSession) -> None:
    with (
        LittleServer(b"", reply("200 OK")) as server,
        LittleServer(reply("302 Found", f"Location: {server.url}/c")) as other,
    ):
        server._replies[0] = reply("302 Found", f"Location: {other.url}/b")
        assert session.request("GET", f"{server.url}/a").status == 200
        assert [b"authorization" in each.lower() for each in (*server.requests, *other.requests)] == [True, True, False]


@pytest.mark.parametrize("method", ["PUT", "MOVE", "DELETE", "MKCOL", "POST"])
def test_a_change_is_not_followed(session: HTTPSession, method: str) -> None:
    with LittleServer(reply("307 There", "Location: /b")) as server:
        with pytest.raises(UsageError, match=rf"points to {server.url}/b \(307\)"):
            session.request(method, f"{server.url}/a", content=b"x")
        assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/a", "file:///etc/passwd", "", "/a"])
def test_where_nobody_can_go_is_not_followed(session: HTTPSession, location: str) -> None:
    with LittleServer(reply("302 Found", f"Location: {location}")) as server, pytest.raises(UsageError, match="points"):
        session.request("GET", f"{server.url}/a")


def test_a_place_that_cannot_be_read_is_not_followed(session: HTTPSession) -> None:
    with (
        LittleServer(reply("302 Found", "Location: http://[::bad/")) as server,
        pytest.raises(UnavailableError, match="location"),
    ):
        session.request("GET", f"{server.url}/a")


@pytest.mark.parametrize(("scheme", "to_scheme"), [("https", "http"), ("https", "HTTP"), ("http", "ws")])
def test_https_is_not_left(scheme: str, to_scheme: str) -> None:
    request = httpx.Request("GET", f"{scheme}://host/a")
    answer = httpx.Response(302, headers={"Location": f"{to_scheme}://host/b?secret=1"}, request=request)
    with pytest.raises(UsageError, match=rf"points to {to_scheme.lower()}://host/b \(302\)") as caught:
        redirected("GET /a", answer)
    assert "secret" not in str(caught.value)


def test_https_may_be_reached_from_http_without_credentials() -> None:
    request = httpx.Request("GET", "http://host/a")
    answer = httpx.Response(302, headers={"Location": "https://host/b"}, request=request)
    url = redirected("GET /a", answer)
    assert str(url) == "https://host/b"
    assert origin(url) != origin(request.url)


def test_redirects_end(session: HTTPSession) -> None:
    replies = [reply("302 Found", f"Location: /{number}") for number in range(MAX_REDIRECTS + 3)]
    with LittleServer(*replies) as server:
        with pytest.raises(UsageError, match=f"more than {MAX_REDIRECTS} times"):
            session.request("GET", f"{server.url}/a")
        assert len(server.requests) == MAX_REDIRECTS + 1


def test_a_status_of_redirects_without_a_place_is_an_answer(session: HTTPSession) -> None:
    with LittleServer(reply("308 Resume Incomplete", "Range: bytes=0-41")) as server:
        answer = session.request("PUT", f"{server.url}/a", content=b"x")
    assert (answer.status, answer.headers["range"]) == (308, "bytes=0-41")


# Credentials and secrets


def test_a_token_is_sent_unless_a_request_has_another_one() -> None:
    session = HTTPSession(timeout_s=TIMEOUT_S, token="the-token")  # noqa: S106
    with LittleServer(reply("200 OK"), reply("200 OK")) as server:
        session.request("GET", f"{server.url}/a")
        session.request("GET", f"{server.url}/a", headers={"Authorization": "Bearer other"})
        first, second = server.requests
    session.close()
    assert b"\r\nauthorization: bearer the-token\r\n" in first.lower()
    assert second.lower().count(b"authorization") == 1
    assert b"Bearer other" in second


def test_a_request_that_cannot_be_sent_shows_no_header(session: HTTPSession) -> None:
    for headers in ({"Authorization": "Bearer two\nlines"}, {"X-Bad\n": "secret"}):
        with LittleServer(b"") as server, pytest.raises(UsageError, match="cannot be sent") as caught:
            session.request("GET", f"{server.url}/a", headers=headers)
        assert "two" not in repr(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(UsageError, match="cannot be sent"):
        session.request("GET", "ftp://127.0.0.1:9/a")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, LTXMissingError),
        (410, LTXMissingError),
        (401, DeniedError),
        (403, DeniedError),
        (429, ThrottledError),
        (503, ThrottledError),
        (500, UnavailableError),
        (408, UnavailableError),
        (423, UnavailableError),
        (507, UnavailableError),
        (400, UsageError),
        (416, UsageError),
    ],
)
def test_a_status_is_sorted_by_what_to_do_next(status: int, expected: type[LitestreamError]) -> None:
    error = status_error("GET /a", HTTPAnswer(status, {}, b"secret page"), "permission to read")
    assert type(error) is expected
    assert str(status) in str(error)
    assert "secret" not in str(error)


# TLS


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_the_caller_says_otherwise(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    checking, trusting = (HTTPSession(timeout_s=TIMEOUT_S, skip_verify=skip) for skip in (False, True))
    with (
        LittleServer(b"", tls=context) as server,
        pytest.raises(UsageError, match=f"certificate of {server.url} is not"),
    ):
        checking.request("GET", f"{server.url}/a")
    with LittleServer(reply("200 OK", body=b"ok"), tls=context) as server:
        assert trusting.request("GET", f"{server.url}/a").body == b"ok"
    checking.close()
    trusting.close()


def self_signed(directory: Path) -> Path:
    """Return a file with a key and a certificate for 127.0.0.1 that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return path


# Processes


def test_a_forked_child_makes_connections_of_its_own(session: HTTPSession) -> None:
    with LittleServer(reply("200 OK", body=b"parent"), reply("200 OK", body=b"parent"), keeps=True) as server:
        with LittleServer(reply("200 OK", body=b"child")) as for_child:
            assert session.request("GET", f"{server.url}/a").body == b"parent"
            reading, writing = os.pipe()
            with session._lock:  # as if another thread were in the midst of opening
                child = os.fork()
                if child == 0:
                    signal.alarm(CHILD_TIMEOUT_S)
                    try:
                        os.write(writing, session.request("GET", f"{for_child.url}/a").body)
                    finally:
                        os._exit(0)
            os.close(writing)
            with os.fdopen(reading, "rb") as pipe:
                assert pipe.read() == b"child"
            os.waitpid(child, 0)
        assert session.request("GET", f"{server.url}/a").body == b"parent"
        assert server.connection_count == 1
