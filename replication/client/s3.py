"""Replicas in S3 and its like: `<path>/<level as %04x>/<min>-<max>.ltx`.

Source: litestream 0.5.17, s3/replica_client.go.
"""

from typing import ClassVar

from replication.client.object_store import ObjectStoreClient, UploadSettings
from replication.client.object_traits import Traits
from replication.client.s3_config import S3Config
from replication.client.s3_lease import S3LeaseStore
from replication.client.s3_store import S3Bucket
from replication.client.s3_traits import S3_TRAITS
from replication.errors import UsageError


class S3ReplicaClient(ObjectStoreClient):
    """A replica in a bucket of S3, or of a server that speaks S3."""

    type: ClassVar[str] = "s3"
    traits: ClassVar[Traits] = S3_TRAITS

    def __init__(self, config: S3Config) -> None:
        """Take the settings; nothing is connected yet."""
        check_path("s3", config)
        self._config = config
        self._s3_bucket = S3Bucket(config)
        super().__init__(
            self._s3_bucket, config.path, s3_uploads(config), deletes_one_by_one=config.require_content_md5 is True
        )

    def __repr__(self) -> str:
        config, bucket = self._config, self._s3_bucket
        endpoint = f" endpoint={config.endpoint}" if config.endpoint else ""
        region = f" region={bucket.region}" if bucket.region else ""
        state = "open" if bucket.is_open else "idle"
        return f"<S3ReplicaClient s3://{config.bucket}/{config.path}{endpoint}{region} {state}>"

    @property
    def config(self) -> S3Config:
        """The settings."""
        return self._config

    def lease_store(self) -> S3LeaseStore:
        """Return where the replica's lease is."""
        return S3LeaseStore(self._config)


def check_path(scheme: str, config: S3Config) -> None:
    """Refuse a replica at the top of a bucket.

    Raises:
        UsageError: there is no path.

    """
    if not config.path:
        # obstore drops the leading slash of a prefix, so a listing would never find those keys.
        msg = (
            f"expected a path within the bucket, as in {scheme}://{config.bucket}/path: without one the files' keys "
            "begin with a slash, and such keys cannot be listed here"
        )
        raise UsageError(msg)


def s3_uploads(config: S3Config) -> UploadSettings:
    """Return how files are uploaded."""
    return UploadSettings(
        part_size=config.part_size,
        concurrency=config.concurrency,
        attributes={"Storage-Class": config.storage_class} if config.storage_class else {},
    )
