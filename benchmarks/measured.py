"""Programs, and what each took: time, processor time and peak memory, as the operating system says when it has ended.

The program is started by a small process, because the peak memory of a program counts that of the process it was
started from.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.systems import PROJECT
from tests.support.litestream_program import environment

STOP_TIMEOUT_S = 60.0

_START = """
import os, signal, sys, time
log = sys.argv[1]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
start = time.perf_counter()
actions = [(os.POSIX_SPAWN_OPEN, fd, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) for fd in (1, 2)]
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=actions, setsigdef=[signal.SIGTERM])
print(pid, flush=True)
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - start, usage.ru_utime, usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program took from its start to its end."""

    seconds: float
    user_s: float
    system_s: float
    peak_mb: float

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


@dataclass(slots=True)
class MeasuredProgram:
    """A program that runs; its output goes to a file, or nowhere. A context manager that kills what is not waited for.

    `wait` for one that ends by itself, `stop` one that does not.
    """

    command: list[str | Path]
    variables: Mapping[str, str]
    log_path: Path = Path(os.devnull)
    pid: int = 0
    _process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, self.log_path, *self.command],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment(), **self.variables},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self.command[0]} did not start"
        self.pid = int(line)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # it ended by itself
                os.kill(self.pid, signal.SIGKILL)
            self._process.communicate()

    def check_running(self) -> None:
        """Fail with the end of its output when the program has ended by itself."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            self.wait(STOP_TIMEOUT_S)
            msg = f"{self.command[0]} ended by itself:\n{self._log_tail()}"
            raise AssertionError(msg) from None

    def stop(self) -> Usage:
        """Ask the program to end, and wait for it."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait(STOP_TIMEOUT_S)

    def wait(self, timeout_s: float | None = None) -> Usage:
        """Wait until the program has ended.

        Raises:
            AssertionError: its exit code was not 0; the message has the end of its output.

        """
        assert self._process is not None
        answer, _ = self._process.communicate(timeout=timeout_s)
        self._process = None
        seconds, user_s, system_s, peak_kib, code = answer.split()
        assert int(code) == 0, f"{self.command[0]} ended with {code}:\n{self._log_tail()}"
        return Usage(float(seconds), float(user_s), float(system_s), int(peak_kib) / 1024)

    def _log_tail(self) -> str:
        return self.log_path.read_text()[-2000:] if self.log_path.is_file() else ""
