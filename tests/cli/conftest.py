"""A database, a configuration for it, and a replica that fails."""

from pathlib import Path

import pytest

from tests.cli.commands import add_rows, make_database, run, write_config


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return make_database(tmp_path / "app.db")


@pytest.fixture
def config(tmp_path: Path, database: Path) -> Path:
    return write_config(
        tmp_path / "litestream.yml",
        {"path": str(database), "monitor-interval": "20ms", "replica": {"path": str(tmp_path / "backup")}},
    )


@pytest.fixture
def broken(tmp_path: Path, database: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A replica that worked once and fails now: what should be a directory is a file."""
    place = tmp_path / "broken"
    run(capsys, "replicate", "-once", database, f"file://{place}")
    place.rename(tmp_path / "gone")
    place.write_text("no directory")
    add_rows(database, 1)
    return f"file://{place}"
