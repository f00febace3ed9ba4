"""Which files of one level go into the next file of the level above: pure, from listings to a plan.

The files of level n - 1 that lead beyond the newest file of level n are merged into one file of level n. The plan is
a chain: each file starts no later than the TXID after the position reached so far. It ends before a gap; a gap right
at its start is an error, unless a snapshot leads over it, for then a restore never needs what is missing.

No file of the whole database (one that starts at TXID 1) is carried into the levels. The first file of a replica is
one, so merging it would copy the database into every level, and each copy would stay there for a day or more. Such a
file becomes a snapshot instead, once, and the level starts with the TXID after it. Every restore point stays, for the
snapshot ends where the file ended and has its time; a restore plan takes the last snapshot that is not beyond its
target, and what follows it from the levels. The real program plans, reads and compacts on in the same way: for it a
level may start anywhere.

Source: litestream 0.5.17, compactor.go and replica.go, "CalcRestorePlan"; litestream issue #1510.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from replication.errors import NoCompactionError, PositionError
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID, format_txid
from replication.restore.points import is_whole

MAX_INPUT_FILES = 200
"""How many files are open for one compaction; the next one takes the rest."""

MAX_BUFFERED_SIZE = 64 * 2**20
"""How many bytes their readers hold at most, unless a single file needs more."""

_BUFFER_SIZE = 4 * 2**20  # the largest chunk a client's reader holds


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionPlan:
    """What one compaction reads and writes.

    `snapshot` is a file of the level below that is copied to the snapshot level first; there may be no inputs beside
    it. `is_partial` says that files are left for another compaction.
    """

    level: int
    snapshot: FileInfo | None
    inputs: tuple[FileInfo, ...]
    is_partial: bool


def plan_compaction(
    level: int, *, position: TXID, source: Iterable[FileInfo], snapshots: Sequence[FileInfo]
) -> CompactionPlan:
    """Return what to merge into the next file of a level.

    Args:
        level: the level that gets the file.
        position: the last TXID that level holds; 0 if it is empty.
        source: the files of the level below, sorted as listed; those that end at `position` or before may be missing.
        snapshots: the files of the snapshot level; without them a gap is an error even where one leads over it.

    Raises:
        NoCompactionError: the level below has nothing beyond the position.
        PositionError: what comes next in the level below does not follow the position.

    """
    files = [info for info in source if info.max_txid > position]
    snapshot = None
    if position == NO_TXID and (wholes := [info for info in files if is_whole(info)]):
        whole = max(wholes, key=lambda info: info.max_txid)
        position = whole.max_txid
        if position not in {info.max_txid for info in snapshots if is_whole(info)}:
            snapshot = whole
        files = [info for info in files if info.max_txid > position]
    if files:
        position = _over_gap(level, position, files[0], snapshots)
    inputs, is_partial = _chain(files, position)
    if snapshot is None and not inputs:
        msg = f"level {level - 1} has no files beyond TXID {format_txid(position)} to compact into level {level}"
        raise NoCompactionError(msg)
    return CompactionPlan(level=level, snapshot=snapshot, inputs=inputs, is_partial=is_partial)


def _over_gap(level: int, position: TXID, first: FileInfo, snapshots: Sequence[FileInfo]) -> TXID:
    """Return the position to go on from: that before `first` if a snapshot leads there."""
    if first.min_txid <= position + 1:
        return position
    before = TXID(first.min_txid - 1)
    if any(is_whole(info) and info.max_txid >= before for info in snapshots):
        return before
    expected, actual = TXID(position + 1), first.min_txid
    msg = (
        f"level {level - 1} has a gap: expected a file that starts at TXID {format_txid(expected)} or before to "
        f"compact into level {level}, got {format_txid(actual)}, and no snapshot leads there"
    )
    raise PositionError(msg, expected=expected, actual=actual)


def _chain(files: Sequence[FileInfo], position: TXID) -> tuple[tuple[FileInfo, ...], bool]:
    """Return the files that follow one another from a position on, and whether some are left."""
    chain: list[FileInfo] = []
    buffered = 0
    for info in files:
        if info.max_txid <= position:
            continue  # lies within one that was taken
        buffered += min(info.size, _BUFFER_SIZE)
        is_full = len(chain) == MAX_INPUT_FILES or (bool(chain) and buffered > MAX_BUFFERED_SIZE)
        if is_full or info.min_txid > position + 1:
            return tuple(chain), True
        chain.append(info)
        position = info.max_txid
    return tuple(chain), False
