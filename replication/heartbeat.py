"""The heartbeat: one GET to a URL every so often, as long as every database is replicated.

The server behind the URL raises the alarm when it hears nothing for longer than it was told to wait, so silence is what
counts: there is no ping while a single database has not been synced, and none while there is no database at all. A
server that fails is not asked more often for that.

Of the URL no more than the host is ever told: services of this kind have their keys in the path, the query or the
user's part.

Source: litestream 0.5.17, heartbeat.go and store.go.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from urllib.parse import urlsplit

from replication.clock import SYSTEM_CLOCK, Clock
from replication.errors import UsageError

DEFAULT_HEARTBEAT_INTERVAL_S = 5 * 60.0
MIN_HEARTBEAT_INTERVAL_S = 60.0
DEFAULT_HEARTBEAT_CHECK_INTERVAL_S = 15.0
DEFAULT_HEARTBEAT_TIMEOUT_S = 30.0

MAX_REDIRECTS = 5
"""How far a server may send us on: such services move, and http leads to https."""

_SUCCESS = range(200, 300)
_is_pinging: ContextVar[bool] = ContextVar("_is_pinging", default=False)


def is_due(now: float, last_ping: float | None, last_syncs: Iterable[float | None], interval_s: float) -> bool:
    """Say whether a ping is due: the interval since the last one is over, and every database was synced within it.

    Args:
        now: the time, by a monotonic clock.
        last_ping: when the last one was tried, by the same clock; None if none was.
        last_syncs: when each database was last known to be synced; None for one that never was.
        interval_s: seconds from one ping to the next.

    """
    if last_ping is not None and now - last_ping < interval_s:
        return False
    syncs = list(last_syncs)
    return bool(syncs) and all(at is not None and now - at <= interval_s for at in syncs)


class Heartbeat:
    """The pings of one store; one thread calls `check`, any other may call `close`."""

    def __init__(
        self,
        url: str,
        *,
        interval_s: float = DEFAULT_HEARTBEAT_INTERVAL_S,
        timeout_s: float = DEFAULT_HEARTBEAT_TIMEOUT_S,
        logger: logging.Logger,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Take the URL; nothing is sent yet.

        Args:
            url: what to GET.
            interval_s: seconds from one ping to the next.
            timeout_s: seconds that a ping takes at most, redirects and all.
            logger: where failures are told.
            clock: gives the time.

        Raises:
            UsageError: the URL is none of a web server, or the interval is too short.

        """
        self._url = url
        self._host = _checked_host(url)
        if not MIN_HEARTBEAT_INTERVAL_S <= interval_s < float("inf"):
            msg = f"expected a heartbeat interval of {MIN_HEARTBEAT_INTERVAL_S:g} s or more, got {interval_s:g} s"
            raise UsageError(msg)
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._logger = logger
        self._clock = clock
        self._last_ping: float | None = None  # written by `check` only
        self._lock = threading.Lock()
        self._is_closed = False  # guarded by _lock
        self._give_up: Callable[[], object] | None = None  # guarded by _lock; ends the ping that runs

    def __repr__(self) -> str:
        return f"<Heartbeat {self._host} every {self._interval_s:g} s>"

    def check(self, last_syncs: Iterable[float | None]) -> bool:
        """Ping if that is due, and say whether the server heard it; what fails is logged.

        Args:
            last_syncs: when each database was last known to be synced, by the clock's `monotonic`; None for never.

        """
        now = self._clock.monotonic()
        if not is_due(now, self._last_ping, last_syncs, self._interval_s):
            return False
        self._last_ping = now
        return self._ping()

    def close(self) -> None:
        """Send nothing more, and give up a ping that still waits for its answer."""
        with self._lock:
            self._is_closed = True
            if self._give_up is not None:
                self._give_up()

    def _ping(self) -> bool:
        """Send one ping, and say whether the server heard it."""
        import asyncio  # noqa: PLC0415 - heavy, and few stores have a heartbeat

        import httpx  # noqa: PLC0415

        logging.getLogger("httpx").addFilter(_is_not_ours)
        try:
            status = asyncio.run(self._get())
        except asyncio.CancelledError:
            return False  # closed meanwhile
        except TimeoutError:
            failure = f"no answer within {self._timeout_s:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            failure = f"{type(error).__name__} {error}".rstrip()
        else:
            if status in _SUCCESS:
                self._logger.debug("heartbeat sent to %s", self._host)
                return True
            failure = f"expected a status from 200 to 299, got {status}"
        self._logger.warning("heartbeat to %s failed: %s", self._host, failure)
        return False

    async def _get(self) -> int:
        """Return the status that the server answers with; its body is not read.

        This is not done by httpx's synchronous client because that has no time limit for a whole request, and cannot
        be interrupted.
        """
        import asyncio  # noqa: PLC0415

        import httpx  # noqa: PLC0415

        _is_pinging.set(True)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: this is a coroutine
        with self._lock:
            if self._is_closed:
                raise asyncio.CancelledError
            self._give_up = partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel)
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(timeout=None, follow_redirects=True, max_redirects=MAX_REDIRECTS) as client,  # noqa: S113 - above
                client.stream("GET", self._url) as response,
            ):
                return response.status_code
        finally:
            with self._lock:
                self._give_up = None


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Keep httpx from logging our requests, because it tells the whole URL; those of others it may tell."""
    del record
    return not _is_pinging.get()


def _checked_host(url: str) -> str:
    """Return the scheme and host of a URL, the part that is no secret.

    Raises:
        UsageError: it is none of a web server.

    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        msg = "expected a heartbeat URL with a valid host and port"
        raise UsageError(msg) from None  # what it says may hold the user's part
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        msg = f"expected a heartbeat URL such as https://example.com/ping, got one with scheme {parts.scheme!r}"
        raise UsageError(msg)
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}")
