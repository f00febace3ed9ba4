"""Goal: what `benchmarks.compare` measures with is right. Method: its server, its huge database and its estimates."""

import heapq
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import obstore
import pytest
from obstore.store import S3Store

from benchmarks.compare import huge, units
from benchmarks.compare.database import FIRST_FILE
from benchmarks.compare.plain import in_bucket
from benchmarks.compare.run import Run, Traffic, extrapolated
from benchmarks.link import LATE_S, PIECE_SIZE, Link
from benchmarks.static_s3 import StaticS3, total_bytes
from replication.client.file import FileReplicaClient
from tests.support.restoring import restore_to
from tests.support.s3_server import sequential_depth

DELAY_MS = 20.0
LINK_BYTES_S = 100e6


class Clock:
    """A clock that stands until somebody sleeps, and wakes sleepers late."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.late_s = late_s

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds + self.late_s


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StaticS3]:
    for number in range(3):
        for level in ("0000", "0001"):
            path = tmp_path / "bucket" / "app" / level / f"{number}.ltx"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes([number]) * 1000)
    (tmp_path / "bucket" / "app" / "0000" / "3.ltx.tmp").write_bytes(b"being written")
    with StaticS3(tmp_path, DELAY_MS) as running:
        yield running


@pytest.fixture
def store(server: StaticS3) -> S3Store:
    return in_bucket(server.endpoint, "bucket")


def test_the_server_lists_what_comes_after_a_key(store: S3Store) -> None:
    found = [entry["path"] for entry in obstore.list(store, "app/0000", offset="app/0000/0.ltx").collect()]
    assert found == ["app/0000/1.ltx", "app/0000/2.ltx"]


def test_the_server_lists_what_keys_have_in_common(store: S3Store) -> None:
    assert obstore.list_with_delimiter(store, "app")["common_prefixes"] == ["app/0000", "app/0001"]


def test_the_server_answers_ranges_and_tells_of_what_is_not_there(store: S3Store) -> None:
    assert obstore.get_range(store, "app/0001/2.ltx", start=990, end=2000) == b"\2" * 10
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "app/0001/3.ltx")


def test_the_server_counts_delays_and_what_came_one_after_the_other(server: StaticS3, store: S3Store) -> None:
    server.reset()
    for number in range(3):
        obstore.get(store, f"app/0000/{number}.ltx").bytes()
    obstore.head(store, "app/0000/0.ltx")
    found = server.settled_requests()
    assert [request.kind for request in found] == ["GET", "GET", "GET", "HEAD"]
    assert total_bytes(found) == 3000
    assert sequential_depth(found) == 4
    assert all(request.end and request.end - request.start >= DELAY_MS / 1000 for request in found)


def test_bodies_share_the_bytes_per_second_of_a_link_in_turns() -> None:
    clock = Clock()
    link = Link(LINK_BYTES_S, clock.now, clock.sleep)
    waiting = [(link.announce(PIECE_SIZE), body) for body in range(16)]  # when its piece is through, and the body
    begun, instants, turns = clock.now_s, list[float](), list[int]()
    for _ in range(16 * 10):
        through, body = heapq.heappop(waiting)
        clock.now_s = max(clock.now_s, through + LATE_S / 2)  # all wake late, which costs the link nothing
        instants.append(through)
        turns.append(body)
        heapq.heappush(waiting, (link.announce(PIECE_SIZE, through), body))
    assert turns == list(range(16)) * 10
    assert instants == pytest.approx([begun + n * PIECE_SIZE / LINK_BYTES_S for n in range(1, 161)])


def test_a_body_alone_has_the_speed_of_the_link_though_each_sleep_is_late() -> None:
    clock = Clock(late_s=LATE_S / 2)
    link = Link(LINK_BYTES_S, clock.now, clock.sleep)
    begun, through = clock.now_s, link.carry(PIECE_SIZE)
    for _ in range(99):
        through = link.carry(PIECE_SIZE, through)
    assert through - begun == pytest.approx(100 * PIECE_SIZE / LINK_BYTES_S)


def test_a_link_saves_up_nothing_while_it_is_idle_or_the_other_side_does_not_read() -> None:
    clock = Clock()
    link = Link(LINK_BYTES_S, clock.now, clock.sleep)
    through = link.carry(PIECE_SIZE)
    clock.now_s += 5.0
    assert link.announce(PIECE_SIZE, through) == pytest.approx(clock.now_s - LATE_S + PIECE_SIZE / LINK_BYTES_S)
    clock.now_s += 5.0
    assert link.carry(PIECE_SIZE) == pytest.approx(clock.now_s)
    assert clock.now_s == pytest.approx(1010.0 + 2 * PIECE_SIZE / LINK_BYTES_S)


def test_a_link_without_a_limit_takes_a_body_whole_and_at_once() -> None:
    clock = Clock()
    link = Link(0.0, clock.now, clock.sleep)
    assert link.piece_size(10 * PIECE_SIZE) == 10 * PIECE_SIZE
    assert link.carry(10 * PIECE_SIZE) == clock.now_s == 1000.0
    assert Link(LINK_BYTES_S).piece_size(10 * PIECE_SIZE) == PIECE_SIZE


@pytest.mark.parametrize("size", [PIECE_SIZE, 6 * PIECE_SIZE + 1], ids=["with the head", "in pieces"])
def test_what_the_server_sends_goes_through_its_link(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "file").write_bytes(data[:size])
    with StaticS3(tmp_path, 0.0, link_mb_s=1.0) as server:
        begun = time.monotonic()
        assert obstore.get(in_bucket(server.endpoint, "bucket"), "file").bytes() == data[:size]
        assert time.monotonic() - begun >= size / 1e6


def test_the_huge_database_is_one_that_sqlite_finds_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge, "FANOUT", 20)  # so that there are interior pages between the root and the lowest
    rows = 2800
    path = tmp_path / "replica" / "ltx" / "9" / FIRST_FILE
    path.parent.mkdir(parents=True)
    huge.write_snapshot(path, rows)
    restore_to(FileReplicaClient(tmp_path / "replica"), tmp_path / "app.db")
    connection = apsw.Connection(str(tmp_path / "app.db"))
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    assert connection.execute("SELECT count(*), sum(length(body)) FROM item").get == (rows, rows * huge.BODY_SIZE)
    connection.close()


def test_a_query_that_was_ended_takes_as_much_longer_as_it_has_requests_left() -> None:
    def run(requests: int, seconds: float, *, is_estimate: bool) -> Run:
        traffic = Traffic(requests, requests * 4096, requests)
        return Run(
            open_s=1.0, open=traffic, query_s=seconds, query=traffic, later=Traffic(0, 0, 0), is_estimate=is_estimate
        )

    found = extrapolated(run(100, 2.0, is_estimate=True), run(1200, 0.5, is_estimate=False))
    assert (found.query_s, found.query.requests, found.is_estimate) == (24.0, 1200, True)


def test_numbers_have_two_or_three_digits() -> None:
    assert [units.seconds(value) for value in (0.0031, 0.0587, 1.309, 318.8)] == [
        "3.1 ms",
        "59 ms",
        "1.31 s",
        "5 min 19 s",
    ]
    assert [units.size(value) for value in (7138, 646844, 37795932)] == ["7.1 kB", "647 kB", "37.8 MB"]
    assert list(units.decades([0.03, 250.0])) == [-2, -1, 0, 1, 2, 3]
