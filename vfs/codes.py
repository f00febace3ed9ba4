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


def open_error(error: LitestreamError, replica: str = "") -> Exception:
    """Return what to raise, `from error`, when a replica cannot be opened; `replica` says which, where that helps."""
    return _translated(error, _OPEN, f"cannot open {replica}: " if replica else "")


def read_error(error: LitestreamError) -> Exception:
    """Return what to raise, `from error`, when a page cannot be read or a view not be had."""
    return _translated(error, _READ)


def pragma_error(error: LitestreamError) -> Exception:
    """Return what to raise, `from error`, when a pragma or a function cannot answer."""
    return _translated(error, _PRAGMA)


def with_code(error: LitestreamError, code: int, prefix: str = "") -> Exception:
    """Return what to raise, `from error`, with a result code of SQLite that is not in the tables."""
    exception: Exception = apsw.exception_for(code)
    exception.args = (f"{prefix}{error}",)
    return exception


def _translated(error: LitestreamError, table: _Table, prefix: str = "") -> Exception:
    return with_code(error, next(code for kind, code in table if isinstance(error, kind)), prefix)
