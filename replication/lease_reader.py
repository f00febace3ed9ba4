"""A reader that keeps a lease while it is read, for an upload may take longer than the lease lasts."""

import io
import threading
from typing import BinaryIO, cast

from replication.errors import LeaseLostError
from replication.lease import Lease

_READ_SIZE = 1 << 20  # bytes; the lease is looked at as often


def lease_reader(reader: BinaryIO, lease: Lease) -> BinaryIO:
    """Return a reader of the same bytes that renews the lease when it is due, and fails when it is lost."""
    return cast("BinaryIO", io.BufferedReader(_LeaseReader(reader, lease), _READ_SIZE))


class _LeaseReader(io.RawIOBase):
    def __init__(self, reader: BinaryIO, lease: Lease) -> None:
        self._reader = reader
        self._lease = lease

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._reader.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._lease.is_due():
            self._renew()
        data = self._reader.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _renew(self) -> None:
        """Renew the lease on another thread: on this one a native library may be at work, which allows no request."""
        errors: list[BaseException] = []
        is_new: list[bool] = []

        def renew() -> None:
            try:
                is_new.append(self._lease.hold())
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)

        thread = threading.Thread(target=renew, name="litestream-lease")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        if is_new != [False]:
            msg = "the lease was let go of while a file was uploaded"
            raise LeaseLostError(msg)
