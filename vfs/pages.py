"""One page of a view: from the cache, from a file held whole, or from the storage.

Where the file that a view names has vanished, another file that provably holds the same version serves the page. If
there is none, the read fails as a snapshot gone; a wrong page is never an answer.
"""

from threading import Lock
from typing import Protocol

from replication.client.fetch import naming_file
from replication.errors import CorruptError, LTXError, LTXMissingError, SnapshotGoneError
from replication.ltx.file_info import FileInfo
from replication.ltx.page import decode_page
from replication.position import format_txid, lock_pgno
from vfs.ahead import FetchedAhead
from vfs.btree import INTERIOR_KINDS, page_kind
from vfs.budget import Budget
from vfs.cache import PageCache
from vfs.continuity import Continuity, continuity
from vfs.fetch import Fetcher
from vfs.file_table import FileTable
from vfs.index_fetcher import IndexFetcher
from vfs.interiors import Interiors
from vfs.load import LoadedFile, load_existing
from vfs.ltx_file import LTXFile
from vfs.place import Place
from vfs.repair import replacements
from vfs.snapshot_index import head_frames
from vfs.stats import Stats
from vfs.view import View
from vfs.waiter import Waiter

MAX_LISTINGS = 3  # per page: files found by one listing may vanish before they are read
MAX_CANDIDATES = 64  # files looked into, per listing
MAX_GUESSES = 6  # windows of a page index fetched for one page
MAX_MOVED = 65_536  # places remembered to have moved


class CurrentHistory(Protocol):
    """What reading needs of the replica that follows: the files of the history it is in, and a sign of loss."""

    @property
    def table(self) -> FileTable:
        """The files of the current history."""

    def lost_a_file(self) -> None:
        """Plan anew at the next poll, because a file in use has vanished."""


