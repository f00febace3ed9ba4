"""Requests to a web server, with every failure given one of our classes.

Bytes are asked for as they are stored, never compressed on the way. No answer is longer than was allowed for. A request
is followed to another place only where nothing is changed by it, and never from https to http; credentials go to the
server they were given for. A body that ends before its length is a failure, not a short file.

Connections belong to the process that made them: a forked child makes its own.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replication.clock import SYSTEM_CLOCK, Clock
from replication.errors import (
    DeniedError,
    LitestreamError,
    LTXMissingError,
    ThrottledError,
    UnavailableError,
    UsageError,
)

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 32
MAX_REDIRECTS = 5
MAX_LISTING_SIZE = 256 * 2**20  # bytes; some 500,000 files of a WebDAV listing
_MAX_ERROR_SIZE = 64 * 2**10  # bytes read of an answer that tells of a failure

_FOLLOWED = {"GET", "HEAD", "PROPFIND"}
_REDIRECTS = {301, 302, 303, 307, 308}
_DENIED = {401, 403, 407}
_MISSING = {404, 410}
_THROTTLED = {429, 503}
_PASSING = {408, 425}
_SERVER_ERRORS = 500

Content = bytes | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    """An answer that came whole; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HTTPSession:
    """Connections to one server."""

    def __init__(
        self,
        *,
        timeout_s: float,
        skip_verify: bool = False,
        auth: tuple[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Connect to nothing yet; `auth` is a user and a password."""
        self._timeout_s = timeout_s
        self._skip_verify = skip_verify
        self._auth = auth
        self._clock = clock
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None  # guarded by _lock
        self._pid = 0  # guarded by _lock; the process that made the client

    def close(self) -> None:
        """Let go of the connections; the session may be used again."""
        with self._lock:
            client, self._client = self._client, None
            if client is not None and self._pid == os.getpid():
                client.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Content | None = None,
        limit: int = _MAX_ERROR_SIZE,
    ) -> HTTPAnswer:
        """Return the answer to a request, whatever its status; its body has `limit` bytes at most.

        Raises:
            UnavailableError: no answer came, or not whole, or not in time, or it is longer.
            UsageError: the server points elsewhere, where this cannot follow.

        """
        with self._answer(method, url, headers or {}, content) as (answer, deadline):
            body = bytearray()
            for part in self._parts(answer, deadline):
                body += part
                if len(body) > limit:
                    msg = f"{method} {answer.request.url.path}: expected an answer of {limit} bytes at most, got more"
                    raise UnavailableError(msg)
            return HTTPAnswer(answer.status_code, _headers(answer), bytes(body))

    def get_range(self, url: str, start: int, end: int, *, headers: Mapping[str, str] | None = None) -> HTTPAnswer:
        """Return bytes `start` (inclusive) to `end` (exclusive) of what a URL names, cut short at its end.

        The status is 200 if that worked, whether the server knows ranges or not; 416 if nothing lies there.

        Raises:
            UnavailableError: no answer came, or not whole, or not in time, or other bytes than asked for.
            UsageError: the server points elsewhere, where this cannot follow.

        """
        wanted = {**(headers or {}), "Range": f"bytes={start}-{end - 1}"}
        with self._answer("GET", url, wanted, None) as (answer, deadline):
            status = answer.status_code
            what = f"GET {answer.request.url.path}"
            if status not in {200, 206}:
                return HTTPAnswer(status, _headers(answer), b"")
            skipped, expected = _range_given(what, answer, start, end)
            body = bytearray()
            for part in self._parts(answer, deadline):
                body += part[max(0, skipped) :] if skipped > 0 else part
                skipped -= len(part)
                if len(body) >= expected:
                    break
            if status == 206 and len(body) != expected:  # noqa: PLR2004 - Partial Content
                msg = f"{what}: expected {expected} bytes from {start} on, got {len(body)}"
                raise UnavailableError(msg)
            return HTTPAnswer(200, _headers(answer), bytes(body[:expected]))

    @contextmanager
    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], content: Content | None
    ) -> "Iterator[tuple[httpx.Response, float]]":
        """Give the answer, whose body is still to come, and until when; follow where the server points."""
        import httpx  # noqa: PLC0415 - slow, and only some replicas need it

        deadline = self._clock.monotonic() + self._timeout_s
        client = self._open()
        what = f"{method} {httpx.URL(url).path}"
        try:
            request = client.build_request(method, url, headers=dict(headers), content=content)
            origin = _origin(request.url)
            for _ in range(MAX_REDIRECTS + 1):
                auth = self._auth if _origin(request.url) == origin else None
                answer = client.send(request, auth=auth, stream=True)
                if answer.status_code not in _REDIRECTS or "location" not in answer.headers:
                    break
                answer.close()
                kept = headers if _origin(request.url) == origin else _without_credentials(headers)
                request = client.build_request(method, _redirected(what, answer), headers=dict(kept))
            else:
                msg = f"{what}: the server points from one place to another, more than {MAX_REDIRECTS} times"
                raise UsageError(msg)
            try:
                yield answer, deadline
            finally:
                answer.close()
        except httpx.TimeoutException:
            msg = f"{what}: no answer in time ({_server(url)})"
            raise UnavailableError(msg) from None
        except httpx.ConnectError as error:
            msg = f"{what}: cannot connect ({_server(url)}): {error}"
            raise UnavailableError(msg) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            msg = f"{what}: the connection broke ({_server(url)}): {error}"
            raise UnavailableError(msg) from error

    def _parts(self, answer: "httpx.Response", deadline: float) -> Iterator[bytes]:
        for part in answer.iter_raw():
            if self._clock.monotonic() > deadline:
                msg = f"{answer.request.method} {answer.request.url.path}: the answer did not end in time"
                raise UnavailableError(msg)
            yield part

    def _open(self) -> "httpx.Client":
        import httpx  # noqa: PLC0415 - slow, and only some replicas need it

        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client = httpx.Client(
                    verify=not self._skip_verify,
                    timeout=httpx.Timeout(self._timeout_s, connect=min(CONNECT_TIMEOUT_S, self._timeout_s)),
                    limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
                    headers={"Accept-Encoding": "identity"},
                    follow_redirects=False,
                )
                self._pid = os.getpid()
            return self._client


def status_error(what: str, answer: HTTPAnswer, permission: str) -> LitestreamError:
    """Return the error for an answer with a status that was not expected; `permission` is what the request needs."""
    status = answer.status
    if status in _MISSING:
        return LTXMissingError(f"{what}: it is not there ({status})")
    if status in _DENIED:
        return DeniedError(f"{what}: access denied ({status}); it needs {permission}")
    if status in _THROTTLED:
        return ThrottledError(f"{what}: the server asks for fewer requests ({status})")
    if status >= _SERVER_ERRORS or status in _PASSING:
        return UnavailableError(f"{what}: the server failed ({status})")
    return UsageError(f"{what}: the server refuses such a request ({status})")


def _range_given(what: str, answer: "httpx.Response", start: int, end: int) -> tuple[int, int]:
    """Return how many bytes of the body lie before `start`, and how many are wanted of the rest."""
    if answer.status_code == 200:  # noqa: PLR2004 - the server knows no ranges
        return start, end - start
    text = answer.headers.get("content-range", "")
    given, _, total = text.removeprefix("bytes ").partition("/")
    first, _, last = given.partition("-")
    if not (first.isdecimal() and last.isdecimal()) or int(first) != start:
        msg = f"{what}: expected bytes {start} to {end}, got the range {text!r}"
        raise UnavailableError(msg)
    until = min(end, int(total)) if total.isdecimal() else min(end, int(last) + 1)
    return 0, max(0, until - start)


def _redirected(what: str, answer: "httpx.Response") -> "httpx.URL":
    """Return where an answer points to."""
    import httpx  # noqa: PLC0415 - slow, and only some replicas need it

    request = answer.request
    try:
        url = request.url.join(answer.headers.get("location", ""))
    except httpx.InvalidURL:
        url = request.url
    shown = f"{url.scheme}://{url.host}{url.path}"
    downgraded = request.url.scheme == "https" and url.scheme != "https"
    if request.method not in _FOLLOWED or downgraded or url.scheme not in {"http", "https"} or url == request.url:
        msg = f"{what}: the server points to {shown} ({answer.status_code}), where this is not followed"
        raise UsageError(msg)
    return url


def _without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in {"authorization", "cookie"}}


def _origin(url: "httpx.URL") -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _server(url: str) -> str:
    import httpx  # noqa: PLC0415 - slow, and only some replicas need it

    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}"


def _headers(answer: "httpx.Response") -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}
