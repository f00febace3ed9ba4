"""Which replicas this process has: by name, and by what is shared.

Connections with the same replica and options share one `SharedReplica`. It lives while somebody uses it: an open file,
or a registration that was used. What was opened before a fork stays the parent's; a child may open anew.

The garbage collector closes forgotten connections, on any thread and between any two steps, so a hold may end while
the same thread is in here: the locks let it in again.
"""

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from logging import Logger
from threading import RLock

from replication.client.base import ReplicaClient
from replication.client.url import replica_client
from replication.clock import SYSTEM_CLOCK
from replication.forking import after_fork_in_child
from vfs.replica import SharedReplica
from vfs.travel import TimeTraveller
from vfs.uri import Options

Source = str | ReplicaClient
"""A replica's URL, or a client of it."""

EXIT_TIMEOUT_S = 1.0
"""How long the end of the program waits for requests under way."""


@dataclass(frozen=True, slots=True)
class _Key:
    source: Source
    poll_interval_s: float
    cache_size: int
    timeout_s: float
    max_staleness_s: float | None
    pid: int


@dataclass(slots=True)
class _Shared:
    replica: SharedReplica
    traveller: TimeTraveller
    uses: int


class SharedUse:
    """One user's hold on a shared replica; released once."""

    def __init__(self, shared: _Shared, release: Callable[[], None]) -> None:
        """Hold it."""
        self.replica = shared.replica
        self.traveller = shared.traveller
        self._on_release = [release]
        self._lock = RLock()
        self._released = False  # guarded by _lock

    def on_release(self, call: Callable[[], None]) -> None:
        """Call this too when the hold ends, first."""
        self._on_release.insert(0, call)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        with self._lock:
            if self._released:
                return
            self._released = True
        for call in self._on_release:
            call()


class SharedReplicas:
    """The shared replicas of this process, by source and options."""

    def __init__(self) -> None:
        """Hold none."""
        self._lock = RLock()
        self._shared: dict[_Key, _Shared] = {}  # guarded by _lock
        after_fork_in_child(self._after_fork)
        atexit.register(self._at_exit)

    def use(self, source: Source, options: Options, logger: Logger) -> SharedUse:
        """Return a hold on the replica with these options, made anew if nobody uses it.

        Raises:
            UsageError: the URL is none of a replica.

        """
        key = _key(source, options)
        with self._lock:
            shared = self._shared.get(key)
            if shared is not None:
                shared.uses += 1
            if shared is None or self._shared.get(key) is not shared:
                client = replica_client(source, timeout_s=options.timeout_s) if isinstance(source, str) else source
                replica = SharedReplica(client, options, logger)
                shared = self._shared[key] = _Shared(replica, TimeTraveller(replica), 1)
        return SharedUse(shared, lambda: self._release(key, shared))

    def find(self, source: Source, options: Options) -> SharedReplica | None:
        """Return the replica with these options if somebody uses it."""
        with self._lock:
            shared = self._shared.get(_key(source, options))
        return None if shared is None else shared.replica

    def _release(self, key: _Key, shared: _Shared) -> None:
        with self._lock:
            shared.uses -= 1
            if shared.uses:
                return
            if self._shared.get(key) is shared:
                del self._shared[key]
        shared.replica.close()

    def _at_exit(self) -> None:
        """Let no thread be in the middle of something when the interpreter goes."""
        with self._lock:
            replicas = [shared.replica for shared in self._shared.values()]
        deadline = SYSTEM_CLOCK.monotonic() + EXIT_TIMEOUT_S
        for replica in replicas:
            replica.settle(max(0.0, deadline - SYSTEM_CLOCK.monotonic()))

    def _after_fork(self) -> None:
        self._lock = RLock()  # the parent may have held the old one
        for shared in self._shared.values():
            shared.replica.abandon()


def _key(source: Source, options: Options) -> _Key:
    return _Key(
        source,
        options.poll_interval_s,
        options.cache_size,
        options.timeout_s,
        options.max_staleness_s,
        os.getpid(),
    )


SHARED_REPLICAS = SharedReplicas()
