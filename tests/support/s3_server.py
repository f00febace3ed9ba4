"""A real S3 server on loopback for tests: moto in a process of its own, with a log, delays and faults.

    with S3Server() as server:
        server.create_bucket("bucket")
        server.set_delay_ms(20)
        server.fail("SlowDown", status=503, kind="GET", times=2)
        client = replica_client(server.url("app"))
        ...
        assert sequential_depth(server.requests()) <= 3

A request counts as ended when its answer begins to go out: whatever waited for the answer began after that.
"""

import base64
import http.client
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, cast
from urllib.parse import quote

ACCESS_KEY_ID = "AKIATESTTESTTEST"
SECRET_ACCESS_KEY = "secret/of+the=tests"  # noqa: S105 - a loopback server takes any
REGION = "us-east-1"
DEFAULT_BUCKET = "test-bucket"
_AUTHORIZATION = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20200101/{REGION}/s3/aws4_request, Signature=0"
_ROOT = Path(__file__).parents[2]
_STOP_TIMEOUT_S = 10.0
_CONTROL_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Request:
    """One logged request; `kind` is LIST, GET, HEAD, PUT or DELETE, `end` None while it is unanswered."""

    method: str
    kind: str
    bucket: str
    key: str
    query: str
    range: str | None
    status: int
    bytes: int
    start: float
    end: float | None
    host: str
    authorization: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class S3Server:
    """The server, seen from the tests' process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<S3Server {self.endpoint}>"

    def start(self) -> None:
        """Start the process; it listens when this returns, and the bucket `DEFAULT_BUCKET` is there."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.s3_server_process"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the S3 server did not start"
        self.port = int(line)
        self.create_bucket(DEFAULT_BUCKET)

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, path: str, *, bucket: str = DEFAULT_BUCKET, keys: bool = True) -> str:
        """Return a replica URL; with `keys` it carries credentials, which the Go program ignores."""
        user = f"{ACCESS_KEY_ID}:{quote(SECRET_ACCESS_KEY, safe='')}@" if keys else ""
        return f"s3://{user}{bucket}/{path}?endpoint={self.endpoint}&region={REGION}&forcePathStyle=true"

    @property
    def environment(self) -> dict[str, str]:
        """Credentials as the Go program takes them."""
        return {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY, "AWS_REGION": REGION}

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket, if it is not there."""
        self._request("PUT", f"/{bucket}", headers={"Authorization": _AUTHORIZATION})
        self._control("log")  # the answer above came from a server that works

    def fill(self, objects: Iterable[tuple[str, bytes]], *, bucket: str = DEFAULT_BUCKET) -> None:
        """Store objects without a request for each."""
        rows = [[key, base64.b64encode(data).decode(), {}] for key, data in objects]
        self._control("fill", bucket=bucket, objects=rows)

    def objects(self, bucket: str = DEFAULT_BUCKET) -> dict[str, dict[str, Any]]:
        """Return what a bucket holds: size, metadata and storage class by key."""
        return cast("dict[str, dict[str, Any]]", self._control("objects", bucket=bucket))

    def requests(self) -> list[S3Request]:
        """Return the requests since the last reset, in the order of their start."""
        return [S3Request(**entry) for entry in cast("list[dict[str, Any]]", self._control("log"))]

    def reset(self) -> None:
        """Forget the log, the delay and the faults, and break off hanging requests; objects stay."""
        self._control("reset")

    def set_delay_ms(self, ms: float) -> None:
        """Let every request wait that long before it is answered."""
        self._control("delay", ms=ms)

    def fail(
        self,
        what: str,
        *,
        status: int = 500,
        times: int | None = 1,
        kind: str | None = None,
        key: str | None = None,
        message: str = "as the test asked",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Let the next `times` requests fail (None: all), of one kind only, or whose key holds a text.

        `what` is an error code of S3, answered with `status`; or "cut": half of the answer, then the connection
        breaks; or "hang": no answer before the reset; or "drop": the connection breaks, and nothing was done; or
        "lose": all was done, and the connection breaks without an answer.
        """
        self._control(
            "fail",
            what=what,
            status=status,
            times=times,
            kind=kind,
            key=key,
            message=message,
            headers=dict(headers or {}),
        )

    def fail_at_random(self, share: float, *, seed: int | None = None) -> None:
        """Let that share of requests be refused, dropped or lost from now on; 0 ends it. A seed starts chance over."""
        self._control("fail_at_random", share=share, seed=seed)

    def _control(self, command: str, **arguments: object) -> object:
        return json.loads(self._request("POST", f"/-/{command}", json.dumps(arguments).encode()))

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_CONTROL_TIMEOUT_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status < 300 or answer.status == 409, f"{method} {path}: {answer.status} {data!r}"
            return data
        finally:
            connection.close()


def oss_url(server: S3Server, path: str, *, port: int | None = None) -> str:
    """Return a replica URL for a client of OSS; a proxy may listen at another port."""
    user = f"{ACCESS_KEY_ID}:{quote(SECRET_ACCESS_KEY, safe='')}"
    return f"oss://{user}@{DEFAULT_BUCKET}/{path}?endpoint=http://127.0.0.1:{port or server.port}"


def count_by_kind(requests: Iterable[S3Request]) -> Counter[str]:
    """Return how many requests there were of each kind."""
    return Counter(request.kind for request in requests)


class Timed(Protocol):
    """A request that began, and was perhaps answered."""

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float | None: ...


def sequential_depth(requests: Sequence[Timed]) -> int:
    """Return the length of the longest chain of requests in which each began after the one before had ended."""
    depth, last_end = 0, float("-inf")
    answered = [(request.end, request.start) for request in requests if request.end is not None]
    for end, start in sorted(answered):
        if start >= last_end:
            depth, last_end = depth + 1, end
    return depth
