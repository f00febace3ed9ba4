"""The TXIDs a replica can be restored to.

A chain of files starts at TXID 1 and ends at the last TXID of one of its files, so only such ends are restorable: a
compacted file takes the instants inside it away once the files it was made of are deleted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """One TXID that can be restored, and the file that ends there.

    Of several such files `level`, `min_txid` and `size` (in bytes) are those of the lowest level, which says most
    closely what the transaction changed; `time` is the earliest, because compaction and snapshots come later.
    """

    txid: TXID
    time: datetime
    level: int
    min_txid: TXID
    size: int


def is_whole(info: FileInfo) -> bool:
    """Say whether a file holds the whole database, so that a chain can start with it."""
    return info.min_txid <= 1


def usable(files: Mapping[int, Sequence[FileInfo]]) -> Iterable[FileInfo]:
    """Yield the files of all levels, but not what lies at the snapshot level and is no snapshot."""
    for level, infos in files.items():
        for info in infos:
            if level != SNAPSHOT_LEVEL or is_whole(info):
                yield info


def restore_points(files: Mapping[int, Sequence[FileInfo]]) -> list[RestorePoint]:
    """Return, oldest first, every TXID for which `plan_restore` finds a plan."""
    points: list[RestorePoint] = []
    newest = NO_TXID
    for txid, group in groupby(sorted(usable(files), key=attrgetter("max_txid")), key=attrgetter("max_txid")):
        ending = list(group)
        # The newest reachable TXID below is the best one to continue from, so no other needs a look.
        if any(info.min_txid <= newest + 1 for info in ending):
            newest = txid
            lowest = min(ending, key=lambda info: (info.level, -info.min_txid))
            time = min(info.created_at for info in ending)
            points.append(RestorePoint(txid, time, lowest.level, lowest.min_txid, lowest.size))
    return points
