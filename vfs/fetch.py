"""Requests to the storage, in parallel: each runs on a thread of the replica's own, while its caller waits.

Nothing that runs on these threads waits for another of them, so they cannot deadlock. A byte range is asked for once
however many readers want it.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

from replication.client.base import ReplicaClient
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID
from vfs.waiter import Waiter

MAX_IN_FLIGHT = 16

T = TypeVar("T")


class Fetcher:
    """Runs requests of one replica client, at most `MAX_IN_FLIGHT` at once."""

    def __init__(self, client: ReplicaClient, name: str) -> None:
        """Start no thread yet."""
        self._client = client
        self.accurate_list_times = client.accurate_list_times
        self._pool = ThreadPoolExecutor(MAX_IN_FLIGHT, thread_name_prefix=f"litestream-fetch-{name}")
        self._lock = Lock()
        self._in_flight: dict[tuple[FileInfo, int, int | None], Future[bytes]] = {}  # guarded by _lock

    def read(self, info: FileInfo, start: int = 0, end: int | None = None) -> Future[bytes]:
        """Ask for bytes `start` to `end` (exclusive) of a file."""
        key = (info, start, end)
        with self._lock:
            future = self._in_flight.get(key)
            if future is not None:
                return future
            future = self._in_flight[key] = self._pool.submit(self._client.read_ltx, info, start, end)
        future.add_done_callback(lambda _: self._landed(key))
        return future

    def list(self, level: int, seek: TXID = NO_TXID) -> Future[tuple[FileInfo, ...]]:
        """Ask for the files of a level from a TXID on."""
        return self._pool.submit(lambda: tuple(self._client.ltx_files(level, seek)))

    def executor(self, waiter: Waiter) -> Executor:
        """Return an executor for code that asks the client itself, whose `map` waits as the waiter does."""
        return _WaitingExecutor(self._pool, waiter)

    def close(self) -> None:
        """Let requests under way end, drop those that wait, and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _landed(self, key: tuple[FileInfo, int, int | None]) -> None:
        with self._lock:
            self._in_flight.pop(key, None)


class _WaitingExecutor(Executor):
    def __init__(self, pool: Executor, waiter: Waiter) -> None:
        self._pool = pool
        self._waiter = waiter

    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], **_: Any) -> Iterator[T]:  # noqa: ANN401
        futures = [self._pool.submit(fn, *arguments) for arguments in zip(*iterables, strict=True)]
        return self._waiter.results(futures)
