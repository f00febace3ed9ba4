"""What a restore is asked for, and what it answers.

Source: litestream 0.5.17, replica.go, "RestoreOptions".
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from replication.errors import UsageError
from replication.position import TXID
from replication.restore.plan import check_instant

DEFAULT_RESTORE_PARALLELISM = 8
DEFAULT_INTEGRITY_CHECK: "IntegrityCheck" = "quick"

IntegrityCheck = Literal["none", "quick", "full"]
"""What SQLite checks before the output appears: nothing, `PRAGMA quick_check`, or `PRAGMA integrity_check`."""

Progress = Callable[[int, int], object]
"""Takes the bytes done and the bytes in all; what it raises ends the restore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """What to restore and how; at most one of `txid` and `timestamp`."""

    txid: TXID | None
    timestamp: datetime | None
    parallelism: int
    integrity_check: IntegrityCheck
    overwrite: bool
    progress: Progress | None

    def validate(self) -> None:
        """Check that the options make sense together.

        Raises:
            UsageError: they do not.

        """
        if self.txid is not None and self.timestamp is not None:
            msg = "expected a TXID or an instant to restore, got both"
            raise UsageError(msg)
        if self.txid is not None and not 0 < self.txid < 2**64:
            msg = f"expected a TXID from 1 to ffffffffffffffff, got {self.txid:x}"
            raise UsageError(msg)
        if self.timestamp is not None:
            check_instant(self.timestamp)
        if self.parallelism < 1:
            msg = f"expected a parallelism of at least 1, got {self.parallelism}"
            raise UsageError(msg)
        if self.integrity_check not in get_args(IntegrityCheck):
            known = ", ".join(get_args(IntegrityCheck))
            msg = f"expected an integrity check of {known}, got {self.integrity_check!r}"
            raise UsageError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What was restored: `txid` from how many `files`, to a database of how many `pages`.

    `txid` is 0 where the files were those of Litestream 0.3, which knew none.
    """

    output: Path
    txid: TXID
    files: int
    bytes_downloaded: int
    pages: int
    duration_s: float
    integrity_check: IntegrityCheck
