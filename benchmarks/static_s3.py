"""A read-only S3 server on loopback that hands out files of any size at the speed of the disk cache, or of a link.

    with StaticS3(directory, delay_ms=20) as server:    # `directory` has a directory for each bucket
        server.url("bucket", "path")
        ...
        server.requests()

It is a process of its own (`benchmarks.static_s3_process`), which knows just what a restore or a reader asks for, and
tells what was asked. The server of the tests holds its objects in memory and copies them for each range, which takes
longer than a restore.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.systems import PROJECT
from tests.support.waiting import wait_until

REGION = "us-east-1"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}
STOP_TIMEOUT_S = 10.0
SETTLE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `kind` is LIST, GET or HEAD; `end` is None until the answer begins to go out.

    `start` and `end` are `time.monotonic()`, which is one clock for all processes of a machine.
    """

    kind: str
    bytes: int
    start: float
    end: float | None


@dataclass(slots=True)
class StaticS3:
    """The server, seen from the process that measures; a context manager."""

    root: Path
    delay_ms: float
    link_mb_s: float = 0.0  # 10**6 bytes a second, of all bodies together; 0 is unlimited
    port: int = 0
    _process: subprocess.Popen[str] | None = None

    def url(self, bucket: str, path: str) -> str:
        """Return the URL of a replica there."""
        return f"s3://{bucket}/{path}?endpoint={self.endpoint}&region={REGION}&forcePathStyle=true"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set_delay_ms(self, ms: float) -> None:
        """Let every request wait that long from now on."""
        self._steer("delay", ms)

    def requests(self) -> list[Request]:
        """Return the requests since the last reset, in the order of their start."""
        return [Request(*entry) for entry in self._steer("log")]

    def settled_requests(self) -> list[Request]:
        """Wait until no request is under way, and return all of them."""
        found: list[Request] = []

        def is_settled() -> bool:
            found[:] = self.requests()
            return all(request.end is not None for request in found)

        wait_until(is_settled, "all requests to be answered", timeout_s=SETTLE_TIMEOUT_S)
        return found

    def reset(self) -> None:
        """Forget the requests so far."""
        self._steer("reset")

    def __enter__(self) -> Self:
        limits = ["--delay-ms", str(self.delay_ms), "--link-mb-s", str(self.link_mb_s)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.static_s3_process", self.root, *limits],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._answer())
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        self._process.communicate(timeout=STOP_TIMEOUT_S)

    def _steer(self, command: str, *arguments: object) -> Any:  # noqa: ANN401 - what the command says
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._answer())

    def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the S3 server ended"
        return line


def link_levels(levels: Path, place: Path) -> None:
    """Show the level directories of a file replica, `levels`, as objects below `place`, files that come later too."""
    place.mkdir(parents=True)
    for level in range(10):
        (levels / str(level)).mkdir(parents=True, exist_ok=True)
        (place / f"{level:04x}").symlink_to(os.path.relpath(levels / str(level), place), target_is_directory=True)


def total_bytes(requests: Iterable[Request]) -> int:
    """Return how many bytes the bodies of the answers had."""
    return sum(request.bytes for request in requests)
