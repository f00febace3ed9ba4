"""Requests to a web server, with every failure given one of our classes.

Bytes are asked for as they are stored; an answer that was compressed on the way all the same is refused. No answer is
longer than was allowed for. A request is followed to another place only where nothing is changed by it, and never from
https to http; credentials go to the server they were given for. A body that ends before its length is a failure, not a
short file.

An answer has to end within the timeout, counted from the request, or from the end of an upload, which itself may take
as long as it moves. A read may stall for a part of the timeout only, so that another one has its chance.

Connections belong to the process that made them: a forked child makes its own.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakSet

from replication.client import http_rules as rules
from replication.clock import SYSTEM_CLOCK, Clock
from replication.errors import (
    DeniedError,
    LitestreamError,
    LTXMissingError,
    ThrottledError,
    UnavailableError,
    UsageError,
)
from replication.forking import after_fork_in_child

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 5.0
STALL_SHARE = 3  # a read of a range may stall for this part of the timeout
MAX_CONNECTIONS = 32
MAX_REDIRECTS = 5
MAX_LISTING_SIZE = 256 * 2**20  # bytes; some 500,000 files of a WebDAV listing
MAX_ANSWER_SIZE = 64 * 2**10  # bytes; of other answers

_REDIRECTS = {301, 302, 303, 307, 308}
_DENIED = {401, 403, 407}
_MISSING = {404, 410}
_THROTTLED = {429, 503}
_PASSING = {408, 423, 425}
_PARTIAL = 206
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"  # OpenSSL's word
_SERVER_ERRORS = 500

Content = bytes | Iterable[bytes]
"""The body of a request. One that is not bytes goes with a Content-Length of the caller's, or in chunks."""


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
        token: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Connect to nothing yet; `auth` is a user and a password, `token` what the server takes instead.

        A request that has an Authorization header of its own keeps it.
        """
        self._timeout_s = timeout_s
        self._skip_verify = skip_verify
        self._authorization = rules.authorization(auth, token)
        self._clock = clock
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None  # guarded by _lock
        self._foreign: list[object] = []  # a forked child's: clients of its parent, whose sockets it leaves alone
        _sessions.add(self)

    def __del__(self) -> None:
        """Let go of the connections: who forgets a client need not close it."""
        self.close()

    def close(self) -> None:
        """Let go of the connections; the session may be used again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def after_fork(self) -> None:
        """Start anew in a forked child; a thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self._foreign.append(self._client)
        self._client = None

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Content | None = None,
        limit: int = MAX_ANSWER_SIZE,
    ) -> HTTPAnswer:
        """Return the answer to a request, whatever its status.

        A body of more than `limit` bytes is refused; that of a failure is cut there.

        Raises:
            UnavailableError: no answer came, or not whole, or not in time, or it is longer.
            UsageError: the server points elsewhere, where this cannot follow, or compresses what it sends.

        """
        with self._answer(method, url, headers or {}, content) as (answer, deadline):
            has_failed = answer.status_code >= rules.FAILED
            body = bytearray()
            for part in self._parts(answer, deadline):
                body += part
                if len(body) > limit and not has_failed:
                    msg = f"{method} {answer.request.url.path}: expected an answer of {limit} bytes at most, got more"
                    raise UnavailableError(msg)
                if len(body) > limit:
                    break
            return HTTPAnswer(answer.status_code, _headers(answer), bytes(body[:limit]))

    def get_range(self, url: str, start: int, end: int, *, headers: Mapping[str, str] | None = None) -> HTTPAnswer:
        """Return bytes `start` (inclusive) to `end` (exclusive) of what a URL names, cut short at its end.

        The status is 200 if that worked, whether the server knows ranges or not; 416 if nothing lies there.

        Raises:
            UnavailableError: no answer came, or not whole, or not in time, or other bytes than asked for.
            UsageError: the server points elsewhere, where this cannot follow, or compresses what it sends; or it knows
                no ranges, and there is too much before this one.

        """
        wanted = {**(headers or {}), "Range": f"bytes={start}-{end - 1}"}
        with self._answer("GET", url, wanted, None, stall_share=STALL_SHARE) as (answer, deadline):
            status = answer.status_code
            what = f"GET {answer.request.url.path}"
            if status not in {rules.OK, _PARTIAL}:
                return HTTPAnswer(status, _headers(answer), b"")
            skipped, expected = rules.range_given(what, answer, start, end)
            body = bytearray()
            for part in self._parts(answer, deadline):
                body += part[skipped:]
                skipped = max(0, skipped - len(part))
                if len(body) > expected:  # not sooner: a body read to its end leaves the connection for the next one
                    break
            if status == _PARTIAL and len(body) < expected:
                msg = f"{what}: expected {expected} bytes from {start} on, got {len(body)}"
                raise UnavailableError(msg)
            return HTTPAnswer(rules.OK, _headers(answer), bytes(body[:expected]))

    @contextmanager
    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], content: Content | None, *, stall_share: int = 1
    ) -> "Iterator[tuple[httpx.Response, float]]":
        """Give the answer, whose body is still to come, and until when; follow where the server points."""
        import httpx  # noqa: PLC0415 - slow, and only some replicas need it

        what, server = f"{method} {rules.shown_path(url)}", rules.shown_server(url)
        deadline = self._clock.monotonic() + self._timeout_s
        try:
            client = self._open()
            stall_s = self._timeout_s / stall_share
            request = client.build_request(
                method,
                url,
                headers={**self._authorization, **headers},
                content=content,
                timeout=httpx.Timeout(stall_s, connect=min(CONNECT_TIMEOUT_S, stall_s)),
            )
            answer = _send(what, client, request, content)
            if not (content is None or isinstance(content, bytes)):
                deadline = self._clock.monotonic() + self._timeout_s
            try:
                rules.check_encoding(what, answer)
                yield answer, deadline
            finally:
                answer.close()
        except httpx.TimeoutException:
            msg = f"{what}: no answer in time ({server})"
            raise UnavailableError(msg) from None
        except httpx.ConnectError as error:
            if _UNTRUSTED in str(error):
                msg = f"{what}: the certificate of {server} is not trusted: {error}"
                raise UsageError(msg) from error
            msg = f"{what}: cannot connect ({server}): {error}"
            raise UnavailableError(msg) from error
        except (httpx.InvalidURL, httpx.LocalProtocolError, httpx.UnsupportedProtocol):
            msg = f"{what}: such a request cannot be sent ({server})"
            raise UsageError(msg) from None  # the cause would show headers, which hold secrets
        except (httpx.HTTPError, httpx.StreamError) as error:
            msg = f"{what}: the connection broke ({server}): {error}"
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
            if self._client is None:
                self._client = httpx.Client(
                    verify=not self._skip_verify,
                    limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
                    headers={"Accept-Encoding": "identity"},
                    follow_redirects=False,
                )
            return self._client


_sessions: WeakSet[HTTPSession] = WeakSet()


def _after_fork() -> None:
    for session in _sessions:
        session.after_fork()


after_fork_in_child(_after_fork)


def _send(what: str, client: "httpx.Client", request: "httpx.Request", content: Content | None) -> "httpx.Response":
    """Return the answer that came in the end, without its body.

    Raises:
        UsageError: the server points to where this may not follow, or does not stop pointing.

    """
    headers = {name: value for name, value in request.headers.items() if name != "host"}
    origin = rules.origin(request.url)
    for _ in range(MAX_REDIRECTS + 1):
        answer = client.send(request, auth=None, stream=True)
        if answer.status_code not in _REDIRECTS or "location" not in answer.headers:
            return answer
        answer.close()
        url = rules.redirected(what, answer)
        request = client.build_request(
            request.method,
            url,
            headers=headers if rules.origin(url) == origin else rules.without_credentials(headers),
            content=content,
            extensions=request.extensions,
        )
    msg = f"{what}: the server points from one place to another, more than {MAX_REDIRECTS} times"
    raise UsageError(msg)


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


def _headers(answer: "httpx.Response") -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}
