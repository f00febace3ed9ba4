"""obstore's view of one bucket: made in the process that uses it, moved to the bucket's region when S3 says so.

There are four stores at most, each made when first needed, because obstore has settings per store: "read" gives up on
a stalled connection early; "write" does not, since an upload hears nothing until it has been sent; "parts" lets
obstore itself repeat a part of a large upload, which nobody else can; "single" deletes with one request for each key.

obstore's runtime, one for the process, does not survive a fork: in a child forked after its start even a new store
hangs. So the process that started it is remembered, and its children are refused.
"""

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from replication.client.s3_config import S3Config
from replication.client.s3_credentials import CredentialProvider, credential_provider
from replication.client.s3_errors import S3Failure, failure_error, read_failure
from replication.client.s3_host import DEFAULT_REGION, bucket_endpoint
from replication.client.s3_region import find_bucket_region
from replication.errors import LitestreamError, UsageError

if TYPE_CHECKING:
    from obstore.store import S3Store

CONNECT_TIMEOUT_S = 5.0
STALL_SHARE = 3  # a read may stall for this part of the timeout
PART_RETRIES = 4

Purpose = Literal["read", "write", "parts", "single"]
T = TypeVar("T")

_runtime_pid = 0  # the process that made the first store of all


class S3RequestError(Exception):
    """A failed request before it becomes one of our errors; never leaves the client."""

    def __init__(self, failure: S3Failure) -> None:
        """Keep what was found out; the text of obstore's error is dropped here."""
        super().__init__(failure.code or str(failure.status))
        self.failure = failure


class S3Bucket:
    """The stores of one bucket."""

    def __init__(self, config: S3Config) -> None:
        """Remember the settings; nothing is made yet."""
        self._config = config
        self._lock = threading.Lock()
        self._provider: CredentialProvider | None = None  # guarded by _lock
        self._region = ""  # guarded by _lock; empty until the first use
        self._stores: dict[Purpose, S3Store] = {}  # guarded by _lock

    @property
    def region(self) -> str:
        """The region in use, or else the one that was given; empty before either is known."""
        return self._region or self._config.region

    @property
    def is_open(self) -> bool:
        """Whether a store is there."""
        return bool(self._stores)

    def open(self) -> None:
        """Find credentials and make the store for reading; no request is sent."""
        self._store("read")

    def close(self) -> None:
        """Drop the stores and their connections."""
        with self._lock:
            self._stores.clear()

    def call(self, purpose: Purpose, function: Callable[..., T], *arguments: Any, **options: Any) -> T:  # noqa: ANN401
        """Return what `function(store, *arguments)` gives, moving to another region once where that helps.

        Raises:
            S3RequestError: the request failed.

        """
        store, region = self._store(purpose)
        try:
            return _try(store, function, *arguments, **options)
        except S3RequestError as error:
            if not error.failure.is_wrong_region or not self._relocate(error.failure, region):
                raise
        store, _ = self._store(purpose)
        return _try(store, function, *arguments, **options)

    def error(self, failure: S3Failure, what: str, permission: str) -> LitestreamError:
        """Return the error to raise for a failed request."""
        provider = self._provider
        if failure.unauthenticated and provider is not None and provider.error is not None:
            return provider.error
        return failure_error(
            failure,
            what=what,
            server=self._config.endpoint or "AWS",
            bucket=self._config.bucket,
            permission=permission,
        )

    def _store(self, purpose: Purpose) -> "tuple[S3Store, str]":
        """Return a store and the region it was made for."""
        _check_process(self._config.bucket)  # before the lock, which a thread of the parent may have held
        with self._lock:
            if not self._region:
                self._provider = credential_provider(self._config.credentials)
                found = "" if self._provider is None else self._provider.region
                self._region = self._config.region or found or DEFAULT_REGION
            if purpose not in self._stores:
                self._stores[purpose] = _make_store(self._config, self._region, self._provider, purpose)
            return self._stores[purpose], self._region

    def _relocate(self, failure: S3Failure, used: str) -> bool:
        """Move from the region used to the bucket's, unless somebody said which one to use; say if it is another.

        Requests that run side by side are all told, and the first has moved already when the others come here.
        """
        region = failure.region or find_bucket_region(self._config, used)
        if not region or region == used:
            return False
        if self._config.region_is_explicit:
            msg = f"bucket {self._config.bucket} is in region {region}, not {used}: set region={region}"
            raise UsageError(msg)
        with self._lock:
            if region != self._region:
                self._region = region
                self._stores.clear()
        return True


def _try(store: "S3Store", function: Callable[..., T], *arguments: Any, **options: Any) -> T:  # noqa: ANN401
    from obstore.exceptions import BaseError  # noqa: PLC0415 - native, loaded at first use

    try:
        return function(store, *arguments, **options)
    except LitestreamError:  # from a reader that an upload reads
        raise
    except (BaseError, FileNotFoundError) as error:
        failure = read_failure(error)
    raise S3RequestError(failure)  # outside of the handler, so that obstore's text is not even the context


def _check_process(bucket: str) -> None:
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
