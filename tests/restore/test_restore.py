"""Goal: a restore gives the very bytes of the database, whole or not at all, from whatever files a plan has.

Method: replicas of noise whose every byte is known, at every TXID, page size, parallelism and piece size; then what an
output may and may not replace; then SQLite's own checks.
"""

import io
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import apsw
import lz4.frame  # type: ignore[import-untyped]
import pytest

import litestream
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.errors import (
    ChecksumMismatchError,
    CorruptError,
    LTXError,
    NoSnapshotsError,
    TxNotAvailableError,
    UnavailableError,
    UsageError,
)
from replication.ltx.header import Header
from replication.ltx.index import PageIndex, encode_page_index
from replication.position import TXID
from replication.restore import assembly, load, target
from tests.support.golden import GOLDEN
from tests.support.ltx_files import forge_file, make_file, make_header
from tests.support.restoring import PageReplica, left_in, lock_page, make_pages, restore_to, sha256
from tests.support.small_replica import make_replica
from tests.support.waiting import wait_until

PAGE_SIZES = [512, 4096, 65536]
SQL = ("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO item VALUES (1, 'apple')")


@pytest.fixture
def replica() -> PageReplica:
    return make_pages()


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_every_txid_is_restored_to_the_byte(tmp_path: Path, page_size: int) -> None:
    replica = make_pages(page_size, pages=120)
    for txid, image in replica.images.items():
        output = tmp_path / f"{txid}.db"
        result = restore_to(replica.client, output, txid=TXID(txid))
        assert output.read_bytes() == image
        assert (result.txid, result.files, result.pages) == (txid, txid, len(image) // page_size)
        # The guess at the size of a large file's tail may reach into its page frames, which are read again.
        assert 0 <= result.bytes_downloaded - sum(info.size for info in replica.infos[:txid]) <= 33_000 * txid


@pytest.mark.parametrize("parallelism", [1, 2, 9])
@pytest.mark.parametrize("held_size", [0, 100_000])
def test_files_in_many_pieces_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallelism: int, held_size: int
) -> None:
    monkeypatch.setattr(assembly.split, "__defaults__", (3 * 512,))
    monkeypatch.setattr(assembly.count_pieces, "__defaults__", (3 * 512,))
    monkeypatch.setattr(load, "HELD_SIZE", held_size)
    monkeypatch.setattr(load, "DEFAULT_ESTIMATED_PAGE_INDEX_SIZE", 64)  # so that tails take a second read
    replica = make_pages()
    result = restore_to(replica.client, tmp_path / "out.db", parallelism=parallelism)
    assert (tmp_path / "out.db").read_bytes() == replica.image()
    assert result.txid == replica.txid


@pytest.mark.parametrize("name", ["leveled-4096", "vacuumed-512", "large-65536"])
def test_files_of_the_real_program_are_restored_as_it_restores_them(tmp_path: Path, name: str) -> None:
    client = MemoryReplicaClient()
    for path in sorted((GOLDEN / name).rglob("*.ltx")):
        first, last = (TXID(int(part, 16)) for part in path.stem.split("-"))
        client.write_ltx_file(int(path.parent.name), first, last, io.BytesIO(path.read_bytes()))
    result = restore_to(client, tmp_path / "out.db", integrity_check="full")
    assert sha256(tmp_path / "out.db") == (GOLDEN / name / "restored.sha256").read_text().split()[0]
    assert result.integrity_check == "full"
    assert left_in(tmp_path) == ["out.db"]


def test_a_file_of_a_higher_level_and_one_that_overlaps_it_agree(tmp_path: Path) -> None:
    replica = PageReplica()
    replica.add(range(1, 41), commit=40)
    replica.add([1, 7], commit=40)
    replica.add([1, 8], commit=40)
    replica.merge(1, 3, level=2)
    replica.add([1, 9], commit=41 - 1)
    restore_to(replica.client, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == replica.image()


def test_a_database_that_tracks_its_checksum_is_held_to_it(tmp_path: Path) -> None:
    replica = PageReplica()
    header = replace(make_header(1, commit=9), flags=0)
    pages = {pgno: replica.noise(pgno, 1) for pgno in range(1, 10)}
    replica.put(header, pages)
    restore_to(replica.client, tmp_path / "good.db")
    assert (tmp_path / "good.db").read_bytes() == replica.image()

    forged = forge_file(header, pages.items(), post_apply_checksum=1 << 63 | 42)
    replica.client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(forged))
    with pytest.raises(ChecksumMismatchError, match="database checksum"):
        restore_to(replica.client, tmp_path / "bad.db")


