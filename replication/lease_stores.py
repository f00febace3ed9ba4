"""Where leases are stored: in memory, in a directory, in S3.

S3 checks the condition of a write itself. In a directory a lock of the operating system keeps writers apart while one
of them compares and renames; it goes with the process that holds it, so a crash leaves nothing behind.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from replication.client.base import ReplicaClient
from replication.client.file import FileReplicaClient
from replication.client.s3 import S3ReplicaClient
from replication.client.s3_config import S3Config
from replication.client.s3_store import S3Bucket, S3RequestError
from replication.client.wrapper import WrapperClient
from replication.clock import Clock
from replication.errors import DeniedError, UnavailableError
from replication.lease import LEASE_NAME, Lease, LeaseStore, StoredLease


def lease_store(client: ReplicaClient) -> LeaseStore | None:
    """Return where the lease of a client's replica is stored, or None if its store has no conditional writes."""
    while isinstance(client, WrapperClient):
        client = client.inner
    if isinstance(client, S3ReplicaClient):
        return S3LeaseStore(client.config)
    return FileLeaseStore(client.path) if isinstance(client, FileReplicaClient) else None


def default_lease(client: ReplicaClient, local_id: Callable[[], str], clock: Clock) -> Lease | None:
    """Return a lease on a client's replica, or None if its store cannot keep one."""
    store = lease_store(client)
    return None if store is None else Lease(store, local_id=local_id, clock=clock)


class MemoryLeaseStore:
    """A lease in this process's memory."""

    def __init__(self) -> None:
        """Begin without one."""
        self._lock = threading.Lock()
        self._data: bytes | None = None  # guarded by _lock

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none."""
        with self._lock:
            return None if self._data is None else StoredLease(self._data, _etag(self._data))

    def create(self, data: bytes) -> str | None:
        """Store a lease if there is none."""
        with self._lock:
            if self._data is not None:
                return None
            self._data = data
            return _etag(data)

    def replace(self, data: bytes, etag: str) -> str | None:
        """Replace the lease that has this etag."""
        with self._lock:
            if self._data is None or _etag(self._data) != etag:
                return None
            self._data = data
            return _etag(data)


class FileLeaseStore:
    """A lease in a directory, for processes of one machine."""

    def __init__(self, root: Path) -> None:
        """Name the directory; it need not exist yet."""
        self._path = root / LEASE_NAME

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none."""
        with self._errors():
            data = self._read()
        return None if data is None else StoredLease(data, _etag(data))

    def create(self, data: bytes) -> str | None:
        """Store a lease if there is none."""
        with self._alone():
            return self._write(data) if self._read() is None else None

    def replace(self, data: bytes, etag: str) -> str | None:
        """Replace the lease that has this etag."""
        with self._alone():
            found = self._read()
            return self._write(data) if found is not None and _etag(found) == etag else None

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, data: bytes) -> str:
        temporary = self._path.with_name(f"{LEASE_NAME}.tmp")  # one writer at a time comes here
        temporary.write_bytes(data)
        temporary.replace(self._path)
        return _etag(data)

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


class S3LeaseStore:
    """A lease in a bucket."""

    def __init__(self, config: S3Config) -> None:
        """Take the settings; nothing is connected yet."""
        self._bucket = S3Bucket(config)
        self._key = f"{config.path}/{LEASE_NAME}"

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none."""
        import obstore  # noqa: PLC0415 - native, loaded at first use

        try:
            result = self._bucket.call("read", obstore.get, self._key)
            return StoredLease(bytes(result.bytes()), result.meta["e_tag"] or "")
        except S3RequestError as error:
            if error.failure.is_missing:
                return None
            raise self._bucket.error(error.failure, f"GET {self._key}", "s3:GetObject") from None

    def create(self, data: bytes) -> str | None:
        """Store a lease if there is none."""
        return self._put(data, None)

    def replace(self, data: bytes, etag: str) -> str | None:
        """Replace the lease that has this etag."""
        return self._put(data, etag)

    def _put(self, data: bytes, etag: str | None) -> str | None:
        import obstore  # noqa: PLC0415 - native, loaded at first use

        mode = "create" if etag is None else {"e_tag": etag}
        try:
            result = self._bucket.call("write", obstore.put, self._key, data, mode=mode, use_multipart=False)
        except S3RequestError as error:
            failure = error.failure
            if failure.is_taken or failure.is_missing:
                return None
            raise self._bucket.error(failure, f"PUT {self._key}", "s3:PutObject") from None
        return result["e_tag"] or ""


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
