"""Replicas in a directory: layout, what a failing disk leaves, errors with their path."""

import errno
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from replication.client.file import LEFTOVER_AGE_S, FileReplicaClient
from replication.errors import DeniedError, LTXMissingError, UnavailableError, UsageError
from replication.position import TXID
from tests.client.ltx_bytes import TIMESTAMP_MS, WatchedReader, ltx_bytes, names, write
from tests.support.primary import StepClock

NAME = "0000000000000001-000000000000002a.ltx"


@pytest.fixture
def client(tmp_path: Path) -> FileReplicaClient:
    return FileReplicaClient(tmp_path / "replica")


def test_a_file_lies_where_the_go_program_looks_for_it(client: FileReplicaClient) -> None:
    write(client, 9, 1, 42)
    path = client.path / "ltx" / "9" / NAME
    assert path.stat().st_mtime_ns == TIMESTAMP_MS * 1_000_000
    assert os.listdir(path.parent) == [NAME]  # noqa: PTH208 - the names are the point


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENOSPC, UnavailableError, "no space left"),
        (errno.EDQUOT, UnavailableError, "no space left"),
        (errno.EIO, UnavailableError, "Input/output error"),
        (errno.EACCES, DeniedError, "no permission"),
        (errno.EROFS, UnavailableError, "Read-only"),
    ],
)
def test_a_disk_that_refuses_leaves_nothing_and_says_where(
    client: FileReplicaClient, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception], text: str
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    client.path.joinpath("ltx", "0").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(kind, match=text) as raised:
        write(client, 0, 1)
    assert str(client.path) in str(raised.value) or number == errno.EACCES
    assert list(client.path.joinpath("ltx", "0").iterdir()) == []


def test_what_killed_writers_left_is_deleted_by_the_next_write_once_it_is_old(tmp_path: Path) -> None:
    directory = tmp_path / "ltx" / "0"
    directory.mkdir(parents=True)
    kept = ["notes.tmp", f"{NAME}.tmp.txt", f"{NAME}.part.tmp"]
    for name in (f"{NAME}.tmp", f"{NAME}.4711-3.tmp", *kept):
        (directory / name).write_bytes(b"half")
        os.utime(directory / name, (0, 0))  # as a writer does that is almost done: not what the age is counted from
    write(FileReplicaClient(tmp_path), 0, 1, 42)
    assert len(list(directory.iterdir())) == 6
    later = StepClock(datetime.now(UTC) + timedelta(seconds=LEFTOVER_AGE_S + 1))
    client = FileReplicaClient(tmp_path, clock=later)
    write(client, 0, 43)
    left = sorted(path.name for path in directory.iterdir())
    assert left == sorted([NAME, "000000000000002b-000000000000002b.ltx", *kept])
    (directory / f"{NAME}.1-1.tmp").write_bytes(b"half")
    write(client, 0, 44)  # looks no second time
    assert (directory / f"{NAME}.1-1.tmp").exists()


def test_a_file_that_was_deleted_while_it_was_written_can_be_written_again(client: FileReplicaClient) -> None:
    def delete(_size: int) -> None:
        for path in client.path.rglob("*.tmp"):
            path.unlink()

    with pytest.raises(UnavailableError):
        client.write_ltx_file(0, TXID(1), TXID(1), WatchedReader(ltx_bytes(1, 1), delete))
    write(client, 0, 1)
    assert names(client, 0) == [(1, 1)]


def test_everything_is_synced_before_it_is_named(client: FileReplicaClient, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink()}".replace(str(client.path.parent), ""))
        sync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write(client, 0, 1, 42)
    assert steps[:3] == ["sync ", "sync /replica", "sync /replica/ltx"]
    assert steps[3].startswith(f"sync /replica/ltx/0/{NAME}.")
    assert steps[4:] == ["rename", "sync /replica/ltx/0"]


def test_an_unfinished_file_of_a_dead_writer_is_not_listed(client: FileReplicaClient) -> None:
    write(client, 0, 1)
    client.path.joinpath("ltx", "0", "0000000000000002-0000000000000002.ltx.4711-1.tmp").write_bytes(b"half")
    assert names(client, 0) == [(1, 1)]


def test_a_source_that_breaks_leaves_no_file_behind(client: FileReplicaClient) -> None:
    def break_off(_position: int) -> None:
        if _position > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.write_ltx_file(0, TXID(1), TXID(1), WatchedReader(ltx_bytes(1, 1), break_off))
    assert list(client.path.joinpath("ltx", "0").iterdir()) == []


def test_an_open_file_outlives_its_deletion(client: FileReplicaClient) -> None:
    data = ltx_bytes(1, 1, size=3 * 2**20)
    info = write(client, 0, 1, data=data)
    with client.open_ltx_file(0, TXID(1), TXID(1)) as whole, client.open_ltx_file(0, TXID(1), TXID(1), 5) as part:
        client.delete_all()
        assert whole.read() == data
        assert part.read() == data[5:]
    with pytest.raises(LTXMissingError, match=r"0000000000000001-0000000000000001\.ltx"):
        client.read_ltx(info)


def test_the_same_bytes_written_again_are_another_file(client: FileReplicaClient) -> None:
    old, new = write(client, 0, 1), write(client, 0, 1)
    assert old.identity != new.identity


def test_delete_all_leaves_what_stands_beside_the_files(client: FileReplicaClient) -> None:
    write(client, 0, 1)
    beside = client.path / "notes.txt"
    beside.write_text("mine")
    client.delete_all()
    assert list(client.path.iterdir()) == [beside]


def test_a_file_in_place_of_the_directory_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="expected a directory"):
        FileReplicaClient(path).init()
    with pytest.raises(UnavailableError, match="File exists"):
        write(FileReplicaClient(path), 0, 1)
    with pytest.raises(UsageError):
        FileReplicaClient("")


def test_the_repr_says_whether_the_directory_is_there(client: FileReplicaClient) -> None:
    assert repr(client) == f"<FileReplicaClient {client.path} missing>"
    client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(ltx_bytes(1, 1)))
    assert repr(client) == f"<FileReplicaClient {client.path}>"
