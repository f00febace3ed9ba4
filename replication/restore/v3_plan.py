"""Which files of Litestream 0.3 to restore from: pure, from a listing to a plan.

The newest snapshot, of whatever generation, and the WAL segments of its generation from its index on. Files uploaded
after the instant asked for are left out; one uploaded at that very instant counts.

Source: litestream 0.5.17, replica.go, "RestoreV3".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from replication.client.v3 import V3File
from replication.errors import LTXMissingError


@dataclass(frozen=True, slots=True)
class V3Plan:
    """A snapshot, and the segments of each WAL to apply to it, in order."""

    snapshot: V3File
    wals: tuple[tuple[V3File, ...], ...]

    @property
    def files(self) -> tuple[V3File, ...]:
        """All files, in the order of their use."""
        return (self.snapshot, *(segment for wal in self.wals for segment in wal))

    @property
    def newest(self) -> datetime:
        """When the newest file was uploaded."""
        return max(file.created_at for file in self.files)


def plan_v3(files: Iterable[V3File], timestamp: datetime | None) -> V3Plan | None:
    """Return the plan for an instant, or for the newest state; None if there is no snapshot that old."""
    usable = [file for file in files if timestamp is None or file.created_at <= timestamp]
    snapshots = [file for file in usable if file.offset is None]
    if not snapshots:
        return None
    snapshot = max(snapshots, key=attrgetter("created_at", "generation", "index"))
    segments = [
        file
        for file in usable
        if file.offset is not None and file.generation == snapshot.generation and file.index >= snapshot.index
    ]
    segments.sort(key=attrgetter("index", "offset"))
    return V3Plan(snapshot, tuple(tuple(wal) for _, wal in groupby(segments, key=attrgetter("index"))))


def check_contiguous(plan: V3Plan) -> None:
    """Check that no WAL is missing between others.

    Raises:
        LTXMissingError: one is, or the start of one.

    """
    for index, wal in enumerate(plan.wals, plan.snapshot.index):
        if (wal[0].index, wal[0].offset) != (index, 0):
            raise missing_segment(plan.snapshot.generation, index, 0, wal[0])


def missing_segment(generation: str, index: int, offset: int, found: V3File) -> LTXMissingError:
    """Return the error for a WAL segment that is not there."""
    return LTXMissingError(
        f"expected a WAL segment of generation {generation} that starts at {index:08x}/{offset:08x}, got {found.path}"
    )
