"""Counters of one replica."""

from dataclasses import dataclass, field
from threading import RLock


@dataclass(slots=True)
class Stats:
    """What a replica asked of its storage, and what came of it; bytes are as read from the storage."""

    list_requests: int = 0
    get_requests: int = 0
    bytes_read: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    polls: int = 0
    poll_errors: int = 0
    repairs: int = 0
    prefetched: int = 0  # pages
    prefetch_used: int = 0  # pages
    prefetch_wasted: int = 0  # pages that were dropped unused
    prefetch_bytes: int = 0  # gaps between pages included
    prefetch_bytes_used: int = 0
    # The garbage collector may close a file, which counts, in a thread that is counting.
    _lock: RLock = field(default_factory=RLock, repr=False)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter, from any thread."""
        with self._lock:
            setattr(self, name, getattr(self, name) + amount)
