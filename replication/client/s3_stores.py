"""obstore's stores of one bucket: made in the process that uses them, for the region that S3 says.

There are four stores at most, each made when first needed, because obstore has settings per store: "read" gives up on
a stalled connection early; "write" does not, since an upload hears nothing until it has been sent; "parts" lets
obstore itself repeat a part of a large upload, which nobody else can; "single" deletes with one request for each key.

A store has connections and caches of its own, a few hundred kilobytes. So all who have the same bucket under the same
settings at the same time share the stores, whatever their paths: a thousand databases need no thousand of them.

obstore's runtime, one for the process, does not survive a fork: in a child forked after its start even a new store
hangs. So the process that started it is remembered, and its children are refused.
"""

import os
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

from replication.client.s3_config import S3Config
from replication.client.s3_credentials import CredentialProvider, credential_provider
from replication.client.s3_host import DEFAULT_REGION, bucket_endpoint
from replication.errors import LitestreamError, UsageError

if TYPE_CHECKING:
    from obstore.store import S3Store

CONNECT_TIMEOUT_S = 5.0
STALL_SHARE = 3  # a read may stall for this part of the timeout
PART_RETRIES = 4

Purpose = Literal["read", "write", "parts", "single"]

_runtime_pid = 0  # the process that made the first store of all
_shared_lock = threading.Lock()
_shared: "WeakValueDictionary[S3Config, S3Stores]" = WeakValueDictionary()  # guarded by _shared_lock


def shared_stores(config: S3Config) -> "S3Stores":
    """Return the stores for some settings; they live as long as somebody holds them."""
    check_process(config.bucket)  # before the lock, which a thread of the parent may have held
    key = replace(config, path="")
    with _shared_lock:
        stores = _shared.get(key)
        if stores is None:
            stores = _shared[key] = S3Stores(key)
        return stores


class S3Stores:
    """The stores, all for the same region."""

    def __init__(self, config: S3Config) -> None:
        """Remember the settings; nothing is made yet."""
        self._config = config
        self._lock = threading.Lock()
        self._provider: CredentialProvider | None = None  # guarded by _lock
        self._region = ""  # guarded by _lock; empty until the first use
        self._stores: dict[Purpose, S3Store] = {}  # guarded by _lock

    @property
    def region(self) -> str:
        """The region in use; empty before the first use."""
        return self._region

    @property
    def credentials_error(self) -> LitestreamError | None:
        """Why there were no credentials, the last time they were needed."""
        return None if self._provider is None else self._provider.error

    def get(self, purpose: Purpose) -> "tuple[S3Store, str]":
        """Return a store and the region it was made for."""
        check_process(self._config.bucket)
        with self._lock:
            if not self._region:
                self._provider = credential_provider(self._config.credentials)
                found = "" if self._provider is None else self._provider.region
                self._region = self._config.region or found or DEFAULT_REGION
            if purpose not in self._stores:
                self._stores[purpose] = _make_store(self._config, self._region, self._provider, purpose)
            return self._stores[purpose], self._region

    def move(self, region: str) -> None:
        """Use another region from now on."""
        with self._lock:
            if region != self._region:
                self._region = region
                self._stores.clear()


def check_process(bucket: str) -> None:
    """Refuse the children of the process that started obstore's runtime."""
    if _runtime_pid not in {0, os.getpid()}:
        msg = (
            f"the process was forked after its parent had opened an S3 replica, so bucket {bucket} cannot be reached: "
            "open replicas after the fork only, or start processes with 'spawn'"
        )
        raise UsageError(msg)


def _make_store(config: S3Config, region: str, provider: CredentialProvider | None, purpose: Purpose) -> "S3Store":
    from obstore.store import S3Store  # noqa: PLC0415 - native, loaded at first use

    global _runtime_pid  # noqa: PLW0603 - the runtime is one for the process, so is this
    _runtime_pid = os.getpid()
    endpoint = bucket_endpoint(config.bucket, region, config.endpoint, path_style=config.path_style)
    # Whatever is not said here obstore takes from the environment, and would mix with what the URL says.
    settings: dict[str, Any] = {
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "region": region,
        "virtual_hosted_style_request": not config.path_style,
        "unsigned_payload": not config.sign_payload,
        "skip_signature": provider is None,
        "disable_bulk_delete": purpose == "single",
    }
    if config.sse_customer_key:
        settings |= {"server_side_encryption": "sse-c", "sse_customer_key_base64": config.sse_customer_key}
    elif config.sse_kms_key_id:
        settings |= {"server_side_encryption": "aws:kms", "sse_kms_key_id": config.sse_kms_key_id}
    limits: dict[str, Any] = {
        "allow_http": endpoint.startswith("http://"),
        "allow_invalid_certificates": config.skip_verify,
        "connect_timeout": timedelta(seconds=min(CONNECT_TIMEOUT_S, config.timeout_s)),
        "timeout": timedelta(seconds=config.timeout_s),
    }
    if purpose == "read":
        limits["read_timeout"] = timedelta(seconds=config.timeout_s / STALL_SHARE)
    retries = PART_RETRIES if purpose == "parts" else 0
    try:
        return S3Store(
            config.bucket,
            client_options=limits,  # type: ignore[arg-type]
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=config.timeout_s)},
            credential_provider=provider,
            **settings,
        )
    except Exception as error:  # noqa: BLE001 - obstore raises errors of many kinds for a setting
        msg = f"obstore does not take the settings of bucket {config.bucket}: {type(error).__name__}"
        raise UsageError(msg) from None  # its text may show them
