"""Goal: progress shows on a terminal, and nowhere else. Method: a stream that says it is one, and a real terminal."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from litestream.progress import TerminalProgress
from tests.support.small_replica import make_replica


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_that_is_cleared_in_the_end() -> None:
    stream = Terminal()
    with TerminalProgress("restoring app.db", stream) as progress:
        progress(0, 2_000_000)
        progress(500_000, 2_000_000)
    assert stream.getvalue() == (
        "\r\x1b[Krestoring app.db: 0 % of 2.0 MB\r\x1b[Krestoring app.db: 25 % of 2.0 MB\r\x1b[K"
    )


def test_nothing_is_all_of_nothing() -> None:
    stream = Terminal()
    TerminalProgress("restoring app.db", stream)(0, 0)
    assert "100 % of 0 B" in stream.getvalue()


def test_a_file_or_a_pipe_sees_nothing_of_it() -> None:
    stream = io.StringIO()
    with TerminalProgress("restoring app.db", stream) as progress:
        progress(1, 2)
    assert stream.getvalue() == ""


def test_a_restore_on_a_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    url = make_replica(tmp_path / "replica", ["CREATE TABLE item (id INTEGER PRIMARY KEY)"])
    ours, theirs = pty.openpty()
    try:
        arguments = ["restore", "-o", str(tmp_path / "out.db"), url]
        command = [sys.executable, "-m", "litestream", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True, timeout=60)
        shown = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert f"restoring {tmp_path / 'out.db'}: 100 % of" in shown
    assert shown.endswith("\r\x1b[K")
    assert done.stdout.startswith(b"restored ")
