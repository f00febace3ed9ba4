"""Run commands of ours in this process, and write configurations that both programs read."""

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from litestream.cli import main
from tests.support import litestream_program as program


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return what a command writes; it must end well, and write nothing to standard error."""
    code = main([*map(str, arguments)])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    return captured.out


def fail(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one line that a command fails with."""
    code = main([*map(str, arguments)])
    captured = capsys.readouterr()
    assert code == 1
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("Error: ")
    return captured.err.removeprefix("Error: ").rstrip("\n")


def write_config(path: Path, *dbs: dict[str, Any], **settings: object) -> Path:
    """Write a configuration; JSON is YAML."""
    path.write_text(json.dumps({**settings, "dbs": dbs}, indent=1))
    return path


def make_database(path: Path, rows: int = 3) -> Path:
    """Make a database in WAL mode, whose table `item` has that many rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    connection.close()
    add_rows(path, rows)
    return path


def add_rows(path: Path, rows: int) -> None:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(10_000)
    with connection:
        for _ in range(rows):
            connection.execute("INSERT INTO item (name) VALUES (hex(randomblob(20)))")
    connection.close()


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """The rows of `item`, read by a connection that is closed again."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(connection.execute("SELECT * FROM item ORDER BY id"))
    finally:
        connection.close()


def restored(replica: str | program.ReplicaPlace, directory: Path) -> list[tuple[object, ...]]:
    """The rows that the Go program restores."""
    output = directory / "restored.db"
    for suffix in ("", "-wal", "-shm"):
        Path(f"{output}{suffix}").unlink(missing_ok=True)
    program.restore(replica, output, integrity_check="full")
    return rows_of(output)


def txids(capsys: pytest.CaptureFixture[str], replica: Path) -> list[int]:
    listed = json.loads(run(capsys, "ltx", "-json", f"file://{replica}"))
    return [int(file["max_txid"], 16) for file in listed]


def fail_after_log(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one line of standard error that a command fails with, after its log on standard output."""
    assert main([*map(str, arguments)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("Error: ")
