"""A web proxy on loopback that breaks answers as networks and servers do; it stands before any HTTP store of the tests.

    with FaultyProxy(server_port) as proxy:
        proxy.break_next(cut, kind="GET", times=1)
        client = make_client(proxy.port)

Each request goes to the server on a connection of its own, and its answer is read whole before anything of it goes
out. The Host header stays as the client wrote it. A request counts as seen when its head has been read.
"""

import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BufferedIOBase
from types import TracebackType
from typing import BinaryIO, Self

TIMEOUT_S = 30.0
MAX_HEAD_LINES = 200


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; `path` is the target of its first line."""

    method: str
    path: str
    head: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer on its way to the client: `wait_s` before its first byte; `sent` bytes of its body, or all."""

    status: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    wait_s: float = 0.0
    sent: int | None = None

    def with_length(self, length: int) -> "Answer":
        """Return it with another Content-Length."""
        kept = [(name, value) for name, value in self.headers if name.lower() != b"content-length"]
        return replace(self, headers=(*kept, (b"Content-Length", str(length).encode())))


Fault = Callable[[Request, Answer], Answer]


def cut(_request: Request, answer: Answer) -> Answer:
    """Break the connection in the middle of the body."""
    return replace(answer.with_length(len(answer.body)), sent=len(answer.body) // 2)


def too_long(_request: Request, answer: Answer) -> Answer:
    """Promise more bytes than there are."""
    return answer.with_length(len(answer.body) + 1000)


def too_short(_request: Request, answer: Answer) -> Answer:
    """Promise fewer bytes than there are, and send them all."""
    return answer.with_length(len(answer.body) // 2)


def slow(seconds: float) -> Fault:
    """Wait before the first byte."""
    return lambda _request, answer: replace(answer, wait_s=seconds)


def unavailable(_request: Request, _answer: Answer) -> Answer:
    """Answer 503."""
    return Answer(b"503 Service Unavailable", (), b"come back later").with_length(15)


def redirect(to_port: int) -> Fault:
    """Point to the same path at another port."""

    def fault(request: Request, _answer: Answer) -> Answer:
        location = f"http://127.0.0.1:{to_port}{request.path}".encode()
        return Answer(b"307 Temporary Redirect", ((b"Location", location),), b"").with_length(0)

    return fault


@dataclass(slots=True)
class _Planted:
    fault: Fault
    kind: str | None
    part: str
    times: int | None
    until: float | None


class FaultyProxy:
    """The proxy; it listens from `start` to `stop`."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._lock = threading.Lock()
        self._planted: list[_Planted] = []  # guarded by _lock
        self._seen: list[Request] = []  # guarded by _lock
        self._server = _Server(self)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def break_next(
        self,
        fault: Fault,
        *,
        kind: str | None = None,
        part: str = "",
        times: int | None = 1,
        seconds: float | None = None,
    ) -> None:
        """Break the next `times` answers (None: all), for so many seconds, to requests of one method, for some path."""
        until = None if seconds is None else time.monotonic() + seconds
        with self._lock:
            self._planted.append(_Planted(fault, kind, part, times, until))

    def heal(self) -> None:
        """Break nothing more, and forget the requests seen."""
        with self._lock:
            self._planted.clear()
            self._seen.clear()

    def seen(self) -> list[Request]:
        """Return the requests that came."""
        with self._lock:
            return list(self._seen)

    def fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            self._seen.append(request)
            for planted in self._planted:
                over = planted.until is not None and time.monotonic() > planted.until
                if over or planted.times == 0 or planted.kind not in {None, request.method}:
                    continue
                if planted.part not in request.path:
                    continue
                if planted.times is not None:
                    planted.times -= 1
                return planted.fault
        return None

    def ask(self, request: Request) -> Answer:
        """Return the server's answer."""
        with socket.create_connection(("127.0.0.1", self._server_port), TIMEOUT_S) as connection:
            connection.sendall(request.head + request.body)
            with connection.makefile("rb") as answer:
                first, headers = _read_head(answer)
                status = first.split(maxsplit=1)[1].rstrip()
                if request.method == "HEAD" or status[:3] in {b"204", b"304"}:
                    return Answer(status, headers, b"")
                return Answer(status, headers, _read_body(answer, headers, to_end=True))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Be silent where the client has gone."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    timeout = TIMEOUT_S

    def handle(self) -> None:
        while self._handle_one():
            pass

    def _handle_one(self) -> bool:
        first, headers = _read_head(self.rfile)
        if not first:
            return False
        method, path, _ = first.decode("latin-1").split(" ", 2)
        if (b"expect", b"100-continue") in {(name.lower(), value.lower()) for name, value in headers}:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _read_body(self.rfile, headers, to_end=False)
        dropped = {b"connection", b"expect", b"transfer-encoding", b"content-length"}
        kept = [(name, value) for name, value in headers if name.lower() not in dropped]
        if body or method in {"PUT", "POST"}:
            kept.append((b"Content-Length", str(len(body)).encode()))
        head = first + b"".join(b"%s: %s\r\n" % each for each in [*kept, (b"Connection", b"close")]) + b"\r\n"
        request = Request(method, path, head, body)
        proxy = self.server.proxy
        fault = proxy.fault_for(request)
        answer = proxy.ask(request)
        length = next((int(value) for name, value in answer.headers if name.lower() == b"content-length"), None)
        answer = answer.with_length(len(answer.body) if method != "HEAD" or length is None else length)
        if fault is None:
            return self._send(answer, is_whole=True)
        answer = fault(request, answer)
        return self._send(answer, is_whole=answer == answer.with_length(len(answer.body)) and answer.sent is None)

    def _send(self, answer: Answer, *, is_whole: bool) -> bool:
        """Send an answer, and say whether the connection goes on."""
        time.sleep(answer.wait_s)
        dropped = {b"connection", b"transfer-encoding"}
        kept = [(name, value) for name, value in answer.headers if name.lower() not in dropped]
        head = b"HTTP/1.1 " + answer.status + b"\r\n" + b"".join(b"%s: %s\r\n" % each for each in kept) + b"\r\n"
        self.wfile.write(head + (answer.body if answer.sent is None else answer.body[: answer.sent]))
        self.wfile.flush()
        return is_whole


def _read_head(stream: BufferedIOBase | BinaryIO) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """Return the first line, empty at the end of the connection, and the headers."""
    first = stream.readline()
    headers: list[tuple[bytes, bytes]] = []
    for _ in range(MAX_HEAD_LINES):
        line = stream.readline()
        if line in {b"\r\n", b"\n", b""}:
            break
        name, _, value = line.partition(b":")
        headers.append((name.strip(), value.strip()))
    return first, tuple(headers)


def _read_body(stream: BufferedIOBase | BinaryIO, headers: tuple[tuple[bytes, bytes], ...], *, to_end: bool) -> bytes:
    by_name = {name.lower(): value for name, value in headers}
    if by_name.get(b"transfer-encoding", b"").lower() == b"chunked":
        parts: list[bytes] = []
        while size := int(stream.readline().split(b";")[0], 16):
            parts.append(stream.read(size))
            stream.readline()
        stream.readline()
        return b"".join(parts)
    if b"content-length" in by_name:
        return stream.read(int(by_name[b"content-length"]))
    return stream.read() if to_end else b""
