"""What SQLite says of the primary database, as errors of ours, told apart from those of the storage."""

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from replication.errors import CorruptError, DeniedError, LitestreamError, UnavailableError


class PrimaryUnavailableError(UnavailableError):
    """Call again later: the primary database, not the replica, is busy, or its disk is full or does not answer."""


class PrimaryDeniedError(DeniedError):
    """Fix the permissions of the primary database: it cannot be written."""


class PrimaryCorruptError(CorruptError):
    """Do not retry: SQLite finds the primary database broken."""


_CLASSES: tuple[tuple[type[apsw.Error], type[LitestreamError]], ...] = (
    (apsw.CorruptError, PrimaryCorruptError),
    (apsw.NotADBError, PrimaryCorruptError),
    (apsw.ReadOnlyError, PrimaryDeniedError),
    (apsw.PermissionsError, PrimaryDeniedError),
    (apsw.AuthError, PrimaryDeniedError),
    (apsw.Error, PrimaryUnavailableError),  # busy, locked, full, I/O, cannot open
)


@contextmanager
def sqlite_errors(path: str) -> Iterator[None]:
    """Give what SQLite says of the database at `path` one of our classes."""
    try:
        yield
    except apsw.Error as error:
        found = next(ours for theirs, ours in _CLASSES if isinstance(error, theirs))
        msg = f"primary database {path}: {error}"
        raise found(msg) from error
