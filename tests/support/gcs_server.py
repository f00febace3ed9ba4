"""Google Cloud Storage on loopback for tests: its emulator, and before it a front that does what the emulator lacks.

with GCSServer(log_path) as server:
    client = replica_client(server.url("app"))                       # through the front
    os.environ["STORAGE_EMULATOR_HOST"] = server.emulator_host       # past it
"""

import base64
import http.client
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.support.servers import ServerProcess, free_port

DEFAULT_BUCKET = "test-bucket"
CONTROL_TIMEOUT_S = 60.0
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class GCSRequest:
    """One logged request; `kind` is LIST, GET, PUT or DELETE; `size` is that of its body."""

    kind: str
    name: str
    query: Mapping[str, str]
    authorization: str = field(repr=False)
    size: int
    start: float
    status: int = 0


class GCSServer(ServerProcess):
    """The server, seen from the tests' process."""

    def __init__(self, log_path: Path) -> None:
        port, self.emulator_port = free_port(), free_port()
        super().__init__(
            [sys.executable, "-m", "tests.support.gcs_server_process", str(port), str(self.emulator_port)],
            port=port,
            log_path=log_path,
            environ={"PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))},
        )

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def emulator_host(self) -> str:
        """The emulator without the front, as the Go program takes it in STORAGE_EMULATOR_HOST."""
        return f"127.0.0.1:{self.emulator_port}"

    def url(self, path: str, *, bucket: str = DEFAULT_BUCKET, port: int | None = None, anonymous: bool = True) -> str:
        """Return a replica URL; `port` is that of a proxy before the front."""
        query = f"endpoint=http://127.0.0.1:{port or self.port}" + ("&anonymous=true" if anonymous else "")
        return f"gs://{bucket}/{path}?{query}"

    def fill(self, objects: Iterable[tuple[str, bytes]], *, metadata: Mapping[str, str] | None = None) -> None:
        """Store objects without a request for each."""
        rows = [[name, base64.b64encode(data).decode(), dict(metadata or {})] for name, data in objects]
        self._control("fill", bucket=DEFAULT_BUCKET, rows=rows)

    def objects(self) -> dict[str, dict[str, Any]]:
        """Return what the bucket holds, as the API describes it."""
        return cast("dict[str, dict[str, Any]]", self._control("objects", bucket=DEFAULT_BUCKET))

    def requests(self) -> list[GCSRequest]:
        """Return the requests since the last reset, in the order of their start."""
        return [GCSRequest(**entry) for entry in cast("list[dict[str, Any]]", self._control("log"))]

    def require(self, token: str) -> None:
        """Answer requests with this token only."""
        self._control("require", token=token)

    def keep_at_most(self, size: int) -> None:
        """Keep of each part of an upload but the last so many bytes only."""
        self._control("keep", size=size)

    def reset(self) -> None:
        """Forget the log, and what was asked for; objects stay."""
        self._control("reset")

    def _control(self, command: str, **arguments: object) -> object:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CONTROL_TIMEOUT_S)
        try:
            connection.request("POST", f"/-/{command}", json.dumps(arguments).encode())
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status == 200, f"{command}: {answer.status} {data!r}"
            return json.loads(data)
        finally:
            connection.close()
