"""Goal: the examples do what they say. Method: run each as a user would, on replicas and servers of the tests."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.support import litestream_program
from tests.support.litestream_program import FileReplica, LitestreamProgram, Settings, environment
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, REGION, SECRET_ACCESS_KEY, S3Server
from tests.support.small_replica import make_replica
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parents[1] / "examples"
MAX_LINES = 59
TIMEOUT_S = 60
DEMO_LIMIT_S = 15
STEPS = (
    "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO item VALUES (1, 'apple'), (2, 'bread')",
    "DELETE FROM item WHERE id = 1",
    "INSERT INTO item VALUES (3, 'cheese'); UPDATE item SET name = 'toast' WHERE id = 2",
)
FAST = Settings(monitor_interval="50ms", sync_interval="50ms")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_replica(tmp_path_factory.mktemp("replica"), STEPS)


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]


def run(name: str, *arguments: str, env: dict[str, str] | None = None) -> list[str]:
    """Return the lines that an example prints; it must end well and say nothing else."""
    done = subprocess.run(
        command(name, *arguments), capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=env
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@contextmanager
def growing(directory: Path) -> Iterator[str]:
    """A replica that the real program writes, of a table that gets a row every 20 ms; gives its URL."""
    database, replica = directory / "app.db", FileReplica(directory / "replica")
    connection = apsw.Connection(str(database))
    connection.set_busy_timeout(10_000)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    stopping = threading.Event()

    def write() -> None:
        number = 0
        while not stopping.wait(0.02):
            number += 1
            connection.execute("INSERT INTO item VALUES (?, ?)", (number, f"item {number}"))

    writer = threading.Thread(target=write, name="writer")
    with LitestreamProgram(directory, database, replica, FAST):
        writer.start()
        try:
            wait_until(lambda: any(replica.path.rglob("*.ltx")), "the first file", timeout_s=TIMEOUT_S)
            yield replica.url
        finally:
            stopping.set()
            writer.join()
            connection.close()


@pytest.mark.interop
def test_read_replica_shows_the_replica_move_on(tmp_path: Path) -> None:
    with growing(tmp_path) as url:
        lines = run("read_replica", url, "4")
    txids = [line.split()[1] for line in lines]
    assert len(txids) == 4
    assert txids == sorted(set(txids))
    counts = [json.loads(line.partition("old: ")[2].replace("'", '"'))["item"] for line in lines]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_time_travel_shows_now_then_and_now_again(url: str) -> None:
    assert run("time_travel", url, "SELECT name FROM item", "2026-03-01T12:01:30Z") == [
        "4 states, from 2026-03-01T12:00:00Z to 2026-03-01T12:03:00Z",
        "now:  [('toast',), ('cheese',)]",
        "then: [('apple',), ('bread',)]",
        "that is TXID 0000000000000002 of 2026-03-01T12:01:00Z",
        "now:  [('toast',), ('cheese',)]",
    ]


def test_time_travel_goes_to_the_oldest_state_by_default(url: str) -> None:
    assert "then: [(0,)]" in run("time_travel", url, "SELECT count(*) FROM item")


def test_two_instants_shows_what_came_and_went(url: str) -> None:
    lines = run("two_instants", url, "item", "2026-03-01T12:02:00Z")
    assert lines[:2] == ["from 2026-03-01T12:01:00Z", "to   2026-03-01T12:03:00Z"]
    assert sorted(lines[2:]) == ["+ 2 toast", "+ 3 cheese", "- 1 apple", "- 2 bread"]


def s3_environment(server: S3Server) -> dict[str, str]:
    return {
        **environment(),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_S3": server.endpoint,
    }


def test_s3_reads_a_bucket_with_the_keys_of_the_environment(url: str) -> None:
    root = Path(url.removeprefix("file://"))
    with S3Server() as server:
        files = root.rglob("*.ltx")
        server.fill((f"app/{int(path.parent.name):04x}/{path.name}", path.read_bytes()) for path in files)
        env = s3_environment(server)
        lines = run("s3", DEFAULT_BUCKET, "app", "SELECT * FROM item", env=env)
    assert lines[:2] == ["(2, 'toast')", "(3, 'cheese')"]
    assert "GETs" in lines[2]


@contextmanager
def edge_server(url: str, sql: str) -> Iterator[str]:
    """The server of the example; gives its address."""
    with subprocess.Popen(
        command("edge_server", url, sql, "0"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def get(address: str, path: int) -> tuple[int, Any]:
    """Return the status and the answer of a request."""
    connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        return answer.status, json.load(answer)
    finally:
        connection.close()


@pytest.mark.interop
def test_edge_server_answers_with_rows_as_they_arrive(tmp_path: Path) -> None:
    def arrived(number: int) -> bool:
        return bool(get(address, number)[1]["rows"])

    with growing(tmp_path) as url, edge_server(url, "SELECT * FROM item WHERE id = ?") as address:
        txids = []
        for number in (1, 40, 80):
            wait_until(partial(arrived, number), f"row {number}", timeout_s=TIMEOUT_S)
            _, answer = get(address, number)
            assert answer["rows"] == [[number, f"item {number}"]]
            txids.append(answer["txid"])
    assert txids == sorted(txids)
    assert txids[0] < txids[-1]


def test_edge_server_answers_many_clients_at_once(url: str) -> None:
    with edge_server(url, "SELECT name FROM item WHERE id = ?") as address, ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: get(address, 3), range(40)))
    assert answers == [(200, {"rows": [["cheese"]], "txid": "0000000000000004"})] * 40


def test_edge_server_says_what_it_cannot_answer(url: str) -> None:
    with edge_server(url, "SELECT nothing_such FROM item WHERE id = ?") as address:
        assert get(address, 3) == (503, {"error": "no such column: nothing_such"})


@pytest.mark.interop
def test_replicate_stores_each_event_before_the_next(tmp_path: Path) -> None:
    database, place = tmp_path / "app.db", FileReplica(tmp_path / "replica")
    lines = run("replicate", str(database), place.url, "3")
    assert [line.rpartition(" ")[0] for line in lines] == [f"event {number} is stored at TXID" for number in (1, 2, 3)]
    for number, line in enumerate(lines, 1):
        output = tmp_path / f"{number}.db"
        litestream_program.restore(place, output, txid=int(line.rpartition(" ")[2], 16))
        assert count_events(output) == number
    assert run("read_replica", place.url, "1")[0].endswith("{'event': 3}")


def count_events(database: Path) -> int:
    connection = apsw.Connection(str(database))
    try:
        return int(connection.execute("SELECT count(*) FROM event").get)
    finally:
        connection.close()


@contextmanager
def replicating_to_s3(server: S3Server, database: Path) -> Iterator[Iterator[str]]:
    """The example, and the lines it prints; it is stopped as a service manager does, and must end well."""
    with subprocess.Popen(
        command("replicate_s3", str(database), DEFAULT_BUCKET, "app"),
        stdout=subprocess.PIPE,
        text=True,
        env=s3_environment(server),
    ) as process:
        assert process.stdout is not None
        try:
            yield iter(process.stdout)
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=TIMEOUT_S)
        assert rest.splitlines()[-1] == "all is stored"
        assert process.returncode == 0


@pytest.mark.interop
def test_replicate_s3_restores_the_database_on_a_new_machine_and_goes_on(tmp_path: Path) -> None:
    with S3Server() as server:
        first, second = tmp_path / "first" / "app.db", tmp_path / "second" / "app.db"
        first.parent.mkdir()
        with replicating_to_s3(server, first) as lines:
            assert [next(lines).strip() for _ in range(3)] == [
                "nothing to restore, this is a new database",
                "event 1",
                "event 2",
            ]
        with replicating_to_s3(server, first) as lines:
            assert next(lines).strip() == "the database is here"
            assert next(lines).startswith("event ")
        written = count_events(first)
        with replicating_to_s3(server, second) as lines:
            assert next(lines).startswith("restored TXID ")
            assert next(lines).strip() == f"event {written + 1}"
        env = s3_environment(server)
        assert (
            run("s3", DEFAULT_BUCKET, "app", "SELECT count(*) FROM event", env=env)[0] == f"({count_events(second)},)"
        )


def test_the_demo_ends_well_and_soon() -> None:
    begin = time.monotonic()
    assert run("demo")[-1].endswith("too.")
    assert time.monotonic() - begin < DEMO_LIMIT_S


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    if path.stem != "demo":
        assert len(text.splitlines()) <= MAX_LINES
        assert f"python examples/{path.name}" in text.partition("\n")[0]
