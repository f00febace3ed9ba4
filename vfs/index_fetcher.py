"""Fetches what is missing of the page index of a large snapshot: a window where a page is looked for, or all of it.

Once some windows were needed, more will be: the whole index then follows in the background, a part after the other.
Whoever looks for a page meanwhile fetches a window, as before.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from replication.client.fetch import naming_file
from replication.errors import LitestreamError, LTXError
from replication.ltx.header import HEADER_SIZE
from replication.ltx.index import check_entries, decode_entries
from vfs.fetch import Fetcher
from vfs.ltx_file import LTXFile
from vfs.snapshot_index import SnapshotIndex
from vfs.waiter import Waiter

ENOUGH_WINDOWS = 8
"""When so many windows were needed, the whole index is fetched."""

MAX_UNDER_WAY = 8  # windows nobody waits for

_ALL = -1  # in place of a window's start

PART_SIZE = 2**20
"""Bytes of one request for the whole index."""


class IndexFetcher:
    """Fetches the page indexes of one replica's large snapshots."""

    def __init__(self, fetcher: Fetcher) -> None:
        """Fetch nothing yet."""
        self._fetcher = fetcher
        self._lock = Lock()
        self._under_way: set[tuple[LTXFile, int]] = set()  # windows, and -1 for all of an index; guarded by _lock

    def fetch(self, file: LTXFile, index: SnapshotIndex, pgno: int, waiter: Waiter) -> None:
        """Fetch the window of an index that should say where a page is, and wait for it.

        Raises:
            LTXMissingError, DeniedError, UnavailableError, InterruptedReadError: as the waiter and the client say.
            LTXError: that is no part of a page index.

        """
        start, end = index.window(pgno)
        data = self._fetcher.fetch(file.info, start, end, waiter)
        with naming_file(file.info):
            index.add(start, data)
        self._follow(file, index)

    def want(self, file: LTXFile, index: SnapshotIndex, pgno: int) -> None:
        """Fetch that window, and wait for nothing; if it fails, whoever needs it is told."""
        start, end = index.window(pgno)
        key = file, start
        with self._lock:
            if key in self._under_way or len(self._under_way) >= MAX_UNDER_WAY:
                return
            self._under_way.add(key)

        def landed(future: Future[bytes]) -> None:
            with self._lock:
                self._under_way.discard(key)
            if not future.cancelled() and future.exception() is None:
                try:
                    index.add(start, future.result())
                except LTXError:
                    return  # whoever waits for it gets the same bytes, and the error
                self._follow(file, index)

        self._ask(file, start, end, landed, key)

    def _follow(self, file: LTXFile, index: SnapshotIndex) -> None:
        """Fetch the whole index if enough of it was needed."""
        key = file, _ALL
        with self._lock:
            if index.window_count < ENOUGH_WINDOWS or index.offsets is not None or key in self._under_way:
                return
            self._under_way.add(key)
        _WholeIndex(self, file, index).go_on()

    def _ask(
        self, file: LTXFile, start: int, end: int, landed: Callable[[Future[bytes]], None], key: tuple[LTXFile, int]
    ) -> None:
        try:
            future = self._fetcher.read(file.info, start, end)
        except LitestreamError:
            with self._lock:
                self._under_way.discard(key)
            return
        future.add_done_callback(landed)

    def ended(self, file: LTXFile) -> None:
        """Note that nobody fetches all of an index any more."""
        with self._lock:
            self._under_way.discard((file, _ALL))

    def read(self, file: LTXFile, start: int, end: int, landed: Callable[[Future[bytes]], None]) -> None:
        """Ask for bytes of a file; what asks for the whole index is told when it landed."""
        self._ask(file, start, end, landed, (file, _ALL))


class _WholeIndex:
    """A page index on its way, a part after the other; each part is decoded on the thread that brought it."""

    def __init__(self, fetcher: IndexFetcher, file: LTXFile, index: SnapshotIndex) -> None:
        """Ask for nothing yet."""
        self._fetcher = fetcher
        self._file = file
        self._index = index
        self._position = 0  # bytes of the index that came
        self._rest = b""  # an entry that is not whole yet
        self._offsets: NDArray[np.uint64] = np.empty(len(index) + 1, dtype=np.uint64)
        self._count = 0
        self._last_pgno, self._end = 0, HEADER_SIZE

    def go_on(self) -> None:
        """Ask for the next part."""
        start = self._index.start + self._position
        end = self._index.start + min(self._position + PART_SIZE, self._index.size)
        self._fetcher.read(self._file, start, end, lambda future: self._landed(future, end - start))

    def _landed(self, future: Future[bytes], size: int) -> None:
        try:
            if not future.cancelled() and future.exception() is None and len(future.result()) == size:
                self._position += size
                self._take(future.result())
                if self._position < self._index.size:
                    self.go_on()
                    return
                self._offsets[self._count] = self._end
                self._index.add_all(self._offsets[: self._count + 1])
        except LTXError:
            pass  # whoever needs a page finds its window, or is told what is wrong with it
        self._fetcher.ended(self._file)

    def _take(self, data: bytes) -> None:
        data = self._rest + data
        part = decode_entries(np.frombuffer(data, dtype=np.uint8))
        check_entries(part, self._last_pgno, self._end)
        count = self._count + len(part.offsets)
        if count > len(self._index):
            msg = f"expected {len(self._index)} pages in the page index, got more"
            raise LTXError(msg, offset=self._index.start)
        self._offsets[self._count : count] = part.offsets
        self._count, self._rest = count, data[part.size :]
        self._last_pgno = int(part.pgnos[-1])
        self._end = int(part.offsets[-1] + part.sizes[-1])
