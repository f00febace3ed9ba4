"""One bucket as a client sees it: calls of obstore, with failures that are read, in the bucket's own region."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from replication.client.s3_config import S3Config
from replication.client.s3_errors import S3Failure, failure_error, read_failure
from replication.client.s3_region import find_bucket_region
from replication.client.s3_stores import Purpose, S3Stores, shared_stores
from replication.errors import LitestreamError, UsageError

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")


class S3RequestError(Exception):
    """A failed request before it becomes one of our errors; never leaves the client."""

    def __init__(self, failure: S3Failure) -> None:
        """Keep what was found out; the text of obstore's error is dropped here."""
        super().__init__(failure.code or str(failure.status))
        self.failure = failure


class S3Bucket:
    """The bucket of one replica."""

    def __init__(self, config: S3Config) -> None:
        """Remember the settings; nothing is made yet."""
        self._config = config
        self._held: S3Stores | None = None  # replaced as a whole, so read without a lock

    @property
    def region(self) -> str:
        """The region in use, or else the one that was given; empty before either is known."""
        held = self._held
        return (held.region if held else "") or self._config.region

    @property
    def is_open(self) -> bool:
        """Whether it was used, and not closed since."""
        return self._held is not None and bool(self._held.region)

    def open(self) -> None:
        """Find credentials and make the store for reading; no request is sent."""
        self._stores().get("read")

    def close(self) -> None:
        """Let go of the connections; those that others share stay."""
        self._held = None

    def call(self, purpose: Purpose, function: Callable[..., T], *arguments: Any, **options: Any) -> T:  # noqa: ANN401
        """Return what `function(store, *arguments)` gives, moving to another region once where that helps.

        Raises:
            S3RequestError: the request failed.

        """
        stores = self._stores()
        store, region = stores.get(purpose)
        try:
            return _try(store, function, *arguments, **options)
        except S3RequestError as error:
            if not error.failure.is_wrong_region or not self._relocate(stores, error.failure, region):
                raise
        store, _ = stores.get(purpose)
        return _try(store, function, *arguments, **options)

    def error(self, failure: S3Failure, what: str, permission: str) -> LitestreamError:
        """Return the error to raise for a failed request."""
        held = self._held
        if failure.unauthenticated and held is not None and held.credentials_error is not None:
            return held.credentials_error
        return failure_error(
            failure,
            what=what,
            server=self._config.endpoint or "AWS",
            bucket=self._config.bucket,
            permission=permission,
        )

    def _stores(self) -> S3Stores:
        held = self._held
        if held is None:
            held = self._held = shared_stores(self._config)
        return held

    def _relocate(self, stores: S3Stores, failure: S3Failure, used: str) -> bool:
        """Move from the region used to the bucket's, unless somebody said which one to use; say if it is another.

        Requests that run side by side are all told, and the first has moved already when the others come here.
        """
        region = failure.region or find_bucket_region(self._config, used)
        if not region or region == used:
            return False
        if self._config.region_is_explicit:
            msg = f"bucket {self._config.bucket} is in region {region}, not {used}: set region={region}"
            raise UsageError(msg)
        stores.move(region)
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
