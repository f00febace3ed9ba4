"""One bucket of S3, found in its own region."""

from replication.client.object_bucket import Bucket
from replication.client.object_errors import Codes, Failure
from replication.client.s3_config import S3Config
from replication.client.s3_errors import S3_CODES
from replication.client.s3_region import find_bucket_region
from replication.client.s3_stores import S3Stores, shared_s3_stores
from replication.errors import UsageError


class S3Bucket(Bucket[S3Stores]):
    """The bucket of one replica."""

    def __init__(self, config: S3Config, *, codes: Codes = S3_CODES) -> None:
        """Remember the settings; nothing is made yet."""
        super().__init__(config.bucket, server=config.endpoint or "AWS", codes=codes)
        self._config = config

    @property
    def region(self) -> str:
        """The region in use, or else the one that was given; empty before either is known."""
        held = self._held
        return (held.place if held else "") or self._config.region

    def _new_stores(self) -> S3Stores:
        return shared_s3_stores(self._config)

    def _relocate(self, stores: S3Stores, failure: Failure, used: str) -> bool:
        """Move from the region used to the bucket's, unless somebody said which one to use; say if it is another.

        Requests that run side by side are all told, and the first has moved already when the others come here.
        """
        if not failure.is_wrong_region:
            return False
        region = failure.region or find_bucket_region(self._config, used)
        if not region or region == used:
            return False
        if self._config.region_is_explicit:
            msg = f"bucket {self._config.bucket} is in region {region}, not {used}: set region={region}"
            raise UsageError(msg)
        stores.move(region)
        return True
