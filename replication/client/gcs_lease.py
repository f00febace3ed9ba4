"""The lease of a replica in Google Cloud Storage, which checks the condition of a write itself."""

import posixpath

from replication.client.gcs_bucket import GCSBucket
from replication.client.gcs_upload import ABSENT, upload
from replication.errors import LTXMissingError, UnavailableError
from replication.lease import LEASE_NAME, StoredLease

MAX_LEASE_SIZE = 64 * 2**10  # bytes
MAX_READS = 5


class GCSLeaseStore:
    """A lease in a bucket; its etag is the object's generation."""

    def __init__(self, bucket: GCSBucket) -> None:
        """Take the bucket, which may be closed and used again."""
        self._bucket = bucket
        self._name = posixpath.join(bucket.config.path, LEASE_NAME)

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none."""
        for _ in range(MAX_READS):
            generation = self._bucket.generation(self._name)
            if not generation:
                return None
            try:
                return StoredLease(self._bucket.get(self._name, generation, 0, MAX_LEASE_SIZE).data, generation)
            except LTXMissingError:
                continue  # replaced between the two requests
        msg = f"GET {self._name}: it is replaced faster than it can be read"
        raise UnavailableError(msg)

    def create(self, data: bytes) -> str | None:
        """Store a lease if there is none."""
        return self._put(data, ABSENT)

    def replace(self, data: bytes, etag: str) -> str | None:
        """Replace the lease that has this etag."""
        return self._put(data, etag)

    def _put(self, data: bytes, generation: str) -> str | None:
        stored = upload(self._bucket, self._name, data, None, metadata={}, if_generation=generation)
        return None if stored is None else stored.generation
