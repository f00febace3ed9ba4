"""Following a replica: from one view to the next.

One position, the TXID of the current view, counts, and any level may supply the next file. A gap, a missing file, a
long pause or a lost file mean: list every level and plan again. Files are laid upon a view only if the listing they
come from is proven to be of its history, by a known file in it. If known names have other content, if no known file is
there any more, or if nothing reaches the position, history started over, and the view is made anew from a snapshot.

Only one thread at a time runs `step`; the caller sees to that.
"""

from collections.abc import Mapping
from dataclasses import replace
from logging import Logger

from replication.clock import Clock
from replication.errors import CorruptError, LitestreamError, LTXMissingError, NoSnapshotsError, PositionError
from replication.levels import LEVELS
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID, format_txid
from replication.restore.plan import plan_from, plan_reachable, plan_restore
from vfs.compose import Composed, compose, written_at
from vfs.continuity import Continuity, continuity
from vfs.fetch import Fetcher
from vfs.file_table import FileTable
from vfs.load import LoadedFile, load_files
from vfs.next_files import NextFiles, newest_file
from vfs.schedule import LIST_INTERVAL_S, LONG_PAUSE_INTERVALS, Cause, Schedule
from vfs.view import View
from vfs.waiter import Waiter

MAX_PLANS = 4
"""How often a step plans, when files vanish between list and get."""

MANY_FILES = 16
"""A longer chain of level-0 files is worth a look for a file of a higher level that holds them all."""

PAUSE_MISSES = 3
"""After so many polls without a new file, since the last one that had some, the newest file or a listing tells why."""

REWIND_SIGHTINGS = 2
"""How often in a row every file must end before the position until that is believed."""

_WRONG_REPLICA = (CorruptError, LTXMissingError, NoSnapshotsError, PositionError)

Listing = Mapping[int, tuple[FileInfo, ...]]


