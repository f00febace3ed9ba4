"""Servers that tests start as processes on loopback; where one is not installed the test is skipped, in CI it fails.

`make servers` installs what is no Python package. A server ends with the tests' process, however that ends.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.waiting import wait_until

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
_LOCAL_BIN = Path(__file__).parents[2] / ".servers" / "node_modules" / ".bin"  # where `make servers` puts npm's
_SYSTEM_BIN = "/usr/sbin:/sbin:/usr/local/sbin"  # not on every user's PATH
# The kernel ends the server when its parent does, also when that is killed.
_END_WITH_PARENT = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGTERM); os.execv(sys.argv[1], sys.argv[1:])"
)


def find_server(name: str, hint: str = "make servers installs it") -> str:
    """Return the path of a server's program; without it the test is skipped, and in CI fails."""
    path = os.pathsep.join([str(_LOCAL_BIN), str(Path(sys.executable).parent), os.environ.get("PATH", ""), _SYSTEM_BIN])
    found = shutil.which(name, path=path)
    if found is None:
        reason = f"needs the server {name}: {hint}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Say whether somebody takes connections on a port of loopback."""
    with socket.socket() as connection:
        connection.settimeout(1.0)
        return connection.connect_ex(("127.0.0.1", port)) == 0


class ServerProcess:
    """A program that listens on a port; what it writes goes to `log_path`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        log_path: Path,
        environ: Mapping[str, str] | None = None,
        is_ready: Callable[[], bool] | None = None,
    ) -> None:
        self.port = port
        self._command = command
        self._log_path = log_path
        self._environ = dict(environ or {})
        self._is_ready = is_ready or (lambda: listens(port))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the program; it takes connections when this returns."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _END_WITH_PARENT, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environ},
            )
        wait_until(self._ready, f"{self._command[0]} to listen", timeout_s=START_TIMEOUT_S)

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End the program, so that its port is free when this returns."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal_number)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """Let the program do nothing until it is thawed or killed; its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # a moment later it has stopped

    def thaw(self) -> None:
        """Let the program go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self._command[0]} ended by itself:\n{self._log_path.read_text()}"
        return self._is_ready()
