"""From our errors to SQLite's result codes: one table."""

import apsw

from replication.errors import (
    CorruptError,
    DeniedError,
    LitestreamError,
    NoSnapshotsError,
    SnapshotGoneError,
    TxNotAvailableError,
    UsageError,
)
from vfs.waiter import InterruptedReadError

_OPEN = (
    (InterruptedReadError, apsw.SQLITE_INTERRUPT),
    (DeniedError, apsw.SQLITE_AUTH),
    (CorruptError, apsw.SQLITE_CORRUPT),
    (LitestreamError, apsw.SQLITE_CANTOPEN),
)
_READ = (
    (InterruptedReadError, apsw.SQLITE_INTERRUPT),
    (SnapshotGoneError, apsw.SQLITE_BUSY_SNAPSHOT),
    (DeniedError, apsw.SQLITE_AUTH),
    (CorruptError, apsw.SQLITE_CORRUPT),
    (LitestreamError, apsw.SQLITE_IOERR_READ),
)
_PRAGMA = (
    (InterruptedReadError, apsw.SQLITE_INTERRUPT),
    (UsageError, apsw.SQLITE_ERROR),
    (TxNotAvailableError, apsw.SQLITE_ERROR),
    (NoSnapshotsError, apsw.SQLITE_ERROR),
    (DeniedError, apsw.SQLITE_AUTH),
    (CorruptError, apsw.SQLITE_CORRUPT),
    (LitestreamError, apsw.SQLITE_IOERR_READ),
)

_Table = tuple[tuple[type[LitestreamError], int], ...]


def open_error(error: LitestreamError) -> Exception:
    """Return what to raise, `from error`, when a replica cannot be opened."""
    return _translated(error, _OPEN)


def read_error(error: LitestreamError) -> Exception:
    """Return what to raise, `from error`, when a page cannot be read or a view not be had."""
    return _translated(error, _READ)


def pragma_error(error: LitestreamError) -> Exception:
    """Return what to raise, `from error`, when a pragma or a function cannot answer."""
    return _translated(error, _PRAGMA)


def _translated(error: LitestreamError, table: _Table) -> Exception:
    code = next(code for kind, code in table if isinstance(error, kind))
    exception: Exception = apsw.exception_for(code)
    exception.args = (str(error),)
    return exception
