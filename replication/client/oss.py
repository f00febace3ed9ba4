"""Replicas in Alibaba Cloud OSS, by its S3 API: `<path>/<level as %04x>/<min>-<max>.ltx`.

OSS wants the bucket in the host's name; only a server at an IP address, which is not OSS, gets it in the path.

Source: litestream 0.5.17, oss/replica_client.go.
"""

from typing import ClassVar

from replication.client.object_store import ObjectStoreClient
from replication.client.object_traits import Traits
from replication.client.oss_traits import OSS_CODES, OSS_TRAITS
from replication.client.s3 import check_path, s3_uploads
from replication.client.s3_config import S3Config
from replication.client.s3_store import S3Bucket
from replication.client.s3_stores import S3Stores
from replication.errors import DeniedError


class OSSReplicaClient(ObjectStoreClient):
    """A replica in a bucket of OSS."""

    type: ClassVar[str] = "oss"
    traits: ClassVar[Traits] = OSS_TRAITS

    def __init__(self, config: S3Config) -> None:
        """Take the settings; nothing is connected yet."""
        check_path("oss", config)
        self._config = config
        super().__init__(OSSBucket(config, codes=OSS_CODES), config.path, s3_uploads(config), deletes_one_by_one=False)

    def __repr__(self) -> str:
        config, state = self._config, "open" if self._bucket.is_open else "idle"
        return f"<OSSReplicaClient oss://{config.bucket}/{config.path} endpoint={config.endpoint} {state}>"

    @property
    def config(self) -> S3Config:
        """The settings."""
        return self._config


class OSSBucket(S3Bucket):
    """The bucket of one replica, for which boto3 has no keys."""

    def _new_stores(self) -> S3Stores:
        if not self._config.credentials.access_key_id:
            msg = "no OSS credentials: set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET"
            raise DeniedError(msg)
        return super()._new_stores()
