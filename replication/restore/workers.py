"""Work on a few threads, its results taken as they come.

The threads are daemons: a request that never ends must keep neither a failing restore nor the end of the program
waiting. Nothing runs ahead without bound, since a thread takes its next item only when it is done with the last.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Workers(Generic[T, R]):
    """Threads that call one function on items; iterating gives the results in the order in which they come.

    The first error ends the work: it is raised from the iteration, and no further item is begun.
    """

    def __init__(self, function: Callable[[T], R], items: Iterable[T], *, threads: int) -> None:
        """Start the threads."""
        self._function = function
        self._lock = Lock()
        self._items = iter(items)  # guarded by _lock
        self._stopped = False  # guarded by _lock
        self._results: SimpleQueue[tuple[R | None, BaseException | None, bool]] = SimpleQueue()
        self._threads = [
            Thread(target=self._run, name=f"litestream-restore-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[R]:
        """Yield the results."""
        running = len(self._threads)
        try:
            while running:
                result, error, is_last = self._results.get()
                running -= is_last
                if error is not None:
                    raise error
                if not is_last:
                    yield result  # type: ignore[misc]  # R may be None
        finally:
            self.stop()

    def stop(self) -> None:
        """Begin no further item."""
        with self._lock:
            self._stopped = True

    def join(self) -> None:
        """Wait for what is under way."""
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    if self._stopped:
                        break
                    try:
                        item = next(self._items)
                    except StopIteration:
                        break
                self._results.put((self._function(item), None, False))
        except BaseException as error:  # noqa: BLE001 - it is raised where the results are taken
            self.stop()
            self._results.put((None, error, False))
        self._results.put((None, None, True))


class WorkerExecutor(Executor):
    """An executor for code that needs no more of one than its `map`, which waits for all results."""

    def __init__(self, max_threads: int) -> None:
        """Start no thread before there is work."""
        self._max_threads = max_threads

    def map(self, fn: Callable[..., R], *iterables: Iterable[Any], **_: Any) -> Iterator[R]:  # noqa: ANN401
        """Return the results in the order of the arguments."""
        calls = list(enumerate(zip(*iterables, strict=True)))

        def run(call: tuple[int, tuple[Any, ...]]) -> tuple[int, R]:
            return call[0], fn(*call[1])

        results = dict(Workers(run, calls, threads=min(self._max_threads, len(calls))))
        return iter([results[number] for number in range(len(calls))])
