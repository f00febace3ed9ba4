"""Whether another copy of SQLite in this process has a database open.

Two copies know nothing of each other's locks, which belong to the process as a whole. A copy that closes its last
connection to a database finds no lock of others, and deletes the WAL that APSW is writing to; and its closing drops
APSW's locks. The module sqlite3 is such a copy, unless APSW was built to use the system's SQLite, as that module does.

The descriptors of the process tell whether anybody but APSW has the file open, though not always for sure, and hardly
who. The connections of the module sqlite3 are found through the garbage collector, and asked; those of other threads
give no answer. Else it may be a library with an SQLite of its own, or a file that was opened by `open`.

Source: sqlite.org/howtocorrupt.html, "Multiple copies of SQLite linked into the same application".
"""

import gc
import os
import sys
import time
from logging import Logger
from typing import Any

import apsw

from replication.errors import UsageError
from replication.sync.descriptors import FileId, ForeignDescriptors, file_id

ADVICE = (
    "it is another copy of SQLite, which sees no locks of APSW, and deletes the live WAL when it closes the database: "
    "use apsw there too, or replicate from a process of its own, `apsw-litestream replicate`"
)

_ATTEMPTS = 3
_PAUSE_S = 0.01
"""Longer than it takes to open or close a connection: what is true only meanwhile does not count."""


def has_own_sqlite() -> bool:
    """Say whether APSW has an SQLite of its own; if not, it shares the system's with the module sqlite3."""
    return bool(apsw.using_amalgamation)


def check_no_other_sqlite(path: str, file: FileId, logger: Logger) -> None:
    """Refuse a database that the module sqlite3 has open in this process, and warn of anybody else who has.

    Raises:
        UsageError: the module sqlite3 has it open, or may have.

    """
    foreign = ForeignDescriptors.of(file)
    for _ in range(_ATTEMPTS - 1):
        if not foreign.count:
            return
        time.sleep(_PAUSE_S)
        foreign = ForeignDescriptors.of(file)
    if not foreign.count:
        return
    is_unknown = False
    for connection in _sqlite3_connections():
        files = _files_of(connection)
        if files is None:
            is_unknown = True
        elif file in files:
            msg = f"{path} is open in this process through the module sqlite3 ({connection!r}); {ADVICE}"
            raise UsageError(msg)
    if is_unknown:
        msg = (
            f"{path} may be open in this process through a connection of the module sqlite3 in another thread; {ADVICE}"
        )
        if not foreign.is_kept:
            raise UsageError(msg)
        logger.warning("%s", msg)
    elif not foreign.is_kept:
        logger.warning(
            "%s is open in this process %d times by other means than APSW: when that is closed, the locks of APSW are "
            "dropped, and another process may delete the live WAL",
            path,
            foreign.count,
        )


def _sqlite3_connections() -> list[Any]:
    """Return the connections of the module sqlite3; if it was never imported there are none."""
    module = sys.modules.get("_sqlite3")
    if module is None:
        return []
    # Not isinstance, which asks the object: proxies would do whatever they put off until then.
    return [found for found in gc.get_objects() if issubclass(type(found), module.Connection)]


def _files_of(connection: Any) -> set[FileId | None] | None:  # noqa: ANN401 - sqlite3.Connection, which stays unimported
    """Return which files a connection has open; None if it does not say so, being another thread's."""
    module = sys.modules["_sqlite3"]
    try:
        _ = connection.in_transaction
    except module.ProgrammingError:
        return set()  # closed, or never opened
    try:
        # As a blob, which no text_factory touches. The base class's own methods, whatever a subclass does.
        cursor = module.Connection.cursor(connection)
        cursor.row_factory = None
        rows = cursor.execute("SELECT CAST(file AS BLOB) FROM pragma_database_list").fetchall()
    except module.Error:
        return None
    return {file_id(os.fsdecode(name)) for (name,) in rows if name}
