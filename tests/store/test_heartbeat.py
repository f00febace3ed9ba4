"""The heartbeat: a ping when it is due and everything is synced, silence else, and no failure that anybody feels.

Method: a real HTTP server on loopback, and a clock that the test moves.
Bugs planted to try these tests: a ping that is only counted when it succeeded, one database's sync enough for all, the
URL in the log, no limit of the time, an answer of any status taken for a success.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from replication.errors import UsageError
from replication.heartbeat import DEFAULT_HEARTBEAT_INTERVAL_S, MIN_HEARTBEAT_INTERVAL_S, Heartbeat, is_due
from tests.support.primary import StepClock
from tests.support.waiting import wait_until

LOGGER = logging.getLogger("litestream.replication")
INTERVAL_S = DEFAULT_HEARTBEAT_INTERVAL_S
TIMEOUT_S = 20.0
SECRETS = ("somebody", "password", "the-key", "token")


@dataclass(slots=True)
class Server:
    """What the server heard, and what it is to answer."""

    port: int = 0
    status: int = 200
    location: str = ""
    paths: list[str] = field(default_factory=list)
    authorized: list[bool] = field(default_factory=list)
    hang: threading.Event = field(default_factory=threading.Event)
    is_trickling: bool = False

    @property
    def url(self) -> str:
        return f"http://somebody:password@127.0.0.1:{self.port}/the-key?token=token"


@pytest.fixture
def server() -> Iterator[Server]:
    heard = Server()
    heard.hang.set()
    with serving(heard):
        yield heard
        heard.hang.set()


@contextmanager
def serving(heard: Server) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.paths.append(self.path)
            heard.authorized.append("Authorization" in self.headers)
            if heard.is_trickling:
                self.trickle()
                return
            heard.hang.wait(TIMEOUT_S)
            self.send_response(200 if self.path == "/moved" else heard.status)
            if heard.location:
                self.send_header("Location", heard.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def trickle(self) -> None:
            """Answer with a header that never ends."""
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                while not heard.hang.wait(0.02):
                    self.wfile.write(b"x")
            except OSError:
                return  # the other side has had enough

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        heard.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), name="server")
        thread.start()
        try:
            yield
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def clock() -> StepClock:
    clock = StepClock()
    clock.advance(1_000)
    return clock


def heartbeat(server: Server, clock: StepClock, *, timeout_s: float = TIMEOUT_S) -> Heartbeat:
    return Heartbeat(server.url, timeout_s=timeout_s, logger=LOGGER, clock=clock)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("last_ping", "last_syncs", "expected"),
    [
        (None, [1000.0], True),
        (None, [900.0, 950.0], True),
        (900.0, [1000.0], True),
        (901.0, [1000.0], False),  # too early
        (None, [899.0], False),
        (None, [1000.0, 899.0], False),  # one is too old
        (None, [1000.0, None], False),  # one was never synced
        (None, [], False),
        (800.0, [None], False),
    ],
)
def test_a_ping_is_due_when_the_interval_is_over_and_every_database_was_synced_within_it(
    last_ping: float | None, last_syncs: list[float | None], *, expected: bool
) -> None:
    assert is_due(1000.0, last_ping, last_syncs, 100.0) is expected


def test_a_ping_is_one_get_of_the_whole_url_and_the_next_comes_after_the_interval(
    server: Server, clock: StepClock
) -> None:
    beats = heartbeat(server, clock)
    assert beats.check([clock.monotonic()])
    assert server.paths == ["/the-key?token=token"]
    assert server.authorized == [True]
    clock.advance(INTERVAL_S - 1)
    assert not beats.check([clock.monotonic()])
    clock.advance(1)
    assert beats.check([clock.monotonic()])
    assert len(server.paths) == 2


def test_a_database_that_was_not_synced_silences_it_until_it_is(server: Server, clock: StepClock) -> None:
    beats = heartbeat(server, clock)
    stuck = clock.monotonic()
    assert not beats.check([stuck, None])
    clock.advance(INTERVAL_S + 1)
    assert not beats.check([clock.monotonic(), stuck])
    assert server.paths == []
    assert beats.check([clock.monotonic(), clock.monotonic()])


def test_a_server_that_fails_is_told_of_and_asked_again_only_after_the_interval(
    server: Server, clock: StepClock, caplog: pytest.LogCaptureFixture
) -> None:
    beats = heartbeat(server, clock)
    server.status = 500
    assert not beats.check([clock.monotonic()])
    host = f"http://127.0.0.1:{server.port}"
    assert warnings(caplog) == [f"heartbeat to {host} failed: expected a status from 200 to 299, got 500"]
    assert not beats.check([clock.monotonic()])
    assert len(server.paths) == 1
    server.status = 200
    clock.advance(INTERVAL_S)
    assert beats.check([clock.monotonic()])


def test_a_redirect_is_followed_but_not_for_ever(
    server: Server, clock: StepClock, caplog: pytest.LogCaptureFixture
) -> None:
    beats = heartbeat(server, clock)
    server.status, server.location = 301, "/moved"
    assert beats.check([clock.monotonic()])
    assert server.paths[1:] == ["/moved"]
    server.location = "/elsewhere"  # and on to itself
    clock.advance(INTERVAL_S)
    assert not beats.check([clock.monotonic()])
    assert "TooManyRedirects" in warnings(caplog)[0]


@pytest.mark.parametrize("is_trickling", [False, True], ids=["says nothing", "never ends its answer"])
def test_a_server_that_does_not_answer_is_given_up_in_time(
    server: Server, clock: StepClock, caplog: pytest.LogCaptureFixture, *, is_trickling: bool
) -> None:
    server.hang.clear()
    server.is_trickling = is_trickling
    begin = time.monotonic()
    assert not heartbeat(server, clock, timeout_s=0.2).check([clock.monotonic()])
    assert time.monotonic() - begin < TIMEOUT_S / 2
    assert warnings(caplog) == [f"heartbeat to http://127.0.0.1:{server.port} failed: no answer within 0.2 s"]


def test_a_server_that_is_not_there_is_told_of(clock: StepClock, caplog: pytest.LogCaptureFixture) -> None:
    gone = Server()
    with serving(gone):
        pass
    assert not heartbeat(gone, clock).check([clock.monotonic()])
    assert "ConnectError" in warnings(caplog)[0]


def test_closing_gives_up_a_ping_that_waits_and_sends_no_other(
    server: Server, clock: StepClock, caplog: pytest.LogCaptureFixture
) -> None:
    server.hang.clear()
    beats = heartbeat(server, clock)
    checking = threading.Thread(target=beats.check, args=([clock.monotonic()],))
    checking.start()
    wait_until(lambda: bool(server.paths), "the ping", timeout_s=TIMEOUT_S)
    beats.close()
    checking.join(TIMEOUT_S / 2)
    assert not checking.is_alive()
    clock.advance(INTERVAL_S)
    server.hang.set()
    assert not beats.check([clock.monotonic()])
    assert len(server.paths) == 1
    assert warnings(caplog) == []


@pytest.mark.parametrize(("status", "location"), [(200, ""), (301, "/moved"), (302, "/elsewhere"), (500, "")])
def test_nothing_of_the_url_but_its_host_is_told(
    server: Server, clock: StepClock, caplog: pytest.LogCaptureFixture, status: int, location: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server.status, server.location = status, location
    beats = heartbeat(server, clock)
    beats.check([clock.monotonic()])
    assert server.paths
    assert f"127.0.0.1:{server.port}" in caplog.text
    assert [secret for secret in SECRETS if secret in caplog.text + repr(beats)] == []
    logging.getLogger("httpx").info("the requests of others are told of")
    assert "the requests of others" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/ping",
        "ftp://somebody:password@example.com/the-key",
        "http:///the-key",
        "http://somebody:password@example.com:port/the-key",
        "http://somebody:password@[::1/the-key",
        "http://example.com/the-key token",
        "http://example.com/the-key\ntoken",
    ],
)
def test_what_is_no_url_of_a_web_server_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(UsageError, match="expected a heartbeat URL") as caught:
        Heartbeat(url, logger=LOGGER)
    assert [secret for secret in SECRETS if secret in str(caught.value)] == []
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("interval_s", [0.0, 59.9, -1.0, float("nan"), float("inf")])
def test_an_interval_under_a_minute_is_refused(interval_s: float) -> None:
    with pytest.raises(UsageError, match="60 s or more"):
        Heartbeat("https://example.com", interval_s=interval_s, logger=LOGGER)


def test_it_shows_its_host_and_its_interval() -> None:
    beats = Heartbeat("https://[::1]:8443/the-key", interval_s=MIN_HEARTBEAT_INTERVAL_S, logger=LOGGER)
    assert repr(beats) == "<Heartbeat https://[::1]:8443 every 60 s>"
