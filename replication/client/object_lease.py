"""The lease of a replica in a bucket, which checks the condition of a write itself."""

from typing import Any

from replication.client.object_bucket import Bucket, RequestError
from replication.client.object_traits import Permissions
from replication.lease import LEASE_NAME, StoredLease


class ObjectLeaseStore:
    """A lease in a bucket."""

    def __init__(self, bucket: Bucket[Any], prefix: str, permissions: Permissions) -> None:
        """Take the bucket, what the keys of the replica begin with, and what to call the permissions."""
        self._bucket = bucket
        self._key = f"{prefix}{LEASE_NAME}"
        self._permissions = permissions

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none."""
        import obstore  # noqa: PLC0415 - native, loaded at first use

        try:
            result = self._bucket.call("read", obstore.get, self._key)
            return StoredLease(bytes(result.bytes()), result.meta["e_tag"] or "")
        except RequestError as error:
            if error.failure.is_missing:
                return None
            raise self._bucket.error(error.failure, f"GET {self._key}", self._permissions.read) from None

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
        except RequestError as error:
            failure = error.failure
            if failure.is_taken or failure.is_missing:
                return None
            raise self._bucket.error(failure, f"PUT {self._key}", self._permissions.write) from None
        return result["e_tag"] or ""
