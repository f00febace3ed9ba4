"""The lease of a replica in a bucket of NATS: an object whose meta message is published on a condition.

The etag is the number of the meta message in the stream. Reads go to the stream's leader, as the conditions do.
"""

from replication.client.nats_meta import NO_SEQUENCE, ObjectMeta
from replication.client.nats_objects import NatsBucket, ObjectUpload
from replication.errors import UnavailableError
from replication.lease import LEASE_NAME, StoredLease

MAX_LEASE_SIZE = 64 * 2**10  # bytes
_MAX_READS = 5  # so often may others replace the lease between its meta message and its content


class NatsLeaseStore:
    """A lease in a bucket."""

    def __init__(self, bucket: NatsBucket) -> None:
        """Take the bucket."""
        self._bucket = bucket

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none."""
        for _ in range(_MAX_READS):
            meta = self._bucket.find(LEASE_NAME)
            if meta is None or meta.is_deleted:
                return None
            if meta.size > MAX_LEASE_SIZE:
                msg = f"expected {LEASE_NAME} of {MAX_LEASE_SIZE} bytes at most, got {meta.size}"
                raise UnavailableError(msg)
            data = bytearray()
            if self._bucket.read(meta, data.extend):
                return StoredLease(bytes(data), str(meta.sequence))
        msg = f"{LEASE_NAME} was replaced {_MAX_READS} times while it was read"
        raise UnavailableError(msg)

    def create(self, data: bytes) -> str | None:
        """Store a lease if there is none."""
        old = self._bucket.find(LEASE_NAME)
        if old is not None and not old.is_deleted:
            return None
        return self._put(data, old)

    def replace(self, data: bytes, etag: str) -> str | None:
        """Replace the lease that has this etag."""
        old = self._bucket.find(LEASE_NAME)
        if old is None or old.is_deleted or str(old.sequence) != etag:
            return None
        return self._put(data, old)

    def _put(self, data: bytes, old: ObjectMeta | None) -> str | None:
        upload = ObjectUpload(self._bucket, LEASE_NAME)
        upload.write([data])
        sequence = self._bucket.publish(upload.meta({}), old.sequence if old else NO_SEQUENCE)
        if sequence is None:
            self._bucket.purge_chunks(upload.nuid)
            return None
        if old is not None:
            self._bucket.purge_chunks(old.nuid)
        return str(sequence)
