"""Page 1 as a connection sees it: the stored page with the fields patched that SQLite judges its own cache by.

    offset  size  field                       patched to
    18      2     write and read version      1, 1: a rollback journal, so that nobody looks for a WAL
    24      4     file change counter         TXID + an offset, low 32 bits
    28      4     database size, in pages     commit
    40      4     schema cookie               stored cookie + an offset, low 32 bits
    92      4     version-valid-for           as the file change counter, so that the size at 28 is believed

While the counter stays, SQLite keeps its page cache from one transaction to the next; while the cookie stays, it keeps
its parsed schema. So neither may come back with another meaning. Within an epoch TXIDs only rise, and the stored
cookie changes with the schema. When the epoch changes (time travel, a restored primary, history that starts over) the
same TXID or the same cookie may mean something else: new offsets then make both one more than the last shown.

Source: sqlite.org/fileformat2.html#the_database_header.
"""

from struct import Struct

from vfs.view import View

COUNTER_OFFSET = 24
_U32 = Struct(">I")
_COUNTER_AND_COMMIT = Struct(">II")
_COOKIE_OFFSET = 40
_VALID_FOR_OFFSET = 92
_MASK = 2**32 - 1

Epoch = tuple[int, int]


class PageOne:
    """Patches page 1 for one connection; used by one thread at a time, as the connection is."""

    def __init__(self) -> None:
        """Show TXIDs and cookies as they are until the epoch changes."""
        self._epoch: Epoch | None = None
        self._counter_offset = 0
        self._cookie_offset = 0
        self._counter = 0  # last shown
        self._cookie = 0  # last shown

    def patch(self, page: bytes, view: View, epoch: Epoch) -> bytes:
        """Return page 1 of a view as this connection shall see it; `page` is as stored, 512 bytes or more."""
        (stored_cookie,) = _U32.unpack_from(page, _COOKIE_OFFSET)
        if self._epoch is not None and epoch != self._epoch:
            self._counter_offset = self._counter + 1 - view.txid
            self._cookie_offset = self._cookie + 1 - stored_cookie
        self._epoch = epoch
        self._counter = (view.txid + self._counter_offset) & _MASK
        self._cookie = (stored_cookie + self._cookie_offset) & _MASK
        patched = bytearray(page)
        patched[18:20] = b"\x01\x01"
        _COUNTER_AND_COMMIT.pack_into(patched, COUNTER_OFFSET, self._counter, view.commit)
        _U32.pack_into(patched, _COOKIE_OFFSET, self._cookie)
        _U32.pack_into(patched, _VALID_FOR_OFFSET, self._counter)
        return bytes(patched)
