"""The state of one replica that its connections share: the current view, the poller, the page cache.

- `current` is the newest view; it is replaced, never changed, so reading it needs no lock.
- The first use loads it. From then on one thread polls, until `close`, and does what closing needs locks for. It
  polls at once when the store says that a file may have come, where the store can say so.
- Polls, by the thread or by hand, run one at a time; each publishes at most one new view.
- A view pinned by a transaction stays readable: pages of vanished files come from files that provably hold the same.
- Storage is asked on threads of the process that first used the replica. In a forked child nothing of it works, and
  every use says so.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from logging import Logger
from threading import Condition, Lock
from typing import Protocol
from weakref import WeakValueDictionary

from replication.client.base import ReplicaClient
from replication.clock import SYSTEM_CLOCK, Clock
from replication.errors import LitestreamError, SnapshotGoneError, StaleError, UsageError
from replication.position import TXID, format_txid
from vfs.budget import Budget
from vfs.cache import PageCache
from vfs.compose import Composed
from vfs.counting_client import CountingClient
from vfs.fetch import Fetcher
from vfs.file_table import FileTable
from vfs.follow import Follower
from vfs.interior_search import InteriorSearch
from vfs.pages import PageSource
from vfs.poller import LEAST_GAP_S, Poller
from vfs.push import Push
from vfs.readahead import Readahead
from vfs.rest import WAKE_TIMEOUT_S, Rest
from vfs.schedule import Cause
from vfs.stats import Stats
from vfs.uri import Options
from vfs.view import View
from vfs.waiter import CHECK_INTERVAL_S, InterruptedReadError, Waiter, never

CLOSE_TIMEOUT_S = 1.0
"""How long closing waits for the poller, and again for requests under way; one that takes longer ends by itself."""


class Pin(Protocol):
    """Somebody who may have a view pinned: an open file."""

    @property
    def pinned(self) -> View | None:
        """The view of the transaction under way, if there is one."""

    @property
    def hits(self) -> int:
        """How many pages were answered without asking the replica; added to its counters when the file closes."""

    def abandon(self) -> None:
        """Forget every view, in a forked child."""


class SharedReplica:
    """One replica as this process reads it."""

    def __init__(self, client: ReplicaClient, options: Options, logger: Logger, clock: Clock = SYSTEM_CLOCK) -> None:
        """Make no request and start no thread yet."""
        self.options = options
        self.stats = Stats()
        self.client = CountingClient(client, self.stats)
        self.cache = PageCache(options.cache_size)
        self.fetcher = Fetcher(self.client, client.type, options.timeout_s, clock)
        self.clock = clock
        self._pins: WeakValueDictionary[int, Pin] = WeakValueDictionary()
        self.limits_staleness = options.max_staleness_s is not None
        self.error: LitestreamError | None = None
        self._logger = logger
        self._pid = os.getpid()
        self.current: View | None = None  # the newest view; None before the first, and in a forked child
        self._published = Condition()
        self._polls_ended = 0  # of the poller, guarded by _published
        self.rest = Rest(options.poll_interval_s, clock)
        self._polling = Lock()  # held while a view is loaded or polled for
        self._last_poll: float | None = None  # guarded by _polling
        self._follower = Follower(self.fetcher, options.poll_interval_s, clock, logger)
        self._pages = PageSource(self.fetcher, self.cache, self.stats, self._follower)
        self.interior_search = InteriorSearch(self._pages.interiors, self._pages.ahead, clock)
        self._poller = Poller(
            f"litestream-poll-{client.type}",
            options.poll_interval_s,
            self._poll,
            began=self._began,
            ended=self._ended,
        )
        self.push = Push(self.client, self._poller.push, logger)
        self._closed = False
        self._finishing = Lock()  # taken once and never waited for

    def __repr__(self) -> str:
        view = self.current
        if view is None:
            return f"<SharedReplica {self.client.inner!r} not opened yet>"
        return (
            f"<SharedReplica {self.client.inner!r} txid={format_txid(view.txid)} lag={self.lag_s:.1f}s {self.cache!r}>"
        )

    @property
    def started(self) -> bool:
        """Whether a first view was loaded."""
        return self.current is not None

    @property
    def view(self) -> View:
        """The newest view.

        Raises:
            UsageError: this is a forked child of the process that opened the replica.

        """
        view = self.current
        if view is None:
            self.check_process()
            msg = "the replica is not open"
            raise UsageError(msg)
        return view

    @property
    def table(self) -> FileTable:
        """The files of the current history."""
        return self._follower.table

    @property
    def poll_interval_s(self) -> float:
        """Seconds from one poll to the next."""
        return self.rest.interval_s

    @property
    def lag_s(self) -> float:
        """Seconds since the last successful poll, -1 before the first."""
        last_poll = self._last_poll
        return -1.0 if last_poll is None else self.clock.monotonic() - last_poll

    def add_pin(self, pin: Pin) -> None:
        """Know an open file."""
        self._pins[id(pin)] = pin

    def drop_pin(self, pin: Pin) -> None:
        """Forget a file that was closed."""
        self._pins.pop(id(pin), None)

    def pins(self) -> list[Pin]:
        """Return the open files; others may be opened and closed meanwhile."""
        return [pin for found in self._pins.valuerefs() if (pin := found()) is not None]

    def check_process(self) -> None:
        """Raise in a forked child.

        Raises:
            UsageError: this is a forked child of the process that opened the replica.

        """
        if os.getpid() != self._pid:
            msg = (
                f"this replica was opened by process {self._pid}, of which process {os.getpid()} is a fork: "
                "open it after the fork, in the process that uses it"
            )
            raise UsageError(msg)

    def waiter(self, interrupted: Callable[[], bool] = never) -> Waiter:
        """Return a waiter with this replica's time limit."""
        return Waiter(self.options.timeout_s, interrupted, self.clock)

    def start(self, waiter: Waiter) -> None:
        """Load the first view and start to poll; later calls do nothing.

        Raises:
            LitestreamError: the replica cannot be opened; the message says why.

        """
        self.check_process()
        if self.current is not None:
            return  # without waiting for a poll under way
        with self._turn(waiter):
            if self.current is None:
                waiter.result(self.fetcher.init())
                composed = self._follower.first(waiter)
                self._poller.start()  # a view that nothing keeps up to date must not be seen
                self._publish(composed)
                self._last_poll = self.clock.monotonic()

    def readahead(self, size: int) -> Readahead | None:
        """Return what guesses for a connection, which may have so many bytes fetched ahead; None where that is no use.

        Pages of a local replica are read as fast as they could be guessed.
        """
        if size < 1 or self.client.is_local:
            return None
        pages = self._pages
        return Readahead(pages.interiors, pages.indexes, pages.ahead, size)

    def read(self, view: View, pgno: int, waiter: Waiter, reader: Budget | None = None) -> bytes:
        """Return a page of a view, as stored; `reader` is the budget of whoever reads and fetches ahead.

        Raises:
            LitestreamError: as `PageSource.read`.

        """
        try:
            return self._pages.read(view, pgno, waiter, reader)
        except SnapshotGoneError:
            if view is self.current:  # the next transaction would pin it again, and fail again
                with suppress(LitestreamError):  # a poll keeps its error itself
                    self.poll(waiter)
            raise

    def poll(self, waiter: Waiter, cause: Cause = Cause.ASKED) -> TXID:
        """Ask the storage for newer files now, and return the TXID visible afterwards.

        Raises:
            LitestreamError: the poll failed; the view is as before, and `error` is set.

        """
        with self._turn(waiter):
            self.stats.count("polls")
            try:
                composed = self._follower.step(self.view, waiter, cause)
                if composed is not None:
                    self._publish(composed)
            except InterruptedReadError:
                raise  # the caller's wish, and nothing wrong with the storage
            except LitestreamError as error:
                self._failed(error)
                raise
            self._last_poll = self.clock.monotonic()
            self.error = None
        return self.view.txid

    def wait_for(self, txid: TXID, waiter: Waiter) -> bool:
        """Wait until a TXID is visible, and say whether it is; the waiter's time limit ends the wait.

        The poller looks once more at once, and then as often as it does.
        """
        self._end_rest()
        if self.view.txid < txid:
            self._poller.wake()
        with self._published:
            while self.view.txid < txid and waiter.remaining_s:
                self._published.wait(min(CHECK_INTERVAL_S, waiter.remaining_s))
                waiter.check_interrupted()
        return self.view.txid >= txid

    def wake_up(self) -> None:
        """End the rest of a replica that nobody has read, and wait for a poll, but not for long."""
        self.check_process()
        self._end_rest()
        if self.lag_s <= self.rest.interval_s and not self._poller.is_pushed:
            return
        deadline = self.clock.monotonic() + WAKE_TIMEOUT_S
        with self._published:
            ended = self._polls_ended
            self._poller.wake()
            while self._polls_ended == ended and (left_s := deadline - self.clock.monotonic()) > 0:
                self._published.wait(left_s)

    def _end_rest(self) -> None:
        self.rest.end()
        self._set_pace(self.rest.interval_s)

    def _set_pace(self, poll_interval_s: float) -> None:
        self._poller.gap_s = self.rest.interval_s if self.rest.is_resting else LEAST_GAP_S
        self._poller.interval_s = self._follower.poll_interval_s = poll_interval_s

    def check_staleness(self) -> None:
        """Raise if the last successful poll is longer ago than `max_staleness` allows.

        Raises:
            StaleError: it is.

        """
        limit_s = self.options.max_staleness_s
        if limit_s is not None and self.lag_s > limit_s:
            reason = f": {self.error}" if self.error else ""
            msg = f"the last successful poll was {self.lag_s:.1f} s ago, max_staleness is {limit_s:g} s{reason}"
            raise StaleError(msg)

    def set_poll_interval(self, poll_interval_s: float) -> None:
        """Poll this often from now on."""
        self.rest.interval_s = self._poller.interval_s = poll_interval_s
        self._follower.poll_interval_s = poll_interval_s
        self._poller.wake()

    def abandon(self) -> None:
        """Forget every view, in a forked child: what this replica runs on stayed in the parent."""
        self.current = None
        self.stats = Stats()  # a thread of the parent may have held the old one's lock, and closing a file counts
        for pin in self.pins():
            pin.abandon()

    def close(self) -> None:
        """End the poller and the requests under way; the files of this replica can no longer be read.

        In a forked child this does nothing: no thread belongs to it, and any lock may be held for ever.
        """
        if os.getpid() != self._pid:
            return
        self._closed = True
        self._poller.stop()
        if self._poller.is_current or self.fetcher.is_current or self.push.is_current:
            return  # the garbage collector came by while this thread is in the middle of something
        self._poller.join(2 * CLOSE_TIMEOUT_S)
        if not self._poller.is_alive:
            self._finish()

    def settle(self, timeout_s: float) -> None:
        """End the poller and wait for the requests under way, because the program ends; reading still works."""
        if os.getpid() == self._pid:
            self._poller.stop()
            self._poller.join(timeout_s)
            self.fetcher.settle(timeout_s)

    def _began(self) -> None:
        self.push.begin()

    def _ended(self) -> None:
        """Stop being pushed and let go of what is left, at the end of the poller's thread."""
        self.push.end()
        self._finish()

    def _finish(self) -> None:
        """Let go of everything, once, when the poller has ended; not if only the program ends."""
        if self._closed and self._finishing.acquire(blocking=False):
            self._pages.ahead.clear()
            self.fetcher.close(CLOSE_TIMEOUT_S)
            self.cache.clear()
            self.client.close()

    def _turn(self, waiter: Waiter) -> "_Turn":
        return _Turn(self._polling, waiter)

    def _publish(self, composed: Composed) -> None:
        before, view = self.current, composed.view
        carried = before if before and composed.changed is not None and before.page_size == view.page_size else None
        self.cache.add_view(view, carried, composed.changed or ())
        if composed.base is not None:
            self._pages.keep_head(view, composed.base)
        with self._published:
            if composed.table is not None:
                self._follower.table = composed.table
            self.current = view
            self._published.notify_all()
        # A file that is just about to pin the view before this one is not seen, so that view counts as pinned.
        pinned = [before, *(pin.pinned for pin in self.pins())]
        self.table.prune(min([view.txid, *(one.txid for one in pinned if one and one.history == view.history)]))

    def _failed(self, error: LitestreamError) -> None:
        self.stats.count("poll_errors")
        if str(error) != str(self.error):
            self._logger.warning("cannot poll: %s", error)
        self.error = error

    def _poll(self, cause: Cause) -> None:
        self._poll_safely(cause)
        if cause is not Cause.PUSHED:  # these have no part in how long the intervals are
            self._set_pace(self.rest.next_interval_s())
        with self._published:
            self._polls_ended += 1
            self._published.notify_all()

    def _poll_safely(self, cause: Cause) -> None:
        try:
            self.poll(self.waiter(self._poller.is_stopped), cause)
        except LitestreamError:
            return  # kept in `error`, logged, and tried again at the next interval
        except Exception as error:  # a poller that ended would leave its readers behind, in silence
            self._logger.exception("polling failed in a way it should not")
            self._failed(LitestreamError(f"polling failed with {type(error).__name__}"))


class _Turn:
    """Takes a lock as a waiter waits."""

    def __init__(self, lock: Lock, waiter: Waiter) -> None:
        self._lock = lock
        self._waiter = waiter

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=CHECK_INTERVAL_S):
            self._waiter.check()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
