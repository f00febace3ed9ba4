"""A registered replica: the name under which connections open it, and what it says of itself."""

from collections.abc import Callable
from datetime import datetime
from logging import Logger
from threading import RLock
from types import TracebackType
from typing import Self

from replication.client.url_parse import shown_name, without_secrets
from replication.errors import UnavailableError, UsageError
from replication.position import TXID, format_txid, parse_txid
from replication.restore.points import RestorePoint
from vfs.registry import SHARED_REPLICAS, SharedUse, Source
from vfs.replica import SharedReplica
from vfs.stats_report import stats_report
from vfs.uri import Options
from vfs.waiter import Waiter


class ReadReplica:
    """A replica that this process follows, open to `file:NAME?vfs=litestream`.

    Nothing is asked of the storage until the first connection is opened, or the first property or method needs it.
    Closing takes the name away and stops following; connections that are open stay so until they are closed.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        options: Options,
        logger: Logger,
        forget: Callable[["ReadReplica"], None],
        *,
        implicit: bool,
    ) -> None:
        """Make no request yet; `forget` takes the name away, `implicit` closes with the last connection."""
        self.name = name
        self.source = source
        self.options = options
        self.logger = logger
        self.implicit = implicit
        self._forget = forget
        self._files = 0  # guarded by _lock
        self._lock = RLock()
        self._use: SharedUse | None = None  # guarded by _lock
        self._closed = False  # guarded by _lock

    def __repr__(self) -> str:
        name, replica = shown_name(self.name), self._opened()
        view = None if replica is None else replica.current
        if replica is None or view is None:
            return f"<ReadReplica {name} {'closed' if self._closed else 'not opened yet'}>"
        return (
            f"<ReadReplica {name} txid={format_txid(view.txid)} lag={replica.lag_s:.1f}s pages={view.commit} "
            f"cache={replica.cache.size / 2**20:.1f}/{replica.cache.max_size / 2**20:.1f} MiB>"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed, for good; its name is free, even if it is not taken away yet."""
        return self._closed

    @property
    def place(self) -> str:
        """The replica's URL without its secrets, or what its client says of itself."""
        return without_secrets(self.source) if isinstance(self.source, str) else repr(self.source)

    @property
    def txid(self) -> TXID:
        """The newest TXID visible here."""
        return self.open().replica.view.txid

    @property
    def time(self) -> datetime:
        """The instant of the newest TXID visible here, in UTC."""
        return self.open().replica.view.time

    @property
    def lag_s(self) -> float:
        """Seconds since the last successful poll; -1 before the first."""
        replica = self._opened()
        return -1.0 if replica is None else replica.lag_s

    @property
    def data_age_s(self) -> float:
        """Seconds between now and the instant of the newest TXID visible here."""
        replica = self.open().replica
        return (replica.clock.now() - replica.view.time).total_seconds()

    @property
    def error(self) -> str:
        """What the last poll failed with; empty if it succeeded."""
        replica = self._opened()
        return "" if replica is None else str(replica.error or "")

    def stats(self) -> dict[str, object]:
        """Return the counters of requests, bytes, cache and polls; none before the first connection."""
        replica = self._opened()
        return {} if replica is None or not replica.started else stats_report(replica)

    def poll(self) -> TXID:
        """Ask the storage for newer files now, and return the TXID visible afterwards.

        Raises:
            LitestreamError: the poll failed; what was visible still is.

        """
        replica = self.open().replica
        return replica.poll(replica.waiter())

    def wait_for(self, txid: TXID | int | str, timeout_s: float) -> TXID:
        """Wait until a TXID (text is read as hexadecimal) is visible, and return the one that then is.

        Raises:
            UnavailableError: it was not within `timeout_s` seconds.

        """
        wanted = parse_txid(txid) if isinstance(txid, str) else TXID(txid)
        replica = self.open().replica
        if not replica.wait_for(wanted, Waiter(timeout_s)):
            reason = f": {replica.error}" if replica.error else ""
            msg = (
                f"TXID {format_txid(wanted)} was not visible within {timeout_s:g} s, "
                f"the newest is {format_txid(replica.view.txid)}{reason}"
            )
            raise UnavailableError(msg)
        return replica.view.txid

    def restore_points(self) -> list[RestorePoint]:
        """Return the TXIDs one can travel to, oldest first.

        Raises:
            LitestreamError: the storage could not be listed.

        """
        use = self.open()
        return use.traveller.restore_points(use.replica.waiter())

    def close(self) -> None:
        """Take the name away and stop following; a second call does nothing."""
        with self._lock:
            use, self._use, self._closed = self._use, None, True
        self._forget(self)
        if use is not None:
            use.release()

    def open(self) -> SharedUse:
        """Load the replica if nothing has yet, and return this registration's hold on it.

        Raises:
            UsageError: it is closed, or was opened before a fork.
            LitestreamError: the replica cannot be opened.

        """
        with self._lock:
            if self._closed:
                msg = f"read replica {shown_name(self.name)!r} is closed"
                raise UsageError(msg)
            held = self._use
        if held is not None:
            held.replica.check_process()
            return held
        use = SHARED_REPLICAS.use(self.source, self.options, self.logger)
        try:
            use.replica.start(use.replica.waiter())
            with self._lock:
                if self._use is None and not self._closed:
                    self._use = use
                    return use
                held = self._use
        except BaseException:
            use.release()
            raise
        use.release()  # another thread was faster, or closed this meanwhile
        return held or self.open()

    def after_fork(self) -> None:
        """Replace what a thread of the parent may have held, in a forked child."""
        self._lock = RLock()

    def _opened(self) -> SharedReplica | None:
        """Return the replica if this or a connection has opened it."""
        if self._closed:
            return None
        use = self._use
        return SHARED_REPLICAS.find(self.source, self.options) if use is None else use.replica

    def reserve(self) -> bool:
        """Count a connection that is about to open, so that nothing closes before it; False if closed already."""
        with self._lock:
            if not self._closed:
                self._files += 1
            return not self._closed

    def new_use(self) -> SharedUse:
        """Return a hold for the file of a connection counted by `reserve`.

        Raises:
            LitestreamError: as `open`.

        """
        use = None
        try:
            if not self.implicit:
                self.open()
            use = SHARED_REPLICAS.use(self.source, self.options, self.logger)
            use.replica.start(use.replica.waiter())
        except BaseException:
            if use is not None:
                use.release()
            self.unreserve()
            raise
        use.on_release(self.unreserve)
        return use

    def unreserve(self) -> None:
        """Count a connection no more: it was closed, or never opened."""
        with self._lock:
            self._files -= 1
            if self._files or not self.implicit:
                return
            self._closed = True  # so that nobody reserves what is about to lose its name
        self.close()
