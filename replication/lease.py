"""The right to write to a replica, for one writer at a time.

The lease is one small object, `lock.json`, that is only ever written on a condition: that it is not there, or that it
is still the one that was read. Who holds it says until when; when that time is over, another writer may take it. It is
renewed when half of its time is over, by the holder's own uploads, and in the midst of one that takes long: an idle
writer makes no request, loses the lease after a while, and takes it again with its next upload unless somebody else has
it.

Times are those of the writers' clocks, so a writer whose clock is ahead by more than the lease's time takes a lease
that is still held. Compaction and deletion do not need the lease.

    {"generation": 3, "expires_at": "2026-03-01T12:00:30Z", "owner": "host:4711:0123456789abcdef"}

The owner's name ends with the id of the lock it has on its local state (`replication.sync.meta_lock`). One process at a
time has that lock, so a writer that has it now, and finds its id in a lease, knows that the lease's owner has ended
without letting go, and takes over at once. Anybody else waits until the time is over.

Source: litestream 0.5.17, leaser.go and s3/leaser.go.
"""

import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self, runtime_checkable

from replication.clock import SYSTEM_CLOCK, Clock, format_instant
from replication.errors import LeaseError, LeaseHeldError, LeaseLostError

LEASE_NAME = "lock.json"
DEFAULT_LEASE_TTL_S = 30.0
_NEVER = datetime.min.replace(tzinfo=UTC)


def _no_id() -> str:
    """Return the id of a writer that has no lock on local state."""
    return ""


@dataclass(frozen=True, slots=True)
class StoredLease:
    """The bytes of a lease, and what they can be replaced by condition of."""

    data: bytes
    etag: str


class LeaseStore(Protocol):
    """Where one lease is stored."""

    def read(self) -> StoredLease | None:
        """Return the lease, or None if there is none.

        Raises:
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """

    def create(self, data: bytes) -> str | None:
        """Store a lease if there is none, and return its etag; None if there is one.

        Raises:
            DeniedError, UnavailableError: the storage refused, or did not answer; it may be stored all the same.

        """

    def replace(self, data: bytes, etag: str) -> str | None:
        """Replace the lease that has this etag, and return the new one; None if it is another one by now, or gone.

        Raises:
            DeniedError, UnavailableError: the storage refused, or did not answer; it may be stored all the same.

        """


@runtime_checkable
class HasLeaseStore(Protocol):
    """A replica client whose store may know conditional writes."""

    def lease_store(self) -> LeaseStore | None:
        """Return where the replica's lease is, or None if the store cannot keep one."""


