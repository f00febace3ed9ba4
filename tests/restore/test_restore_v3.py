"""Goal: replicas of Litestream 0.3 are restored too, to what was committed, and never silently to less.

Method: replicas made from a real WAL, over several indexes and generations, beside LTX files or alone; every instant
is restored by the real program and by us, to the same rows; then files are broken or taken away. From files and S3.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import lz4.frame  # type: ignore[import-untyped]
import pytest

import litestream
from replication.client.file import FileReplicaClient
from replication.client.v3 import V3File
from replication.errors import CorruptError, LitestreamError, LTXMissingError, NoSnapshotsError, TxNotAvailableError
from replication.restore import v3
from tests.support import litestream_program
from tests.support.litestream_program import FileReplica, ProgramError
from tests.support.restoring import left_in
from tests.support.s3_server import S3Server
from tests.support.small_replica import make_replica
from tests.support.v3_replica import FIRST, GENERATION, STEP, V3Replica, V3Writer

LATER = datetime(2027, 1, 1, tzinfo=UTC)
LTX_STEPS = ("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO item VALUES (1, 'ltx')")


def write_history(writer: V3Writer, tag: str) -> None:
    """Seven commits: in two WALs after the first snapshot, and in one after the second."""
    writer.snapshot()
    for number in range(3):
        writer.commit(f"INSERT INTO item (name) VALUES ('{tag} {number}')")
    writer.next_index()
    for number in range(3, 5):
        writer.commit(f"INSERT INTO item (name) VALUES ('{tag} {number}')")
    writer.next_index()
    writer.snapshot()
    writer.commit(f"INSERT INTO item (name) VALUES ('{tag} 5')")
    writer.commit("INSERT INTO item SELECT id + 100, hex(randomblob(3000)) FROM item; DELETE FROM item WHERE id < 0")


def make_v3(directory: Path, tag: str = "v3", *, first: datetime = FIRST, generation: str = GENERATION) -> V3Replica:
    replica = V3Replica(directory / "replica")
    with V3Writer(directory / f"{tag}.db", replica, first=first, generation=generation) as writer:
        write_history(writer, tag)
    return replica


def rows(path: Path) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path))
    try:
        return connection.execute("SELECT * FROM item").fetchall()
    finally:
        connection.close()


def restored(url: str, output: Path, timestamp: datetime | None = None) -> list[tuple[object, ...]] | None:
    """What we restore, or None where we refuse."""
    try:
        litestream.restore(url, output, timestamp=timestamp, overwrite=True, integrity_check="full")
    except LitestreamError:
        return None
    assert not [name for name in left_in(output.parent) if name.startswith(f"{output.name}.tmp")]
    return rows(output)


def theirs(replica: V3Replica, output: Path, timestamp: datetime | None = None) -> list[tuple[object, ...]] | None:
    output.unlink(missing_ok=True)
    try:
        litestream_program.restore(FileReplica(replica.root), output, timestamp=timestamp)
    except ProgramError:
        return None
    return rows(output)


@pytest.mark.interop
def test_every_instant_gives_the_rows_the_program_restores(tmp_path: Path) -> None:
    replica = make_v3(tmp_path)
    other = "fedcba9876543210"
    make_v3(tmp_path, "other", first=FIRST + 5 * STEP + timedelta(seconds=10), generation=other)
    compared = 0
    for seconds in range(-30, 15 * 60, 30):
        timestamp = FIRST + timedelta(seconds=seconds)
        expected = theirs(replica, tmp_path / "theirs.out", timestamp)
        found = restored(replica.url, tmp_path / "ours.out", timestamp)
        # The program refuses an instant beyond its newest file, where we give the newest state.
        if expected is not None or timestamp < FIRST:
            assert found == expected, timestamp
            compared += found is not None
    assert compared > 20
    assert restored(replica.url, tmp_path / "ours.out") == theirs(replica, tmp_path / "theirs.out")


@pytest.mark.interop
@pytest.mark.parametrize("first", [FIRST, LATER])
def test_of_two_formats_the_newer_one_is_restored(tmp_path: Path, first: datetime) -> None:
    replica = make_v3(tmp_path, first=first)
    make_replica(replica.root, LTX_STEPS)
    found = restored(replica.url, tmp_path / "ours.out")
    assert found == theirs(replica, tmp_path / "theirs.out")
    assert found is not None
    assert len(found) == (1 if first == FIRST else 12)


def test_an_instant_is_restored_from_the_format_that_was_in_use_then(tmp_path: Path) -> None:
    replica = make_v3(tmp_path)
    url = make_replica(replica.root, LTX_STEPS)
    old = litestream.restore(url, tmp_path / "old.out", timestamp=FIRST + 4.5 * STEP)
    new = litestream.restore(url, tmp_path / "new.out", timestamp="2026-03-01T12:01:30Z")
    assert (old.txid, len(rows(tmp_path / "old.out")), old.files) == (0, 4, 5)
    assert (new.txid, rows(tmp_path / "new.out")) == (2, [(1, "ltx")])
    assert litestream.restore(url, tmp_path / "one.out", txid=1).txid == 1
    with pytest.raises(TxNotAvailableError):
        litestream.restore(url, tmp_path / "before.out", timestamp=FIRST - STEP)


def test_a_txid_is_no_target_for_them(tmp_path: Path) -> None:
    replica = make_v3(tmp_path)
    with pytest.raises(NoSnapshotsError):
        litestream.restore(replica.url, tmp_path / "out", txid=1)


@pytest.mark.parametrize("chunk_size", [1000, 2**22])
def test_the_result_says_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_size: int) -> None:
    monkeypatch.setattr(v3, "CHUNK_SIZE", chunk_size)
    replica = make_v3(tmp_path)
    seen: list[tuple[int, int]] = []
    result = litestream.restore(replica.url, tmp_path / "out", progress=lambda *counts: seen.append(counts))
    used = [data for path, data in replica.keys().items() if "00000002" in path]
    assert (result.files, result.bytes_downloaded) == (len(used), sum(map(len, used))) == (3, seen[-1][0])
    assert result.pages * 4096 == (tmp_path / "out").stat().st_size
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1]
    assert left_in(tmp_path) == ["out", "replica", "v3.db"]


def break_file(replica: V3Replica, name: str, data: bytes | None) -> None:
    path = next(replica.root.rglob(name))
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def file_bytes(replica: V3Replica, name: str) -> bytes:
    return next(replica.root.rglob(name)).read_bytes()


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("00000002_00000000.wal.lz4", "gone", LTXMissingError),
        ("00000002_00000000.wal.lz4", "cut", CorruptError),
        ("00000002_00000000.wal.lz4", "empty", CorruptError),
        ("00000002_00001038.wal.lz4", "noise", CorruptError),
        ("00000002_00001038.wal.lz4", "zeros", CorruptError),
        ("00000002.snapshot.lz4", "cut", CorruptError),
        ("00000002.snapshot.lz4", "zeros", CorruptError),
    ],
)
def test_a_broken_or_missing_file_is_an_error_and_nothing_is_left(
    tmp_path: Path, name: str, change: str, error: type[Exception]
) -> None:
    replica = make_v3(tmp_path)
    good = file_bytes(replica, name)
    changed = {"cut": good[:-9], "empty": b"", "noise": b"noise" * 99, "zeros": lz4.frame.compress(bytes(8192))}
    break_file(replica, name, changed.get(change))
    with pytest.raises(error):
        litestream.restore(replica.url, tmp_path / "out")
    assert left_in(tmp_path) == ["replica", "v3.db"]


def test_a_missing_wal_between_others_is_an_error(tmp_path: Path) -> None:
    replica = make_v3(tmp_path)
    break_file(replica, "00000002.snapshot.lz4", None)
    for path in replica.root.rglob("00000001_*"):
        path.unlink()
    with pytest.raises(LTXMissingError, match="00000001/00000000"):
        litestream.restore(replica.url, tmp_path / "out")


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    replica = make_v3(tmp_path)
    for path in ("generations/x/snapshots/00000000.snapshot.lz4", f"generations/{GENERATION}/wal/00000000.wal.lz4"):
        (replica.root / path).parent.mkdir(parents=True, exist_ok=True)
        (replica.root / path).touch()
    files: list[V3File] = list(FileReplicaClient(replica.root).v3_files.list())
    assert len(files) == 9
    assert sum(file.offset is None for file in files) == 2


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


def test_they_are_restored_from_s3_too(tmp_path: Path, s3_server: S3Server) -> None:
    replica = make_v3(tmp_path)
    s3_server.fill((f"app/{path}", data) for path, data in replica.keys().items())
    s3_server.fail("InternalError", kind="GET", times=2)
    # Objects stored in one go have one time, so the latest snapshot is that of the higher index.
    assert restored(s3_server.url("app"), tmp_path / "s3.out") == restored(replica.url, tmp_path / "file.out")