def test_page_frames_of_older_writers_are_restored(tmp_path: Path) -> None:
    replica = PageReplica()
    pages = {pgno: replica.noise(pgno, 1) for pgno in range(1, 30)}
    frames = [pgno.to_bytes(4, "big") + bytes(2) + lz4.frame.compress(data) for pgno, data in pages.items()]
    data = forge_file(make_header(1, commit=29), pages.items(), frames=frames)
    replica.client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(data))
    restore_to(replica.client, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == b"".join(pages.values())


def test_zero_pages_and_the_lock_page_are_holes_and_the_size_is_right(tmp_path: Path) -> None:
    page_size, last = 65536, lock_page(65536) + 1
    client = MemoryReplicaClient()
    replica = PageReplica(page_size, client)
    first = {pgno: bytes(page_size) for pgno in range(1, last + 1) if pgno != lock_page(page_size)}
    first[1] = first[last] = b"\x01" * page_size
    header = make_header(1, commit=last, page_size=page_size)
    client.write_ltx_file(9, TXID(1), TXID(1), io.BytesIO(make_file(header, first)))
    result = restore_to(replica.client, tmp_path / "out.db")
    found = (tmp_path / "out.db").stat()
    assert found.st_size == last * page_size == result.pages * page_size
    assert found.st_blocks * 512 < 10 * page_size
    with (tmp_path / "out.db").open("rb") as file:
        assert file.read(page_size) == first[1]
        file.seek((lock_page(page_size) - 1) * page_size)
        assert file.read() == bytes(page_size) + first[last]


def test_a_changed_page_size_starts_the_database_anew(tmp_path: Path) -> None:
    replica = PageReplica(512)
    replica.add(range(1, 9), commit=8)
    larger = PageReplica(4096, replica.client)
    larger.txid = 1
    larger.add(range(1, 4), commit=3)
    restore_to(replica.client, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == larger.image()

    larger.page_size = 1024
    larger.add([1, 3], commit=3)
    with pytest.raises(LTXError, match="page size"):
        restore_to(replica.client, tmp_path / "bad.db")
    assert left_in(tmp_path) == ["out.db"]


def test_a_page_that_no_file_holds_is_an_error(tmp_path: Path) -> None:
    replica = PageReplica()
    replica.add(range(1, 9), commit=8)
    replica.add([1, 10], commit=10)
    with pytest.raises(LTXError, match="holds page 9"):
        restore_to(replica.client, tmp_path / "out.db")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"txid": TXID(99)}, TxNotAvailableError),
        ({"txid": TXID(0)}, UsageError),
        ({"parallelism": 0}, UsageError),
        ({"integrity_check": "some"}, UsageError),
    ],
)
def test_what_cannot_be_restored_leaves_nothing_behind(
    tmp_path: Path, replica: PageReplica, given: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        restore_to(replica.client, tmp_path / "deep" / "out.db", **given)
    assert left_in(tmp_path) == []
    with pytest.raises(NoSnapshotsError):
        restore_to(MemoryReplicaClient(), tmp_path / "out.db")
    assert left_in(tmp_path) == []


def test_an_existing_database_is_refused_unless_told_to_overwrite_it(tmp_path: Path, replica: PageReplica) -> None:
    output = tmp_path / "out.db"
    output.write_bytes(b"precious")
    with pytest.raises(UsageError, match="not empty"):
        restore_to(replica.client, output)
    assert output.read_bytes() == b"precious"
    restore_to(replica.client, output, overwrite=True)
    assert output.read_bytes() == replica.image()


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_lies_beside_the_output_is_refused_or_removed(tmp_path: Path, replica: PageReplica, suffix: str) -> None:
    output = tmp_path / "out.db"
    output.with_name("out.db" + suffix).write_bytes(b"of another database")
    with pytest.raises(UsageError, match=suffix):
        restore_to(replica.client, output)
    assert left_in(tmp_path) == ["out.db" + suffix]
    restore_to(replica.client, output, overwrite=True)
    assert left_in(tmp_path) == ["out.db"]


def test_an_empty_file_is_replaced_and_directories_are_made(tmp_path: Path, replica: PageReplica) -> None:
    (tmp_path / "out.db").touch()
    restore_to(replica.client, tmp_path / "out.db")
    restore_to(replica.client, tmp_path / "a" / "b" / "out.db")
    assert sha256(tmp_path / "out.db") == sha256(tmp_path / "a" / "b" / "out.db")


def test_a_directory_is_no_output_even_with_overwrite(tmp_path: Path, replica: PageReplica) -> None:
    with pytest.raises(UsageError, match="directory"):
        restore_to(replica.client, tmp_path, overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"out\.db"):
        restore_to(replica.client, tmp_path / "file" / "out.db")


def test_two_restores_of_one_output_do_not_mix(tmp_path: Path, replica: PageReplica) -> None:
    output = tmp_path / "out.db"
    with target.OutputFile(output), pytest.raises(UsageError, match="another restore"):
        restore_to(replica.client, output)
    assert left_in(tmp_path) == []
    restore_to(replica.client, output)


def test_a_file_with_a_failing_check_does_not_appear_and_the_report_is_told(tmp_path: Path) -> None:
    url = make_replica(tmp_path / "replica", SQL)
    client = FileReplicaClient(tmp_path / "replica")
    litestream.restore(url, tmp_path / "good.db", integrity_check="full")
    image = bytearray((tmp_path / "good.db").read_bytes())
    image[4096 : 4096 + 8] = b"\x0d\x00\x00\xff\xff\x00\x00\x00"  # the table's root page: more cells than fit
    replica = PageReplica(4096, client, txid=2)
    header = make_header(3, commit=2, page_size=4096)
    replica.put(header, {2: bytes(image[4096:])})
    with pytest.raises(CorruptError, match="quick_check"):
        restore_to(client, tmp_path / "out.db", integrity_check="quick")
    with pytest.raises(CorruptError, match="integrity_check"):
        restore_to(client, tmp_path / "out.db", integrity_check="full")
    assert left_in(tmp_path) == ["good.db", "replica"]
    restore_to(client, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == bytes(image)


def test_what_is_no_database_fails_the_check(tmp_path: Path, replica: PageReplica) -> None:
    with pytest.raises(CorruptError, match="not a database"):
        restore_to(replica.client, tmp_path / "out.db", integrity_check="quick")
    assert left_in(tmp_path) == []


def test_a_wal_mode_database_passes_its_check_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    source = apsw.Connection(str(tmp_path / "source?#%.db"))
    source.execute("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)").fetchall()
    source.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    source.close()
    image = (tmp_path / "source?#%.db").read_bytes()
    assert image[18:20] == b"\x02\x02"
    replica = PageReplica(4096)
    pages = {number + 1: image[number * 4096 : (number + 1) * 4096] for number in range(len(image) // 4096)}
    replica.put(make_header(1, commit=len(pages), page_size=4096), pages)
    (tmp_path / "to ?#%").mkdir()
    restore_to(replica.client, tmp_path / "to ?#%" / "out?%23.db", integrity_check="full")
    assert left_in(tmp_path / "to ?#%") == ["out?%23.db"]


def test_progress_rises_from_nothing_to_all(tmp_path: Path, replica: PageReplica) -> None:
    seen: list[tuple[int, int]] = []
    restore_to(replica.client, tmp_path / "out.db", progress=lambda done, total: seen.append((done, total)))
    total = sum(info.size for info in replica.infos)
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def test_what_progress_raises_ends_the_restore(tmp_path: Path, replica: PageReplica) -> None:
    def stop(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_to(replica.client, tmp_path / "out.db", progress=stop)
    assert left_in(tmp_path) == []


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_grow_is_one_clear_error(tmp_path: Path, replica: PageReplica) -> None:
    with file_size_limit(20_000), pytest.raises(UnavailableError, match=r"cannot write .*out\.db: File too large"):
        restore_to(replica.client, tmp_path / "out.db")
    assert left_in(tmp_path) == []


def test_a_full_disk_is_one_clear_error(tmp_path: Path, replica: PageReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(target, "_pwrite", full)
    with pytest.raises(UnavailableError, match="no space left"):
        restore_to(replica.client, tmp_path / "out.db")
    assert left_in(tmp_path) == []


def test_short_writes_are_gone_on_with(tmp_path: Path, replica: PageReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_pwrite", lambda number, data, offset: os.pwrite(number, data[:100], offset))
    restore_to(replica.client, tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == replica.image()


_SLOW_RESTORE = """
import signal, sys, time, litestream
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
def wait(done, total):
    print(done, flush=True)
    time.sleep(60)
litestream.restore(sys.argv[1], sys.argv[2], progress=wait)
"""


@pytest.mark.parametrize(("sent", "left"), [(signal.SIGKILL, ["out.db.tmp", "replica"]), (signal.SIGINT, ["replica"])])
def test_a_restore_ended_halfway_leaves_no_output_and_the_next_one_works(
    tmp_path: Path, sent: signal.Signals, left: list[str]
) -> None:
    url = make_replica(tmp_path / "replica", SQL)
    with subprocess.Popen(
        [sys.executable, "-c", _SLOW_RESTORE, url, str(tmp_path / "out.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        process.send_signal(sent)
        process.wait(20)
    assert left_in(tmp_path) == left
    litestream.restore(url, tmp_path / "out.db")
    assert left_in(tmp_path) == ["out.db", "replica"]


def test_no_thread_stays_behind(tmp_path: Path, replica: PageReplica) -> None:
    restore_to(replica.client, tmp_path / "out.db")
    wait_until(
        lambda: not any(thread.name.startswith("litestream-restore") for thread in threading.enumerate()),
        "the end of the threads",
        timeout_s=5,
    )


def test_a_snapshot_without_a_page_is_refused(tmp_path: Path) -> None:
    replica = PageReplica()
    header: Header = make_header(1, commit=4)
    forged = forge_file(header, [(pgno, replica.noise(pgno, 1)) for pgno in (1, 2, 4)])
    replica.client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(forged))
    with pytest.raises(LTXError, match="snapshot of 4 pages"):
        restore_to(replica.client, tmp_path / "out.db")


def test_a_page_index_that_says_other_places_is_refused(tmp_path: Path) -> None:
    replica = PageReplica()
    pages = [(pgno, replica.noise(1, pgno)) for pgno in (1, 2, 3)]
    good = forge_file(make_header(1, commit=3), pages)
    index = PageIndex.of([1, 2, 3], [100, 200, 300, len(good) - 24 - 16])
    end = good.index(bytes(6), 100)
    index = PageIndex.of([1, 2, 3], [100, 300, 500, end]) if end > 600 else index
    forged = forge_file(make_header(1, commit=3), pages, index=encode_page_index(index))
    replica.client.write_ltx_file(0, TXID(1), TXID(1), io.BytesIO(forged))
    with pytest.raises(LTXError):
        restore_to(replica.client, tmp_path / "out.db")


def test_the_front_door_reads_text(tmp_path: Path) -> None:
    url = make_replica(tmp_path / "replica", SQL)
    result = litestream.restore(url, str(tmp_path / "a.db"), txid="1")
    assert (result.txid, result.output, result.integrity_check) == (1, tmp_path / "a.db", "quick")
    assert litestream.restore(url, tmp_path / "b.db", timestamp="2026-03-01T12:01:00Z").txid == 1
    assert litestream.restore(url, tmp_path / "c.db", timestamp="2026-03-01T14:01:00.000000001+02:00").txid == 1
    for timestamp in ("2026-03-01T12:01:00", "yesterday"):
        with pytest.raises(UsageError, match="zone"):
            litestream.restore(url, tmp_path / "d.db", timestamp=timestamp)
    with pytest.raises(UsageError, match="both"):
        litestream.restore(url, tmp_path / "d.db", txid=1, timestamp="2026-03-01T12:01:00Z")
