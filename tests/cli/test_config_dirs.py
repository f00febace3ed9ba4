"""Goal: the databases of a directory are found, and each has a place of its own. Method: files that look like some."""

from pathlib import Path

import pytest

from litestream.config_db import DirConfig
from replication.errors import UsageError
from tests.cli.parsing import fail, only_db, only_replica, parse


def make_database(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"SQLite format 3\0" + bytes(84))


def test_databases_of_a_directory_are_found_by_pattern_and_content(tmp_path: Path) -> None:
    for name in ("b.db", "a.db", "sub/c.db", "d.sqlite"):
        make_database(tmp_path / name)
    (tmp_path / "text.db").write_text("no database")
    (tmp_path / "dir.db").mkdir()
    text = f"dbs:\n  - {{dir: {tmp_path}, pattern: '*.db', replica: {{path: /backup}}"
    flat, deep = parse(text + "}").databases(), parse(text + ", recursive: true}").databases()
    assert [db.path.name for db in flat] == ["a.db", "b.db"]
    assert [db.path for db in deep] == [tmp_path / "a.db", tmp_path / "b.db", tmp_path / "sub/c.db"]
    assert [db.replicas[0].url.path for db in deep] == ["/backup/a.db", "/backup/b.db", "/backup/sub/c.db"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("[^a].db", ["b.db"]), ("[ab].db", ["a.db", "b.db"]), ("?.db", ["a.db", "b.db"]), (r"\a.db", ["a.db"])],
)
def test_patterns_are_those_of_go(tmp_path: Path, pattern: str, names: list[str]) -> None:
    make_database(tmp_path / "a.db")
    make_database(tmp_path / "b.db")
    config = parse(f"dbs:\n  - {{dir: {tmp_path}, pattern: '{pattern}', replica: {{path: /backup}}}}")
    assert [db.path.name for db in config.databases()] == names


def test_each_database_of_a_directory_has_a_local_state_of_its_own(tmp_path: Path) -> None:
    make_database(tmp_path / "sub/c.db")
    text = f"dbs:\n  - {{dir: {tmp_path}, pattern: '*.db', recursive: true, replica: {{url: 's3://b/p'}}, "
    assert only_db(text + "meta-path: /meta}").meta_path == Path("/meta/sub/.c.db-litestream")
    assert only_db(text + "meta-dir: /meta}").meta_path == Path("/meta/sub/c.db-litestream")
    assert only_db(text + "}").meta_path is None
    assert only_replica(text + "}").url.path == "p/sub/c.db"


def test_a_directory_without_a_database_is_an_error(tmp_path: Path) -> None:
    message = fail(f"dbs:\n  - {{dir: {tmp_path}, pattern: '*.db', replica: {{path: /backup}}}}")
    assert message == f"line 2: dbs[0].dir: expected SQLite databases *.db in {tmp_path}, found none"


def test_a_database_of_a_directory_need_not_be_there_to_be_named(tmp_path: Path) -> None:
    text = f"dbs:\n  - {{dir: {tmp_path}, pattern: '*.db', replica: {{path: /backup}}}}"
    config = parse(text)
    assert isinstance(config.entries[0], DirConfig)
    found = config.database(str(tmp_path / "lost.db"))
    assert found.replicas[0].url.path == "/backup/lost.db"
    for other in ("lost.sqlite", "sub/lost.db"):
        with pytest.raises(UsageError, match="database not found in config"):
            config.database(str(tmp_path / other))
