"""Tests on a small disk, that can be full: a tmpfs which only the test's own process sees.

    @on_small_disk
    def test_something(disk: SmallDisk, roomy: Path) -> None:
        disk.fill(leave=8192)
        ...                     # writes below disk.path fail with ENOSPC
        disk.free()

The test runs in a process of its own, in a mount namespace made by `unshare`, for which root or a user namespace is
needed. Where neither can be had the test is skipped, except in CI, where it fails.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

SIZE = 4 * 2**20
TIMEOUT_S = 120.0
PROJECT = Path(__file__).resolve().parents[2]
_WAYS = (("unshare", "--mount"), ("unshare", "--mount", "--map-root-user"))
_MOUNT = ("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs")
_FILLER = "filler"


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """The disk; it holds `SIZE` bytes."""

    path: Path

    def fill(self, *, leave: int = 0) -> None:
        """Use up all the space there is, but so many bytes."""
        found = os.statvfs(self.path)
        with (self.path / _FILLER).open("ab") as file:
            file.write(bytes(max(0, found.f_bavail * found.f_frsize - leave)))

    def free(self) -> None:
        """Give the space back."""
        (self.path / _FILLER).unlink()


Body = Callable[[SmallDisk, Path], None]
_BODIES: dict[str, Body] = {}


def on_small_disk(body: Body) -> Callable[[Path], None]:
    """Make a test of a function that takes a small disk and an empty directory on another one."""
    _BODIES[body.__name__] = body

    def test(tmp_path: Path) -> None:
        done = subprocess.run(
            [*_unshare(), sys.executable, "-m", "tests.support.small_disk", body.__module__, body.__name__, tmp_path],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, done.stderr

    test.__name__ = body.__name__
    return test


@cache
def _unshare() -> tuple[str, ...]:
    """Return how to start a process that may mount."""
    with tempfile.TemporaryDirectory() as directory:
        for way in _WAYS:
            try:
                done = subprocess.run([*way, *_MOUNT, directory], capture_output=True, check=False)
            except FileNotFoundError:
                break
            if done.returncode == 0:
                return way
    reason = "needs unshare, and the right to mount a tmpfs in a namespace"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def main(module: str, name: str, directory: str) -> None:
    small, roomy = Path(directory, "small"), Path(directory, "roomy")
    small.mkdir()
    roomy.mkdir()
    subprocess.run([*_MOUNT, small], check=True)
    import_module(module)
    # This module is another one than the test's: it runs as __main__.
    import_module("tests.support.small_disk")._BODIES[name](SmallDisk(small), roomy)


if __name__ == "__main__":
    main(*sys.argv[1:])
