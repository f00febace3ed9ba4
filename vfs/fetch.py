"""Requests to the storage, in parallel: each runs on a thread of the replica's own, while its caller waits.

Nothing that runs on these threads waits for another of them, so they cannot deadlock. A byte range is asked for once
however many readers want it.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from threading import Lock
from typing import Any, TypeVar

from replication.client.base import ReplicaClient
from replication.clock import SYSTEM_CLOCK, Clock
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID
from replication.restore.source import list_levels
from vfs.request_pool import RequestPool
from vfs.waiter import Waiter

MAX_IN_FLIGHT = 16

_Range = tuple[FileInfo, int, int | None]

T = TypeVar("T")


class Fetcher:
    """Runs requests of one replica client, at most `MAX_IN_FLIGHT` at once."""

    def __init__(self, client: ReplicaClient, name: str, patience_s: float, clock: Clock = SYSTEM_CLOCK) -> None:
        """Start no thread yet; a request that took longer than `patience_s` seconds is no longer waited for."""
        self._client = client
        self._patience_s = patience_s
        self._clock = clock
        self.accurate_list_times = client.accurate_list_times
        self.is_local = client.is_local
        self._pool = RequestPool(MAX_IN_FLIGHT, f"litestream-fetch-{name}")
        self._lock = Lock()
        self._in_flight: dict[_Range, tuple[Future[bytes], float]] = {}  # guarded by _lock

    @property
    def is_current(self) -> bool:
        """Whether this runs on one of the threads of the requests."""
        return self._pool.is_current

    def init(self) -> Future[None]:
        """Connect and check the configuration."""
        return self._pool.submit(self._client.init)

    def read(self, info: FileInfo, start: int = 0, end: int | None = None) -> Future[bytes]:
        """Ask for bytes `start` to `end` (exclusive) of a file."""
        key = (info, start, end)
        now = self._clock.monotonic()
        with self._lock:
            asked = self._in_flight.get(key)
            if asked is not None and now - asked[1] < self._patience_s:
                return asked[0]
            future = self._pool.submit(self._client.read_ltx, info, start, end)
            self._in_flight[key] = future, now
        future.add_done_callback(lambda landed: self._landed(key, landed))
        return future

    def fetch(self, info: FileInfo, start: int, end: int, waiter: Waiter) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file; a local one is read on this very thread.

        Raises:
            LTXMissingError, DeniedError, UnavailableError, InterruptedReadError: as the client and the waiter say.

        """
        if self._client.is_local:
            return self._client.read_ltx(info, start, end)
        return waiter.result(self.read(info, start, end))

    def named(self, level: int, txid: TXID, limit: int) -> "Future[tuple[FileInfo, bytes]]":
        """Ask for the first bytes of the file of one TXID, which was not listed."""
        return self._pool.submit(self._client.read_named, level, txid, txid, limit)

    def list(self, level: int, seek: TXID = NO_TXID) -> Future[tuple[FileInfo, ...]]:
        """Ask for the files of a level from a TXID on."""
        return self._pool.submit(lambda: tuple(self._client.ltx_files(level, seek)))

    def list_all(self, waiter: Waiter) -> dict[int, tuple[FileInfo, ...]]:
        """Return the files of each level.

        Raises:
            UsageError, DeniedError, UnavailableError, InterruptedReadError: as the client and the waiter say.

        """
        return list_levels(self._client, self.executor(waiter))

    def executor(self, waiter: Waiter) -> Executor:
        """Return an executor for code that asks the client itself, whose `map` waits as the waiter does."""
        return _WaitingExecutor(self._pool, waiter)

    def settle(self, timeout_s: float) -> None:
        """Wait for the requests there are, at most so many seconds."""
        self._pool.settle(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Refuse requests that wait and end the threads; wait for those under way at most so many seconds."""
        self._pool.close(timeout_s)

    def _landed(self, key: _Range, future: Future[bytes]) -> None:
        with self._lock:
            asked = self._in_flight.get(key)
            if asked is not None and asked[0] is future:
                del self._in_flight[key]


class _WaitingExecutor(Executor):
    def __init__(self, pool: Executor, waiter: Waiter) -> None:
        self._pool = pool
        self._waiter = waiter

    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], **_: Any) -> Iterator[T]:  # noqa: ANN401
        futures = [self._pool.submit(fn, *arguments) for arguments in zip(*iterables, strict=True)]
        return self._waiter.results(futures)
