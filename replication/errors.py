"""Errors, sorted by what the caller does next.

Foreign exceptions are mapped to these once, at the border that meets them, with `raise ... from`.
Messages carry names and numbers ("expected X, got Y") and are not part of the API.
"""

from datetime import datetime


class LitestreamError(Exception):
    """Any error of this library; catch a subclass to know what to do."""


class UsageError(LitestreamError, ValueError):
    """Fix the call: a bad URL, level, time, TXID or option."""


class UnavailableError(LitestreamError, OSError):
    """Call again later: network, timeout, a server that does not answer."""


class ThrottledError(UnavailableError):
    """Call again later, and slower: the storage asked for fewer requests."""


class StaleError(UnavailableError):
    """Call again later: the data is older than the `max_staleness` asked for."""


class DeniedError(LitestreamError, PermissionError):
    """Fix the credentials or the policy."""


class LTXMissingError(LitestreamError, FileNotFoundError):
    """Plan again: the file is not, or no longer, in the replica."""


class LTXExistsError(LitestreamError, FileExistsError):
    """Compare: the replica holds a file of that name already, and it was not written over."""


class SnapshotGoneError(LTXMissingError):
    """Roll back and begin again: a page of this transaction's view is no longer in the replica."""


class NoSnapshotsError(LitestreamError):
    """Nothing to restore from: the replica is missing or empty."""


class TxNotAvailableError(LitestreamError):
    """Choose another target: the replica cannot reach that TXID or instant."""


class PositionError(LitestreamError):
    """Plan again: a file does not follow the current position, or the chain has a gap."""

    def __init__(self, message: str, *, expected: int, actual: int) -> None:
        """Keep the TXID that was `expected` next and the `actual` one."""
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class CorruptError(LitestreamError):
    """Do not retry: stored bytes are not what the format says.

    `level`, `min_txid`, `max_txid` and `offset` (bytes from the start of the file) say where, as far as known.
    """

    level: int | None = None
    min_txid: int | None = None
    max_txid: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        """Return the message, and which file it is about."""
        message = super().__str__()
        if self.level is None or self.min_txid is None or self.max_txid is None:
            return message
        place = "" if self.offset is None else f", at byte {self.offset}"
        return f"{message} (level {self.level} file {self.min_txid:016x}-{self.max_txid:016x}{place})"


class LTXError(CorruptError):
    """Do not retry: an LTX file, or a part of one, breaks the format."""

    def __init__(
        self,
        message: str,
        *,
        level: int | None = None,
        min_txid: int | None = None,
        max_txid: int | None = None,
        offset: int | None = None,
    ) -> None:
        """Keep where in which file it was."""
        super().__init__(message)
        self.level = level
        self.min_txid = min_txid
        self.max_txid = max_txid
        self.offset = offset


class WALError(CorruptError):
    """Do not retry: a WAL header or frame header breaks the format; `offset` is in bytes from the start of the WAL.

    A WAL whose header is refused holds no frames: SQLite reads the database as if the WAL were empty.
    """

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        """Keep where in the WAL it was."""
        super().__init__(message)
        self.offset = offset


class ChecksumMismatchError(CorruptError):
    """Do not retry: a checksum over stored bytes is not the stored checksum."""

    def __init__(self, message: str, *, expected: int, actual: int) -> None:
        """Keep the stored checksum (`expected`) and the computed one (`actual`)."""
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class PrevFrameMismatchError(LitestreamError):
    """Do not go on at that offset: the frame before it is not, or no longer, the one that was read; read anew.

    `offset` is where the reading was to go on, in bytes from the start of the WAL.
    """

    def __init__(self, message: str, *, offset: int) -> None:
        """Keep where the reading was to go on."""
        super().__init__(message)
        self.offset = offset


class NoCompactionError(LitestreamError):
    """Nothing to do: the level below has no files beyond this level's newest, or the newest snapshot is up to date."""


class CompactionTooEarlyError(LitestreamError):
    """Call again after the level's next interval began: it was compacted in this one already."""


class DBNotReadyError(LitestreamError):
    """Call again after the database's first sync: nothing of it was read yet."""


class ConflictError(LitestreamError):
    """Stop writing, and find the other writer: a name that comes next in the replica holds other content already.

    Whose history is to go on has to be decided; the other one needs a replica of its own, or a fresh start.
    """


class LocalStateHeldError(LitestreamError):
    """Call again later, or end the other one: the same database is replicated with the same local state already."""


class LeaseError(LitestreamError):
    """Do not write: the right to write to the replica is not ours."""


class LeaseHeldError(LeaseError):
    """Call again after `expires_at`, or stop the writer called `owner`: the lease is held."""

    def __init__(self, message: str, *, owner: str, expires_at: datetime) -> None:
        """Keep who holds the lease, and until when."""
        super().__init__(message)
        self.owner = owner
        self.expires_at = expires_at


class LeaseLostError(LeaseError):
    """Stop writing, and acquire anew: somebody else took the lease, or it was deleted."""
