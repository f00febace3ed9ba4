"""The server's side of `s3_server`: moto's S3 behind a middleware that logs, delays and breaks requests.

Run as `python -m tests.support.s3_server_process`; it prints its port once it listens, and ends when its standard input
does, so that it never outlives the tests. Requests to `/-/…` steer it and are neither logged nor broken.

A request whose sender died in the midst of its body has no effect, as in S3; moto by itself stores what came.
"""

import base64
import errno
import io
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from cheroot import wsgi
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends

from tests.support.oss_dialect import OSSDialect

_KEPT_HEADERS = ("HTTP_X_AMZ_", "HTTP_X_TIGRIS_")  # as WSGI writes the beginnings of their names
THREADS = 48
HANG_S = 120.0
ACCOUNT = "123456789012"  # moto's own
RANDOM_FAULTS = ("SlowDown", "InternalError", "drop", "lose")
ERROR_BODY = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>{}</Message></Error>"

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class BrokenOffError(Exception):
    """Makes the server close the connection in the middle of an answer."""


class NoAnswerError(OSError):
    """Makes the server close the connection without a word."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "as if the other side had gone")


class Middleware:
    """Logs each request, and lets it meet the delay and the faults that were set."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._log: list[dict[str, Any]] = []  # guarded by _lock
        self._faults: list[dict[str, Any]] = []  # guarded by _lock
        self._share = 0.0  # of requests that meet a random fault
        self._chance = random.Random(0)  # noqa: S311  # guarded by _lock
        self._delay_s = 0.0
        self._hanging = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/-/"):
            return self._steer(environ, start_response)
        entry = _describe(environ)
        fault = self._begin(entry)
        if self._delay_s:
            time.sleep(self._delay_s)
        if fault is not None and fault["what"] == "hang":
            self._hanging.wait(HANG_S)
            raise BrokenOffError
        if fault is not None and fault["what"] == "drop":
            raise NoAnswerError
        if fault is not None and fault["what"] not in {"cut", "lose"}:
            return self._refuse(environ, start_response, entry, fault)
        return self._answer(environ, start_response, entry, None if fault is None else fault["what"])

    def _begin(self, entry: dict[str, Any]) -> dict[str, Any] | None:
        with self._lock:
            self._log.append(entry)
            for fault in self._faults:
                if fault["times"] == 0 or fault["kind"] not in {None, entry["kind"]}:
                    continue
                if fault["key"] is not None and fault["key"] not in entry["key"]:
                    continue
                if fault["times"] is not None:
                    fault["times"] -= 1
                return fault
            if self._chance.random() < self._share:
                what = self._chance.choice(RANDOM_FAULTS)
                status = 503 if what == "SlowDown" else 500
                return {"what": what, "status": status, "message": "as chance would have it", "headers": {}}
        return None

    def _answer(
        self, environ: Environ, start_response: StartResponse, entry: dict[str, Any], broken: str | None
    ) -> list[bytes]:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if size:
            body_in = environ["wsgi.input"].read(size)
            if len(body_in) < size:
                raise NoAnswerError
            environ["wsgi.input"] = io.BytesIO(body_in)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def keep(status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable[[bytes], object]:
            started.append((status, headers))
            return lambda _data: None

        answer = self._application(environ, keep)
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        status, headers = started[-1]
        if broken == "lose":
            raise NoAnswerError
        self._finish(entry, status, len(body))
        start_response(status, headers)
        return _Cut(body) if broken == "cut" else [body]  # type: ignore[return-value]

    def _refuse(
        self, environ: Environ, start_response: StartResponse, entry: dict[str, Any], fault: dict[str, Any]
    ) -> list[bytes]:
        environ["wsgi.input"].read()  # else the connection's next request would begin inside this one's body
        body = b"" if entry["method"] == "HEAD" else ERROR_BODY.format(fault["what"], fault["message"]).encode()
        self._finish(entry, str(fault["status"]), len(body))
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body))), *fault["headers"].items()]
        start_response(f"{fault['status']} {fault['what']}", headers)
        return [body]

    def _finish(self, entry: dict[str, Any], status: str, size: int) -> None:
        with self._lock:
            entry.update(status=int(status.split(maxsplit=1)[0]), bytes=size, end=time.monotonic())

    def _steer(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        command = environ["PATH_INFO"].removeprefix("/-/")
        arguments = json.loads(environ["wsgi.input"].read() or b"{}")
        answer = json.dumps(getattr(self, f"do_{command}")(**arguments)).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]

    def do_log(self) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(entry) for entry in self._log]

    def do_reset(self) -> None:
        with self._lock:
            self._log.clear()
            self._faults.clear()
            self._share = 0.0
        self._delay_s = 0.0
        self._hanging.set()
        self._hanging = threading.Event()

    def do_delay(self, ms: float) -> None:
        self._delay_s = ms / 1000

    def do_fail(self, **fault: Any) -> None:  # noqa: ANN401
        with self._lock:
            self._faults.append(fault)

    def do_fail_at_random(self, share: float, seed: int | None) -> None:
        with self._lock:
            self._share = share
            if seed is not None:
                self._chance.seed(seed)

    def do_fill(self, bucket: str, objects: list[list[Any]]) -> None:
        backend = s3_backends[ACCOUNT]["aws"]
        for key, data, metadata in objects:
            made = backend.put_object(bucket, key, base64.b64decode(data))
            made.set_metadata({f"x-amz-meta-{name}": value for name, value in metadata.items()})

    def do_objects(self, bucket: str) -> dict[str, Any]:
        backend = s3_backends[ACCOUNT]["aws"]
        return {
            key.name: {"size": key.size, "metadata": dict(key.metadata), "storage_class": key.storage_class}
            for key in backend.buckets[bucket].keys.values()
        }


class _Cut:
    """The first half of a body; then the connection breaks."""

    def __init__(self, body: bytes) -> None:
        self._half = body[: len(body) // 2]

    def __iter__(self) -> Iterator[bytes]:
        yield self._half
        raise BrokenOffError


def _describe(environ: Environ) -> dict[str, Any]:
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    names = parse_qs(query, keep_blank_values=True)
    kind = method
    if method == "GET" and not key:
        kind = "LIST"
    elif method == "POST":
        kind = "DELETE" if "delete" in names else "PUT"
    return {
        "method": method,
        "kind": kind,
        "bucket": bucket,
        "key": key,
        "query": query,
        "range": environ.get("HTTP_RANGE"),
        "authorization": environ.get("HTTP_AUTHORIZATION", ""),
        "host": environ.get("HTTP_HOST", ""),
        "headers": {
            name: value for name, value in environ.items() if name.startswith(("HTTP_X_AMZ_", "HTTP_X_TIGRIS_"))
        },
        "status": 0,
        "bytes": 0,
        "start": time.monotonic(),
        "end": None,
    }


class _QuietServer(wsgi.Server):
    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:  # noqa: FBT001, FBT002
        """Say nothing: broken connections are what the tests ask for."""


def main() -> None:
    """Serve until the standard input ends."""
    application = Middleware(OSSDialect(DomainDispatcherApplication(create_backend_app)))
    server = _QuietServer(("127.0.0.1", 0), application, numthreads=THREADS, request_queue_size=256)
    server.prepare()
    print(server.bind_addr[1], flush=True)  # noqa: T201
    threading.Thread(target=server.serve, daemon=True).start()
    sys.stdin.read()
    os._exit(0)  # without waiting for threads that a fault still holds


if __name__ == "__main__":
    main()
