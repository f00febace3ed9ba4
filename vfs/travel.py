"""Views at an earlier TXID or instant, and the list of those there are."""

from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Lock
from weakref import WeakValueDictionary

from replication.errors import LTXMissingError, UnavailableError
from replication.ltx.file_info import FileInfo
from replication.position import TXID
from replication.restore.plan import plan_restore
from replication.restore.points import RestorePoint, restore_points
from replication.restore.source import calc_restore_plan
from vfs.compose import compose, written_at
from vfs.continuity import Continuity, continuity
from vfs.file_table import FileTable
from vfs.follow import MAX_PLANS
from vfs.load import load_files
from vfs.replica import SharedReplica
from vfs.timetravel import parse_instant
from vfs.view import View
from vfs.waiter import Waiter

MAX_HEADER_TIMES = 65_536
"""How many exact times of files are remembered."""


class TimeTraveller:
    """Makes views at earlier instants of one replica; connections at the same TXID share one."""

    def __init__(self, replica: SharedReplica) -> None:
        """Make no request yet."""
        self._replica = replica
        self._lock = Lock()
        self._views: WeakValueDictionary[tuple[int, TXID], View] = WeakValueDictionary()  # guarded by _lock
        self._header_times: dict[FileInfo, datetime] = {}

    def at_txid(self, txid: TXID, waiter: Waiter) -> View:
        """Return the view at a TXID.

        Raises:
            TxNotAvailableError: the replica does not reach it exactly.
            LitestreamError: as planning and loading do.

        """
        current = self._replica.view
        if current.txid == txid:
            return current
        with self._lock:
            view = self._views.get((current.history, txid))
        if view is not None:
            return view
        listing: dict[int, tuple[FileInfo, ...]] = {}

        def plan() -> tuple[FileInfo, ...]:
            listing.update(self._replica.fetcher.list_all(waiter))
            return plan_restore(listing, txid=txid)

        return self._build(plan, waiter, listing)

    def at_time(self, instant: datetime, waiter: Waiter) -> View:
        """Return the view as it was just before an instant.

        Raises:
            TxNotAvailableError: the instant is before history; the message gives the earliest.
            LitestreamError: as planning and loading do.

        """
        client, executor = self._replica.client, self._replica.fetcher.executor(waiter)
        if len(self._header_times) > MAX_HEADER_TIMES:
            self._header_times.clear()
        listing: dict[int, tuple[FileInfo, ...]] = {}

        def plan() -> tuple[FileInfo, ...]:
            if not client.accurate_list_times:
                return calc_restore_plan(client, timestamp=instant, executor=executor, header_times=self._header_times)
            listing.update(self._replica.fetcher.list_all(waiter))
            return plan_restore(listing, timestamp=instant)

        return self._build(plan, waiter, listing)

    def at_text(self, text: str, waiter: Waiter) -> View | None:
        """Return the view just before the instant that a value of `litestream_time` means; None means the newest.

        Raises:
            UsageError: the value means no instant.
            LitestreamError: as `at_time`.

        """
        now = self._replica.clock.now()
        instant = parse_instant(text, now)
        return None if instant is None or instant > now else self.at_time(instant, waiter)

    def restore_points(self, waiter: Waiter) -> list[RestorePoint]:
        """Return the TXIDs one can travel to, oldest first.

        Raises:
            LitestreamError: as listing does.

        """
        return restore_points(self._replica.fetcher.list_all(waiter))

    def _build(
        self,
        plan: Callable[[], tuple[FileInfo, ...]],
        waiter: Waiter,
        listing: Mapping[int, tuple[FileInfo, ...]],
    ) -> View:
        """Return the view of a plan; `listing` is what the plan was made from, if that is known."""
        replica = self._replica
        for attempt in range(1, MAX_PLANS + 1):
            current, table = replica.view, replica.table
            if table.history != current.history:
                replica.poll(waiter)  # after the poll under way, which is about to show the new history
                continue
            files = plan()
            key = (current.history, files[-1].max_txid)
            with self._lock:
                view = self._views.get(key)
            if view is not None:
                return view
            try:
                if not self._is_known(files, listing, table, waiter):
                    replica.poll(waiter)  # takes over the new history
                    continue
                loaded = table.unify(load_files(files, replica.fetcher, waiter))
            except LTXMissingError:
                if attempt == MAX_PLANS:
                    raise
                continue
            view = compose(loaded, None, history=current.history, epoch=0).view
            view.time = written_at(view, listing, replica.fetcher)
            table.add(loaded)
            replica.cache.add_view(view)
            with self._lock:
                return self._views.setdefault(key, view)
        msg = f"history of the replica kept starting over, {MAX_PLANS} times in a row"
        raise UnavailableError(msg)

    def _is_known(
        self,
        files: tuple[FileInfo, ...],
        listing: Mapping[int, tuple[FileInfo, ...]],
        table: FileTable,
        waiter: Waiter,
    ) -> bool:
        """Say whether files are of the history in `table`; those of another one would later prove a wrong thing."""
        fetcher = self._replica.fetcher
        found = continuity(files, table, fetcher, waiter)
        if found is Continuity.UNPROVEN:
            listing = listing or fetcher.list_all(waiter)
            found = continuity([info for infos in listing.values() for info in infos], table, fetcher, waiter)
        return found is Continuity.SAME
