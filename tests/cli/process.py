"""Our `replicate` as a process of its own, whose log is read, and which gets signals."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30.0
READY = 'msg="replicating to"'

# SIGINT is ignored in what a shell started in the background, and so in its children, unless somebody says otherwise.
_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.{sigint})
from litestream.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Replicating:
    """The process; as a context manager it is killed in the end, if it is still there."""

    def __init__(self, log: Path, *arguments: str | Path, ignore_sigint: bool = False) -> None:
        """Start it."""
        self.log = log
        code = _START.format(sigint="SIG_IGN" if ignore_sigint else "default_int_handler")
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, "replicate", *map(str, arguments)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def written(self) -> str:
        """The log so far."""
        return self.log.read_text()

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until the log has a text, that often."""
        try:
            wait_until(
                lambda: self.written().count(text) >= count or not self.is_running,
                f"{text!r} in the log",
                timeout_s=TIMEOUT_S,
            )
            assert self.written().count(text) >= count, f"ended without {text!r}"
        except AssertionError as error:
            error.add_note(self.written())
            raise

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        return self._process.wait(TIMEOUT_S)

    def stop(self) -> int:
        """Ask it to end as a service manager does, and return the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()
