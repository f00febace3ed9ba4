"""Whether a listing belongs to the history a replica was in: a name that comes back with other content does not."""

from collections.abc import Iterable
from enum import Enum, auto

from replication.errors import LTXMissingError
from replication.ltx.file_info import FileInfo
from vfs.fetch import Fetcher
from vfs.file_table import FileTable
from vfs.load import load_headers
from vfs.waiter import Waiter


class Continuity(Enum):
    """What the known names in a listing say."""

    SAME = auto()
    """A known file is still there, and none has other content."""
    OTHER = auto()
    """History started over: a known name has other content."""
    UNPROVEN = auto()
    """No known file is there: it may be the same history or another one, so nothing of it fits on what is known."""


def continuity(infos: Iterable[FileInfo], table: FileTable, fetcher: Fetcher, waiter: Waiter) -> Continuity:
    """Return what a listing says of the history whose files are in `table`.

    A copied file, or one whose time was set after it was listed, has a new identity but the same header; the header
    decides, and the new identity is taken over.

    Raises:
        LTXError, DeniedError, UnavailableError, InterruptedReadError: as the waiter and the client say.

    """
    found = Continuity.UNPROVEN
    for info in infos:
        file = table.get(info)
        if file is None:
            if table.has_seen(info):
                found = Continuity.SAME
            continue
        if info.identity != file.info.identity or info.size != file.info.size:
            try:
                (header,) = load_headers([info], fetcher, waiter)
            except LTXMissingError:
                continue
            if header != file.header or info.size != file.info.size:
                return Continuity.OTHER
            file.info = info
            file.gone = False
        found = Continuity.SAME
    return found
