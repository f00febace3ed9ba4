"""obstore's stores of a bucket of S3, for the region that S3 says."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from replication.client.object_stores import Purpose, Stores, make_store, shared_stores
from replication.client.s3_config import S3Config
from replication.client.s3_credentials import CredentialProvider, credential_provider
from replication.client.s3_host import DEFAULT_REGION, bucket_endpoint
from replication.errors import LitestreamError

if TYPE_CHECKING:
    from obstore.store import ObjectStore


def shared_s3_stores(config: S3Config) -> "S3Stores":
    """Return the stores for some settings; they live as long as somebody holds them."""
    key = replace(config, path="")
    return shared_stores(config.bucket, key, lambda: S3Stores(key))


class S3Stores(Stores):
    """The stores, all for the same region."""

    def __init__(self, config: S3Config) -> None:
        """Remember the settings; nothing is made yet."""
        super().__init__(config.bucket)
        self._config = config
        self._provider: CredentialProvider | None = None  # guarded by _lock

    @property
    def credentials_error(self) -> LitestreamError | None:
        """Why there were no credentials, the last time they were needed."""
        return None if self._provider is None else self._provider.error

    def _prepare(self) -> str:
        self._provider = credential_provider(self._config.credentials)
        found = "" if self._provider is None else self._provider.region
        return self._config.region or found or DEFAULT_REGION

    def _make(self, purpose: Purpose) -> "ObjectStore":
        from obstore.store import S3Store  # noqa: PLC0415 - native, loaded at first use

        config = self._config
        endpoint = bucket_endpoint(config.bucket, self._place, config.endpoint, path_style=config.path_style)
        # Whatever is not said here obstore takes from the environment, and would mix with what the URL says.
        settings: dict[str, Any] = {
            "aws_endpoint_url_s3": endpoint,
            "region": self._place,
            "virtual_hosted_style_request": not config.path_style,
            "unsigned_payload": not config.sign_payload,
            "skip_signature": self._provider is None,
            "disable_bulk_delete": purpose == "single",
        }
        if config.sse_customer_key:
            settings |= {"server_side_encryption": "sse-c", "sse_customer_key_base64": config.sse_customer_key}
        elif config.sse_kms_key_id:
            settings |= {"server_side_encryption": "aws:kms", "sse_kms_key_id": config.sse_kms_key_id}
        return make_store(
            S3Store,
            config.bucket,
            purpose,
            endpoint=endpoint,
            timeout_s=config.timeout_s,
            skip_verify=config.skip_verify,
            credential_provider=self._provider,
            settings=settings,
            headers=dict(config.headers),
        )
