"""The lease of a replica in a bucket of S3."""

from replication.client.object_lease import ObjectLeaseStore
from replication.client.s3_config import S3Config
from replication.client.s3_store import S3Bucket
from replication.client.s3_traits import S3_TRAITS


class S3LeaseStore(ObjectLeaseStore):
    """A lease in a bucket of S3."""

    def __init__(self, config: S3Config) -> None:
        """Take the settings; nothing is connected yet."""
        super().__init__(S3Bucket(config), f"{config.path}/", S3_TRAITS.permissions)
