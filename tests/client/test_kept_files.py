"""Whole files are fetched once by all who want them, and kept up to a bound."""

import threading
from pathlib import Path

import pytest

from replication.client.kept_files import MAX_MEMORY_SIZE, SMALL_FILE_SIZE, Fetch, KeptFiles
from replication.errors import LTXMissingError, UnavailableError

LARGE = SMALL_FILE_SIZE + 1


def content(size: int, seed: int = 1) -> bytes:
    return (bytes(range(seed, seed + 100)) * (size // 100 + 1))[:size]


def fetch_of(data: bytes, calls: list[int] | None = None) -> Fetch:
    def fetch(write: object) -> None:
        assert callable(write)
        if calls is not None:
            calls.append(len(data))
        for start in range(0, len(data), 70_000):
            write(data[start : start + 70_000])

    return fetch


@pytest.mark.parametrize("size", [0, 1, 100_000, SMALL_FILE_SIZE, LARGE, 3 * LARGE])
def test_any_range_is_read_of_what_was_fetched_once(size: int) -> None:
    files, calls, data = KeptFiles(), list[int](), content(size)
    for _ in range(3):
        kept = files.fetch("a", size, fetch_of(data, calls))
    assert calls == [size]
    assert kept.size == size
    for start, end in [(0, size), (10, 20), (size - 1, size + 10), (size, size + 1), (5, 5)]:
        if start >= 0:
            assert kept.read(start, end) == data[start:end]
    assert files.get("a") is kept
    assert files.get("b") is None
    assert files.memory_size + files.disk_size == size


def test_what_was_not_read_for_longest_goes_first_and_stays_readable() -> None:
    files = KeptFiles(keep_size=3 * LARGE)
    first = files.fetch("a", LARGE, fetch_of(content(LARGE)))
    for name in "bc":
        files.fetch(name, LARGE, fetch_of(content(LARGE)))
    assert files.get("a") is first
    files.fetch("d", LARGE, fetch_of(content(LARGE)))
    assert [name for name in "abcd" if files.get(name)] == ["a", "c", "d"]
    assert files.disk_size == 3 * LARGE
    files.clear()
    assert files.disk_size == 0
    assert first.read(0, LARGE) == content(LARGE)


def test_memory_is_bounded_too() -> None:
    files = KeptFiles()
    for number in range(40):
        files.fetch(str(number), SMALL_FILE_SIZE, fetch_of(content(SMALL_FILE_SIZE)))
    assert files.memory_size == MAX_MEMORY_SIZE
    assert files.disk_size == 0


def test_one_file_larger_than_the_bound_is_kept_beside_the_others() -> None:
    files, calls = KeptFiles(keep_size=2 * LARGE), list[int]()
    for _ in range(3):
        files.fetch("large", 5 * LARGE, fetch_of(content(5 * LARGE), calls))
        files.fetch("a", LARGE, fetch_of(content(LARGE), calls))
    assert calls == [5 * LARGE, LARGE]
    files.fetch("larger", 6 * LARGE, fetch_of(content(6 * LARGE), calls))
    assert files.get("large") is None
    assert files.disk_size == 7 * LARGE


def test_those_who_want_the_same_file_at_once_wait_for_one_fetch() -> None:
    files, calls, go_on = KeptFiles(), list[int](), threading.Event()
    results: list[object] = []

    def slow(write: object) -> None:
        assert callable(write)
        calls.append(1)
        assert go_on.wait(20)
        write(b"data")

    def want() -> None:
        results.append(files.fetch("a", 4, slow).read(0, 4))

    threads = [threading.Thread(target=want) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert files.fetch("b", 1, fetch_of(b"b")).read(0, 1) == b"b"  # others need not wait
    go_on.set()
    for thread in threads:
        thread.join()
    assert (results, calls) == ([b"data"] * 5, [1])


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_fetch_that_failed_is_made_again(size: int) -> None:
    files = KeptFiles()

    def fail(write: object) -> None:
        assert callable(write)
        write(b"half")
        msg = "gone"
        raise LTXMissingError(msg)

    for _ in range(2):
        with pytest.raises(LTXMissingError, match="gone"):
            files.fetch("a", size, fail)
    assert files.fetch("a", size, fetch_of(content(size))).size == size


def test_nothing_lies_in_the_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = KeptFiles().fetch("a", LARGE, fetch_of(content(LARGE)))
    assert list(tmp_path.iterdir()) == []
    assert kept.read(0, 10) == content(10)


def test_without_a_place_for_temporary_files_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    with pytest.raises(UnavailableError, match="no place to keep a file in /nowhere/at/all: No such file"):
        KeptFiles().fetch("a", LARGE, fetch_of(content(LARGE)))
