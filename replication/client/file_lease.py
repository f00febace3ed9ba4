"""The lease of a replica in a directory.

A lock of the operating system keeps writers apart while one of them compares and renames; it goes with the process
that holds it, so a crash leaves nothing behind.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replication.errors import DeniedError, UnavailableError
from replication.lease import LEASE_NAME, StoredLease, content_etag


class FileLeaseStore:
    """A lease in a directory, for processes of one machine."""

    def __init__(self, root: Path) -> None:
        """Name the directory; it need not exist yet."""
        self._path = root / LEASE_NAME

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none."""
        with self._errors():
            data = self._read()
        return None if data is None else StoredLease(data, content_etag(data))

    def create(self, data: bytes) -> str | None:
        """Store a lease if there is none."""
        with self._alone():
            return self._write(data) if self._read() is None else None

    def replace(self, data: bytes, etag: str) -> str | None:
        """Replace the lease that has this etag."""
        with self._alone():
            found = self._read()
            return self._write(data) if found is not None and content_etag(found) == etag else None

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, data: bytes) -> str:
        temporary = self._path.with_name(f"{LEASE_NAME}.tmp")  # one writer at a time comes here
        temporary.write_bytes(data)
        temporary.replace(self._path)
        return content_etag(data)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other writers out; the file that is locked stays, for deleting it would let two of them in."""
        import fcntl  # noqa: PLC0415 - not on Windows

        with self._errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path.with_name(f"{LEASE_NAME}.guard"), os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            msg = f"no permission for {self._path}: {error.strerror}"
            raise DeniedError(msg) from error
        except OSError as error:
            msg = f"{self._path}: {error.strerror}"
            raise UnavailableError(msg) from error
