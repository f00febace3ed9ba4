"""The next files of level 0, asked for by name: files there hold one TXID, so the name of the next one is known.

One request costs a twelfth of a listing, and its answer is the file. What is there must be shown to be of the history
of what is known: it goes on in the WAL where the newest known file ended, under the same salts, or else that file is
still in the replica. A name that is not there says that nothing is new, or that the file has come and gone: not the
latter while the file before it is still there, and else only a listing can tell.
"""

from replication.clock import Clock, from_timestamp_ms
from replication.errors import LTXMissingError
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE, Header
from replication.position import TXID
from vfs.fetch import Fetcher
from vfs.file_table import FileTable
from vfs.load import LEVEL_0_WHOLE_SIZE, LoadedFile, loaded_whole
from vfs.ltx_file import LTXFile
from vfs.view import View
from vfs.waiter import Waiter

MAX_FILES = 16
"""How many files are asked for one after the other; whoever is further behind does better with a listing."""


class NextFiles:
    """Asks for the files after a view."""

    def __init__(self, fetcher: Fetcher, clock: Clock) -> None:
        """Take how to ask, and what time it is."""
        self._fetcher = fetcher
        self._clock = clock

    def fetch(self, view: View, table: FileTable, interval_s: float | None, waiter: Waiter) -> list[LoadedFile] | None:
        """Return the files that follow a view, none if there is none now; None if a listing has to tell.

        After a file that was written within the last interval no other one is asked for: it can wait for the next.
        Without an interval every one is asked for, and whoever is too far behind takes a listing.

        Raises:
            LTXError, ChecksumMismatchError: a file is broken.
            DeniedError, UnavailableError, InterruptedReadError: as the waiter and the client say.

        """
        loaded: list[LoadedFile] = []
        newest = newest_file(view.txid, table)
        for txid in range(view.txid + 1, view.txid + 1 + MAX_FILES):
            try:
                info, data = waiter.result(self._fetcher.named(0, TXID(txid), LEVEL_0_WHOLE_SIZE + 1))
            except LTXMissingError:
                return loaded
            if len(data) > LEVEL_0_WHOLE_SIZE:
                return loaded or None  # too large to be taken whole
            one = loaded_whole(info, data)
            if newest is None or not self._goes_on(newest, one.file.header, waiter):
                return loaded or None
            loaded.append(one)
            newest = one.file
            age_s = (self._clock.now() - from_timestamp_ms(newest.header.timestamp_ms)).total_seconds()
            if interval_s is not None and age_s < interval_s:
                return loaded
        return loaded if interval_s is not None else None

    def is_newest_there(self, view: View, table: FileTable, waiter: Waiter) -> bool:
        """Say whether the file of level 0 that a view ends with is known, and still the same in the replica.

        Then history is the same, and no file after it has come and gone: level 0 loses its oldest files first.

        Raises:
            LTXError: what is there now is no LTX file.
            DeniedError, UnavailableError, InterruptedReadError: as the waiter and the client say.

        """
        newest = newest_file(view.txid, table)
        return newest is not None and self._is_there(newest, waiter)

    def _goes_on(self, newest: LTXFile, header: Header, waiter: Waiter) -> bool:
        """Say whether a file is proven to be of the same history as the one before it."""
        before = newest.header
        if (
            before.wal_size
            and header.wal_offset == before.wal_offset + before.wal_size
            and (header.wal_salt1, header.wal_salt2) == (before.wal_salt1, before.wal_salt2)
        ):
            return True
        return self._is_there(newest, waiter)

    def _is_there(self, file: LTXFile, waiter: Waiter) -> bool:
        try:
            data = waiter.result(self._fetcher.read(file.info, 0, HEADER_SIZE))
        except LTXMissingError:
            return False
        return Header.unpack(data) == file.header


def newest_file(position: TXID, table: FileTable) -> LTXFile | None:
    """Return the file of level 0 that a view ends with, if it is known."""
    return table.get(FileInfo(level=0, min_txid=position, max_txid=position))