class PageSource:
    """Reads pages of any view of one replica."""

    def __init__(self, fetcher: Fetcher, cache: PageCache, stats: Stats, current: CurrentHistory) -> None:
        """Start with nothing moved."""
        self.ahead = FetchedAhead(fetcher, cache, stats)
        self.interiors = Interiors()
        self.indexes = IndexFetcher(fetcher)
        self._fetcher = fetcher
        self._cache = cache
        self._stats = stats
        self._current = current
        self._lock = Lock()
        self._moved: dict[int, Place] = {}  # guarded by _lock

    def read(self, view: View, pgno: int, waiter: Waiter, reader: Budget | None = None) -> bytes:
        """Return a page of a view, `view.page_size` bytes; zeros for the lock page.

        `reader` is the budget of whoever reads and fetches ahead.

        Raises:
            SnapshotGoneError: the page's file has vanished, and nothing provably holds the same version.
            CorruptError: no file of the view holds the page, or the stored bytes are broken.
            DeniedError, UnavailableError, InterruptedReadError: as the waiter and the client say.

        """
        place = view.find(pgno)
        if place is None:
            place = self._locate(view, pgno, waiter)
        if place is None:
            if pgno == lock_pgno(view.page_size):
                return bytes(view.page_size)
            msg = f"page {pgno} of {view.commit} is in no file of the replica at TXID {format_txid(view.txid)}"
            raise CorruptError(msg)
        page = self._cache.get(view, pgno, place.key)
        if page is not None:
            self._stats.count("cache_hits")
        else:
            self._stats.count("cache_misses")
            page = self._load(view, pgno, place, waiter, reader)
            self._keep(view, pgno, place, page)
        return page

    def _locate(self, view: View, pgno: int, waiter: Waiter) -> Place | None:
        """Return the place of a page of a large snapshot, of whose page index the part that says it is fetched."""
        layer = view.unplaced(pgno)
        for _ in range(MAX_GUESSES):
            place = view.find(pgno)
            if place is not None or layer is None:
                return place
            if layer.file.gone:
                break
            try:
                self.indexes.fetch(layer.file, layer.index, pgno, waiter)
            except LTXMissingError:
                layer.file.gone = True
                self._current.lost_a_file()
        if layer is not None and layer.file.gone:
            return self._locate_anew(view, pgno, layer.file)
        return view.find(pgno)

    @staticmethod
    def _locate_anew(view: View, pgno: int, file: LTXFile) -> Place:
        info = file.info
        msg = (
            f"page {pgno} at TXID {format_txid(view.txid)} is no longer in the replica: the snapshot "
            f"{format_txid(info.min_txid)}-{format_txid(info.max_txid)} was deleted before its page index was known; "
            "end this transaction and begin again"
        )
        raise SnapshotGoneError(msg)

    def keep_head(self, view: View, loaded: LoadedFile) -> None:
        """Put the pages that lie whole in a file's first bytes into the cache, where the view takes them from it."""
        for pgno, start, end in head_frames(loaded.head):
            place = view.find(pgno)
            if place is None or place.file is not loaded.file or place.start != start:
                continue
            try:
                page = decode_page(loaded.head[start:end], view.page_size, pgno)
            except LTXError:
                return  # whoever asks for that page is told
            self._keep(view, pgno, place, page)

    def _keep(self, view: View, pgno: int, place: Place, page: bytes) -> None:
        looks_interior = page_kind(page, pgno) in INTERIOR_KINDS
        is_interior = looks_interior and self.interiors.learn(pgno, place, page) is not None
        self._cache.put(view, pgno, place.key, page, is_interior=is_interior)

    def _load(self, view: View, pgno: int, place: Place, waiter: Waiter, reader: Budget | None) -> bytes:
        with self._lock:
            place = self._moved.get(place.key, place)
        if not place.file.gone:
            try:
                return self._fetch(place, pgno, view.page_size, waiter, reader)
            except LTXMissingError:
                place.file.gone = True
        return self._replace(view, pgno, place, waiter)

    def _fetch(self, place: Place, pgno: int, page_size: int, waiter: Waiter, reader: Budget | None = None) -> bytes:
        info, whole = place.file.info, place.file.data
        frame: bytes | memoryview | None
        if whole is not None:
            frame = whole[place.start : place.end]
        else:
            frame = self.ahead.take(place, waiter, reader)
            if frame is None:
                frame = self._fetcher.fetch(info, place.start, place.end, waiter)
        with naming_file(info):
            try:
                return decode_page(frame, page_size, pgno)
            except LTXError as error:
                error.offset = place.start
                raise

    def _replace(self, view: View, pgno: int, lost: Place, waiter: Waiter) -> bytes:
        """Read the page from another file that provably holds the same version."""
        self._stats.count("repairs")
        self._current.lost_a_file()
        for _ in range(MAX_LISTINGS):
            table = self._current.table
            if view.history != table.history:
                break
            for place in replacements(pgno, lost, view.txid, table.known()):
                try:
                    page = self._fetch(place, pgno, view.page_size, waiter)
                except LTXMissingError:
                    place.file.gone = True
                    continue
                except CorruptError:
                    continue  # the next one may be whole
                self._remember(lost, place)
                return page
            if not self._look_around(table, lost.file.info, waiter):
                break
        msg = (
            f"page {pgno} at TXID {format_txid(view.txid)} is no longer in the replica: level {lost.file.info.level} "
            f"file {format_txid(lost.file.info.min_txid)}-{format_txid(lost.file.info.max_txid)} was deleted, "
            "and no other file is known to hold the same version; end this transaction and begin again"
        )
        raise SnapshotGoneError(msg)

    def _remember(self, lost: Place, place: Place) -> None:
        with self._lock:
            if len(self._moved) >= MAX_MOVED:
                self._moved.clear()
            self._moved[lost.key] = place

    def _look_around(self, table: FileTable, lost: FileInfo, waiter: Waiter) -> bool:
        """Learn the page numbers of files there are now, those that end nearest to the lost one first.

        Says no if the replica cannot be shown to be in the same history still.
        """
        infos = [info for infos in self._fetcher.list_all(waiter).values() for info in infos]
        if continuity(infos, table, self._fetcher, waiter) is not Continuity.SAME:
            return False
        unknown = [info for info in infos if info.max_txid >= lost.min_txid and not table.knows(info)]
        unknown.sort(key=lambda info: abs(info.max_txid - lost.max_txid))
        table.add(table.unify(load_existing(unknown[:MAX_CANDIDATES], self._fetcher, waiter)))
        return True
