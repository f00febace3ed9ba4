"""One bucket as a client sees it: calls of obstore, with failures that are read."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from replication.client.object_errors import Codes, Failure, failure_error, read_failure
from replication.client.object_stores import Purpose, Stores
from replication.errors import LitestreamError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")
S = TypeVar("S", bound=Stores)


class RequestError(Exception):
    """A failed request before it becomes one of our errors; never leaves the client."""

    def __init__(self, failure: Failure) -> None:
        """Keep what was found out; the text of obstore's error is dropped here."""
        super().__init__(failure.code or str(failure.status))
        self.failure = failure


class Bucket(ABC, Generic[S]):
    """The bucket of one replica; Azure calls it a container."""

    def __init__(self, name: str, *, server: str, codes: Codes) -> None:
        """Take the bucket's name, and what errors call its server; nothing is made yet."""
        self.name = name
        self.server = server
        self.codes = codes
        self._held: S | None = None  # replaced as a whole, so read without a lock

    @property
    def is_open(self) -> bool:
        """Whether it was used, and not closed since."""
        return self._held is not None and bool(self._held.place)

    def open(self) -> None:
        """Find credentials and make the store for reading; no request is sent."""
        self._stores().get("read")

    def close(self) -> None:
        """Let go of the connections; those that others share stay."""
        self._held = None

    def call(self, purpose: Purpose, function: Callable[..., T], *arguments: Any, **options: Any) -> T:  # noqa: ANN401
        """Return what `function(store, *arguments)` gives, moving to another place once where that helps.

        Raises:
            RequestError: the request failed.

        """
        stores = self._stores()
        store, place = stores.get(purpose)
        try:
            return self._try(store, function, *arguments, **options)
        except RequestError as error:
            if not self._relocate(stores, error.failure, place):
                raise
        store, _ = stores.get(purpose)
        return self._try(store, function, *arguments, **options)

    def error(self, failure: Failure, what: str, permission: str) -> LitestreamError:
        """Return the error to raise for a failed request."""
        held = self._held
        if failure.unauthenticated and held is not None and held.credentials_error is not None:
            return held.credentials_error
        return failure_error(failure, what=what, server=self.server, bucket=self.name, permission=permission)

    @abstractmethod
    def _new_stores(self) -> S:
        """Return the stores to use, those that others use too where there are some."""

    def _relocate(self, stores: S, failure: Failure, used: str) -> bool:  # noqa: ARG002
        """Move from the place used to another one; say if that was done. Most buckets are where they are."""
        return False

    def _stores(self) -> S:
        held = self._held
        if held is None:
            held = self._held = self._new_stores()
        return held

    def _try(self, store: "ObjectStore", function: Callable[..., T], *arguments: Any, **options: Any) -> T:  # noqa: ANN401
        from obstore.exceptions import BaseError  # noqa: PLC0415 - native, loaded at first use

        try:
            return function(store, *arguments, **options)
        except LitestreamError:  # from a reader that an upload reads
            raise
        except (BaseError, FileNotFoundError) as error:
            failure = read_failure(error, self.codes)
        raise RequestError(failure)  # outside of the handler, so that obstore's text is not even the context