def content_etag(data: bytes) -> str:
    """Return an etag for a store that gives none."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """Who may write, and until when; `generation` counts the owners."""

    generation: int
    expires_at: datetime
    owner: str

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the record that was stored.

        Raises:
            LeaseError: it is something else.

        """
        try:
            fields = json.loads(data)
            expires_at = datetime.fromisoformat(fields["expires_at"])
            record = cls(
                generation=int(fields["generation"]), expires_at=expires_at, owner=str(fields.get("owner", ""))
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            msg = f"{LEASE_NAME} of the replica is no lease: delete it if no writer is at work"
            raise LeaseError(msg) from error
        if expires_at.tzinfo is None:
            msg = f"{LEASE_NAME} of the replica gives a time without a zone: {fields['expires_at']}"
            raise LeaseError(msg)
        return record

    def format(self) -> bytes:
        """Return the record as it is stored."""
        fields = {"generation": self.generation, "expires_at": format_instant(self.expires_at), "owner": self.owner}
        return json.dumps(fields).encode()


class Lease:
    """One writer's lease on one replica; any thread may use it."""

    def __init__(
        self,
        store: LeaseStore,
        *,
        owner: str | None = None,
        local_id: Callable[[], str] = _no_id,
        ttl_s: float = DEFAULT_LEASE_TTL_S,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Take the place where it is stored; it is not acquired yet.

        Args:
            store: the place.
            owner: what others are told; the host and the process, if not given.
            local_id: gives the id of the lock on the local state while it is held, and nothing while it is not.
            ttl_s: how long the lease lasts, in seconds.
            clock: gives the time.

        """
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}"
        self._local_id = local_id
        self._store = store
        self._ttl = timedelta(seconds=ttl_s)
        self._clock = clock
        self._lock = threading.Lock()  # held during requests too: they are one after the other
        self._etag = ""  # guarded by _lock; empty while the lease is not ours
        self._generation = 0  # guarded by _lock
        self._expires_at = _NEVER  # guarded by _lock
        self._asked: LeaseRecord | None = None  # guarded by _lock; written, and no answer came

    def __repr__(self) -> str:
        state = f"until {format_instant(self._expires_at)}" if self._etag else "not held"
        return f"<Lease {self.owner} generation={self._generation} {state}>"

    def hold(self) -> bool:
        """Have the lease when this returns, with half of its time left at least, and say whether it is a new one.

        Of a new one's replica nothing is known any more: somebody else may have written to it.

        Raises:
            LeaseHeldError: another writer has it.
            LeaseLostError: another writer took it while it was ours; the next call tries to acquire it.
            LeaseError, DeniedError, UnavailableError: it cannot be read or written.

        """
        with self._lock:
            now = self._clock.now()
            if not self._etag:
                self._acquire(now)
                return True
            if self._is_short(now):
                self._renew(now)
            return False

    def is_due(self) -> bool:
        """Say whether less than half of its time is left, or none, so that `hold` would make a request."""
        with self._lock:
            return not self._etag or self._is_short(self._clock.now())

    def release(self) -> None:
        """Let others have it at once, if it is ours.

        Raises:
            DeniedError, UnavailableError: the storage refused, or did not answer; the lease expires by itself.

        """
        with self._lock:
            etag, self._etag = self._etag, ""
            if etag and self._clock.now() < self._expires_at:
                expired = LeaseRecord(generation=self._generation, expires_at=self._clock.now(), owner=self._name())
                self._store.replace(expired.format(), etag)

    def _is_short(self, now: datetime) -> bool:
        return self._expires_at - now < self._ttl / 2

    def _acquire(self, now: datetime) -> None:
        stored = self._store.read()
        record = LeaseRecord.parse(stored.data) if stored else None
        if stored and record and record == self._asked:  # our last answer was lost
            self._take(record, stored.etag)
            if self._is_short(now):  # long ago
                self._renew(now)
            return
        if record is not None and record.expires_at > now and not self._is_predecessor(record):
            raise _held(record)
        self._asked = new = self._record(now, record.generation + 1 if record else 1)
        data = new.format()
        etag = self._store.replace(data, stored.etag) if stored else self._store.create(data)
        if etag is None:
            stored = self._store.read()
            record = LeaseRecord.parse(stored.data) if stored else None
            if stored is None or record != new:
                raise _held(record or new)
            etag = stored.etag
        self._take(new, etag)

    def _renew(self, now: datetime) -> None:
        old, self._asked = self._asked, self._record(now, self._generation)
        etag = self._store.replace(self._asked.format(), self._etag)
        if etag is not None:
            self._take(self._asked, etag)
            return
        stored = self._store.read()
        record = LeaseRecord.parse(stored.data) if stored else None
        if stored and record is not None and record in (old, self._asked):  # an earlier answer was lost
            self._take(record, stored.etag)
            return
        self._etag = ""
        msg = f"the lease was lost: {f'{record.owner} has it' if record else 'it was deleted'}"
        raise LeaseLostError(msg)

    def _record(self, now: datetime, generation: int) -> LeaseRecord:
        return LeaseRecord(generation=generation, expires_at=now + self._ttl, owner=self._name())

    def _name(self) -> str:
        """Return the owner as it is stored."""
        local_id = self._local_id()
        return f"{self.owner}:{local_id}" if local_id else self.owner

    def _is_predecessor(self, record: LeaseRecord) -> bool:
        """Say whether the owner had the lock that we have now, so that it has ended."""
        local_id = self._local_id()
        return bool(local_id) and record.owner.endswith(f":{local_id}")

    def _take(self, record: LeaseRecord, etag: str) -> None:
        self._etag, self._generation, self._expires_at, self._asked = etag, record.generation, record.expires_at, None


def _held(record: LeaseRecord) -> LeaseHeldError:
    msg = f"another writer, {record.owner}, holds the replica's lease until {format_instant(record.expires_at)}"
    return LeaseHeldError(msg, owner=record.owner, expires_at=record.expires_at)
