"""obstore's stores of one bucket: made in the process that uses them, and shared by all who use the bucket.

There are four stores at most, each made when first needed, because obstore has settings per store: "read" gives up on
a stalled connection early; "write" does not, since an upload hears nothing until it has been sent; "parts" lets
obstore itself repeat a part of a large upload, which nobody else can; "single" deletes with one request for each key.

A store has connections and caches of its own, a few hundred kilobytes. So all who have the same bucket under the same
settings at the same time share the stores, whatever their paths: a thousand databases need no thousand of them.

obstore's runtime, one for the process and for all kinds of stores, does not survive a fork: in a child forked after
its start even a new store hangs. So the process that started it is remembered, and its children are refused.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakValueDictionary

from replication.errors import LitestreamError, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CONNECT_TIMEOUT_S = 5.0
STALL_SHARE = 3  # a read may stall for this part of the timeout
PART_RETRIES = 4

Purpose = Literal["read", "write", "parts", "single"]
S = TypeVar("S", bound="Stores")

_runtime_pid = 0  # the process that made the first store of all
_shared_lock = threading.Lock()
_shared: "WeakValueDictionary[Hashable, Any]" = WeakValueDictionary()  # guarded by _shared_lock


def shared_stores(bucket: str, settings: Hashable, make: Callable[[], S]) -> S:
    """Return the stores for a bucket under some settings; they live as long as somebody holds them."""
    check_process(bucket)  # before the lock, which a thread of the parent may have held
    with _shared_lock:
        stores: S | None = _shared.get(settings)
        if stores is None:
            stores = _shared[settings] = make()
        return stores


class Stores(ABC):
    """The stores of a bucket, all for the same place: its region where it has one, else its server."""

    def __init__(self, bucket: str) -> None:
        """Remember the bucket's name; nothing is made yet."""
        self._bucket = bucket
        self._lock = threading.Lock()
        self._place = ""  # guarded by _lock; empty until the first use
        self._stores: dict[Purpose, ObjectStore] = {}  # guarded by _lock

    @property
    def place(self) -> str:
        """The place in use; empty before the first use."""
        return self._place

    @property
    def credentials_error(self) -> LitestreamError | None:
        """Why there were no credentials, the last time they were needed."""
        return None

    def get(self, purpose: Purpose) -> "tuple[ObjectStore, str]":
        """Return a store and the place it was made for."""
        check_process(self._bucket)
        with self._lock:
            if not self._place:
                self._place = self._prepare()
            if purpose not in self._stores:
                self._stores[purpose] = self._make(purpose)
            return self._stores[purpose], self._place

    def move(self, place: str) -> None:
        """Use another place from now on."""
        with self._lock:
            if place != self._place:
                self._place = place
                self._stores.clear()

    @abstractmethod
    def _prepare(self) -> str:
        """Find credentials, and return the place to begin with."""

    @abstractmethod
    def _make(self, purpose: Purpose) -> "ObjectStore":
        """Return a new store for the place."""


def check_process(bucket: str) -> None:
    """Refuse the children of the process that started obstore's runtime."""
    if _runtime_pid not in {0, os.getpid()}:
        msg = (
            "the process was forked after its parent had opened a replica in an object store, so bucket "
            f"{bucket} cannot be reached: open replicas after the fork only, or start processes with 'spawn'"
        )
        raise UsageError(msg)


def make_store(
    kind: Callable[..., "ObjectStore"],
    bucket: str,
    purpose: Purpose,
    *,
    endpoint: str,
    timeout_s: float,
    skip_verify: bool,
    credential_provider: Callable[[], object] | None,
    settings: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
) -> "ObjectStore":
    """Return a store of a kind, `S3Store` or another, with the limits that its purpose needs.

    Each request carries the `headers`, unsigned.

    Raises:
        UsageError: obstore does not take the settings.

    """
    global _runtime_pid  # noqa: PLW0603 - the runtime is one for the process, so is this
    _runtime_pid = os.getpid()
    limits: dict[str, Any] = {
        "allow_http": endpoint.startswith("http://"),
        "allow_invalid_certificates": skip_verify,
        "connect_timeout": timedelta(seconds=min(CONNECT_TIMEOUT_S, timeout_s)),
        "timeout": timedelta(seconds=timeout_s),
    }
    if headers:
        limits["default_headers"] = dict(headers)
    if purpose == "read":
        limits["read_timeout"] = timedelta(seconds=timeout_s / STALL_SHARE)
    retries = PART_RETRIES if purpose == "parts" else 0
    try:
        return kind(
            bucket,
            client_options=limits,
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=timeout_s)},
            credential_provider=credential_provider,
            endpoint=endpoint,
            **settings,
        )
    except Exception as error:  # noqa: BLE001 - obstore raises errors of many kinds for a setting
        msg = f"obstore does not take the settings of bucket {bucket}: {type(error).__name__}"
        raise UsageError(msg) from None  # its text may show them