class Follower:
    """Makes the views of one replica, one after the other."""

    def __init__(self, fetcher: Fetcher, poll_interval_s: float, clock: Clock, logger: Logger) -> None:
        """Know nothing yet; `first` comes before `step`."""
        self._fetcher = fetcher
        self.poll_interval_s = poll_interval_s
        self._clock = clock
        self._logger = logger
        self._schedule = Schedule()
        self._idle = False
        self._rebase = False
        self._rewinds = 0
        self._last_step = clock.monotonic()
        self._last_list = clock.monotonic()
        self._misses = PAUSE_MISSES  # polls by name without a file since the last one that had some
        self._next_files = NextFiles(fetcher, clock)
        self._seeks: dict[int, TXID] = {}  # first TXID of the newest file of each level that has files
        self.table = FileTable(history=0)

    def lost_a_file(self) -> None:
        """Make the next step start from a new plan, because a file in use has vanished."""
        self._rebase = True

    def first(self, waiter: Waiter) -> Composed:
        """Return the first view, as new as possible.

        Raises:
            NoSnapshotsError: there is no replica, or no file that holds the whole database.
            LTXError, ChecksumMismatchError, PositionError: the replica is broken.
            DeniedError, UnavailableError, InterruptedReadError, UsageError: as the waiter and the client say.

        """
        return self._anew(None, waiter, history=0, epoch=0)

    def step(self, view: View, waiter: Waiter, cause: Cause = Cause.ASKED) -> Composed | None:
        """Return the view after `view`, or None if nothing is new; the cause says which levels to look at first.

        Raises:
            PositionError: there are newer files, but a gap before them.
            NoSnapshotsError: the replica is gone or empty.
            LTXError, ChecksumMismatchError, DeniedError, UnavailableError, InterruptedReadError: as `first`.

        """
        now = self._clock.monotonic()
        # A pushed poll lists nothing but level 0, so the listing that looks elsewhere too is left to the next one.
        is_list_due = cause is Cause.DUE and now - self._last_list >= LIST_INTERVAL_S
        if now - self._last_step > LONG_PAUSE_INTERVALS * self.poll_interval_s:
            self._schedule.want_all()
        rebase, self._rebase = self._rebase and view.lost_a_file, False
        composed: Composed | None
        try:
            if rebase:
                composed = self._anew(view, waiter, history=view.history, epoch=view.epoch)
            else:
                found = None if is_list_due else self._by_name(view, waiter, cause)
                if found is None:
                    # Where new files are asked for by name, a listing that is due is there for what names do not tell.
                    idle = self._idle if self._fetcher.is_local else is_list_due
                    composed = self._advance(view, waiter, self._schedule.next_levels(cause, idle=idle))
                else:
                    composed = self._lay(found, view)
        except LitestreamError as error:
            self._rebase |= rebase
            if isinstance(error, _WRONG_REPLICA):
                self._schedule.want_all()  # another level may lead on, and no single level can say that all is well
            raise
        self._last_step = now
        self._idle = composed is None
        if composed is not None:
            self._misses = 0
        return composed

    def _by_name(self, view: View, waiter: Waiter, cause: Cause) -> list[LoadedFile] | None:
        """Return the next files by their names, or None where a listing does better."""
        if cause is Cause.ASKED or self._schedule.wants_all or self._fetcher.is_local:
            return None
        # What was pushed is all to be had now, for there may be no other push.
        interval_s = None if cause is Cause.PUSHED else self.poll_interval_s
        found = self._next_files.fetch(view, self.table, interval_s, waiter)
        if not found:
            self._misses += 1
        if found == [] and self._misses == PAUSE_MISSES:
            # Files came, and come no more: that is a pause, or they come and go faster than they are asked for.
            return found if self._next_files.is_newest_there(view, self.table, waiter) else None
        return found

    def _lay(self, found: list[LoadedFile], view: View) -> Composed | None:
        if not found:
            return None
        loaded = self.table.unify(found)
        composed = compose(loaded, view, history=view.history, epoch=view.epoch)
        self.table.add(loaded)
        self._rewinds = 0
        return composed

    def _advance(self, view: View, waiter: Waiter, levels: tuple[int, ...]) -> Composed | None:
        listing = self._list(levels, view.txid, waiter)
        needs_more = self._needs_more(listing, view.txid, waiter)
        if needs_more and 0 not in listing and not self._fetcher.is_local:
            found = self._instead_of_level_0(listing, view, waiter)
            if found is not None:
                self.table.see(listing)
                return self._lay(found, view)
        if needs_more and 1 not in listing:
            # Level 1 is where files of level 0 go when they are deleted, so that it mostly says all there is to say.
            listing = {**listing, **self._list((1,) if 0 in listing else (0, 1), view.txid, waiter)}
            needs_more = self._needs_more(listing, view.txid, waiter)
        if needs_more:
            listing = self._list_all(waiter)
        missing: LTXMissingError | None = None
        for _ in range(MAX_PLANS):
            if self._started_over(listing, view, waiter):
                self._logger.warning("history of the replica started over; it was at TXID %s", format_txid(view.txid))
                return self._anew(None, waiter, history=view.history + 1, epoch=view.epoch + 1)
            plan = plan_from(listing, view.txid)
            if not plan:
                return None
            try:
                loaded = self.table.unify(load_files(plan, self._fetcher, waiter, are_new=True))
            except LTXMissingError as error:
                missing, listing = error, self._list_all(waiter)
                continue
            composed = compose(loaded, view, history=view.history, epoch=view.epoch)
            self.table.add(loaded)
            self._rewinds = 0
            return composed
        raise self._kept_vanishing(missing)

    def _anew(self, view: View | None, waiter: Waiter, *, history: int, epoch: int) -> Composed:
        """Make a view from a snapshot on; `view` is the one before it if history is the same."""
        missing: LTXMissingError | None = None
        for _ in range(MAX_PLANS):
            listing = self._list_all(waiter)
            if view and self._started_over(listing, view, waiter):
                view, history, epoch = None, history + 1, epoch + 1
            plan = plan_restore(listing)
            if view and plan[-1].max_txid < view.txid:
                msg = f"expected files up to TXID {view.txid:016x}, got them up to {plan[-1].max_txid:016x}"
                raise PositionError(msg, expected=view.txid, actual=plan[-1].max_txid)
            try:
                loaded = load_files(plan, self._fetcher, waiter)
            except LTXMissingError as error:
                missing = error
                continue
            if view:
                loaded = self.table.unify(loaded)
            composed = compose(loaded, None, history=history, epoch=epoch)
            composed.view.time = written_at(composed.view, listing, self._fetcher)
            if view is None:
                # Known from the moment the view is shown, so that a view and the table are always of one history.
                composed = replace(composed, table=FileTable(history))
            elif composed.view.txid == view.txid:
                composed.view.epoch = view.epoch  # the same state, only found in other files
                composed = Composed(composed.view, frozenset())
            table = composed.table or self.table
            table.see(listing)
            table.add(loaded)
            self._rewinds = 0
            return composed
        raise self._kept_vanishing(missing)

    def _started_over(self, listing: Listing, view: View, waiter: Waiter) -> bool:
        infos = [info for files in listing.values() for info in files]
        found = continuity(infos, self.table, self._fetcher, waiter)
        if found is Continuity.SAME:
            self.table.see(listing)
        if len(listing) < len(LEVELS):
            return found is Continuity.OTHER
        if not infos:
            msg = "the replica is gone: it has no files any more"
            raise NoSnapshotsError(msg)
        if found is not Continuity.SAME:
            return True  # what is not proven to go on must not be laid upon what is known
        self._rewinds = self._rewinds + 1 if max(info.max_txid for info in infos) < view.txid else 0
        if self._rewinds:
            self._schedule.want_all()
        return self._rewinds >= REWIND_SIGHTINGS and bool(plan_reachable(listing))

    def _needs_more(self, listing: Listing, position: TXID, waiter: Waiter) -> bool:
        """Say whether these levels alone do not tell what to do."""
        if len(listing) == len(LEVELS):
            return False
        if any(not infos and level in self._seeks for level, infos in listing.items()):
            return True  # a writer keeps a level's newest file, so something else has happened
        infos = [info for files in listing.values() for info in files]
        if not infos and 0 not in listing and newest_file(position, self.table) is not None:
            # Levels without files do not tell whether history is the same. That file does, and costs one small request.
            return not self._fetcher.is_local
        if infos and continuity(infos, self.table, self._fetcher, waiter) is Continuity.UNPROVEN:
            return True
        try:
            plan = plan_from(listing, position)
        except PositionError:
            return True
        # Another level may be ahead of level 0's files only because they were not listed.
        return len(plan) > MANY_FILES or (bool(plan) and 0 not in listing)

    def _instead_of_level_0(self, listing: Listing, view: View, waiter: Waiter) -> list[LoadedFile] | None:
        """Return the next files by their names, where those make up for a listing without level 0; None elsewhere.

        They do if they are proven to go on from the view, and lead as far as what was listed.
        """
        infos = [info for files in listing.values() for info in files]
        if any(not files and level in self._seeks for level, files in listing.items()):
            return None
        if continuity(infos, self.table, self._fetcher, waiter) is Continuity.OTHER:
            return None
        found = self._next_files.fetch(view, self.table, None, waiter)
        if found is None:
            return None
        reached = found[-1].file.info.max_txid if found else view.txid
        if reached < max((info.max_txid for info in infos), default=NO_TXID):
            return None
        return found if found or self._next_files.is_newest_there(view, self.table, waiter) else None

    def _list(self, levels: tuple[int, ...], position: TXID, waiter: Waiter) -> Listing:
        """List levels from the newest file known of each on, so that it is there again, or something happened."""
        if len(levels) == len(LEVELS):
            return self._list_all(waiter)
        seeks = {level: min(self._seeks.get(level, NO_TXID), position) for level in levels}
        futures = [self._fetcher.list(level, seek) for level, seek in seeks.items()]
        return self._note(dict(zip(seeks, waiter.results(futures), strict=True)))

    def _list_all(self, waiter: Waiter) -> Listing:
        listing = self._fetcher.list_all(waiter)
        self._schedule.all_listed()
        self._seeks.clear()
        return self._note(listing)

    def _note(self, listing: Listing) -> Listing:
        self._last_list = self._clock.monotonic()
        for level, infos in listing.items():
            if infos:
                self._seeks[level] = infos[-1].min_txid
        return listing

    @staticmethod
    def _kept_vanishing(missing: LTXMissingError | None) -> LTXMissingError:
        error = LTXMissingError(f"files vanished between list and get, {MAX_PLANS} times in a row: {missing}")
        error.__cause__ = missing
        return error
