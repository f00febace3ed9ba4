"""Whether the levels of a replica are as writers leave them: pure, from listings to findings; and the listing.

What is right. A level below the snapshots is a chain: each file starts with the TXID after the one before. It begins
where retention left it: at any TXID to which files of other levels lead, such as the snapshot that the very first
compaction makes. Levels overlap one another. Snapshots all start at TXID 1, so those overlap by their nature.

What is found. A gap in a level that files of other levels lead over is healed: no restore needs what is missing, except
one to an instant within the gap. It is told all the same, with what leads over it. A page of a newer file always wins,
so an overlap harms no restore either, but it tells of two writers.

A listing is no snapshot of a replica: what is deleted or merged meanwhile can look like a gap. Levels are listed from 0
up, the way in which data moves, and what is found counts only if a second listing shows it too.

Source: litestream 0.5.17, replica.go, "ValidateLevel".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from logging import Logger

from replication.client.base import ReplicaClient
from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.file_info import FileInfo
from replication.ltx.name import format_ltx_name
from replication.position import NO_TXID, TXID, format_txid
from replication.restore.points import is_whole, usable
from replication.restore.source import list_levels

DEFAULT_VALIDATION_INTERVAL_S = 0.0
"""How often a store validates its replicas: not at all, for each time costs a listing of every level."""


class FindingKind(StrEnum):
    """What is wrong with two files of a level that follow one another."""

    GAP = "gap"
    OVERLAP = "overlap"
    OUT_OF_ORDER = "out of order"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not right; `str` gives it as a sentence.

    `before` is the file that leads furthest of those before `file`, in an order that is wrong the one listed before it;
    None where a level begins with a TXID that nothing leads to. `bridge` are the files that lead over a gap.
    """

    kind: FindingKind
    level: int
    before: FileInfo | None
    file: FileInfo
    bridge: tuple[FileInfo, ...] = ()

    @property
    def is_bridged(self) -> bool:
        """Whether it is a gap that does no harm, because other levels lead over it."""
        return bool(self.bridge)

    def __str__(self) -> str:
        """Return what was expected, and what was found."""
        return f"level {self.level} {self._what()}"

    def _what(self) -> str:
        before, file = self.before, format_ltx_name(self.file.min_txid, self.file.max_txid)
        if before is None and self.level == SNAPSHOT_LEVEL:
            return (
                f"has a file that is no snapshot: expected one that starts at TXID {format_txid(TXID(1))}, got {file}"
            )
        if before is None:
            return f"begins with {file}, and no files lead to TXID {format_txid(_end_of_gap(self.file))}"
        after = format_ltx_name(before.min_txid, before.max_txid)
        next_txid = format_txid(TXID(before.max_txid + 1))
        if self.kind is FindingKind.GAP:
            return (
                f"has a gap: expected a file that starts at TXID {next_txid} after {after}, got {file}; {self._over()}"
            )
        if self.kind is FindingKind.OVERLAP:
            return f"has an overlap: expected a file that starts at TXID {next_txid} after {after}, got {file}"
        if self.kind is FindingKind.DUPLICATE:
            return f"has a duplicate: {file} is listed twice"
        return f"is out of order: expected {file} before {after}"

    def _over(self) -> str:
        if not self.bridge:
            return "no other files lead over it"
        names = [f"{format_ltx_name(info.min_txid, info.max_txid)} of level {info.level}" for info in self.bridge]
        return f"{' and '.join(names)} lead{'s' if len(names) == 1 else ''} over it"


def validate_level(level: int, files: Sequence[FileInfo]) -> tuple[Finding, ...]:
    """Return what is wrong within one level, of its listing; where it begins is not looked at.

    Args:
        level: which level it is.
        files: its files, in the order of the listing.

    """
    found = [
        Finding(kind=FindingKind.OUT_OF_ORDER, level=level, before=before, file=file)
        for before, file in pairwise(files)
        if _place(file) < _place(before)
    ]
    return (*found, *_broken_links(level, sorted(files, key=_place)))


def validate_levels(levels: Mapping[int, Sequence[FileInfo]]) -> tuple[Finding, ...]:
    """Return what is wrong with a replica, of the listing of each level; a level may be missing."""
    found: list[Finding] = []
    for level, files in sorted(levels.items()):
        if files and level != SNAPSHOT_LEVEL:
            first = min(files, key=_place)
            if not is_whole(first) and not _bridge(levels, NO_TXID, _end_of_gap(first)):
                found.append(Finding(kind=FindingKind.GAP, level=level, before=None, file=first))
        found += [_with_bridge(finding, levels) for finding in validate_level(level, files)]
    return tuple(found)


def validate_replica(client: ReplicaClient) -> tuple[Finding, ...]:
    """Return what is wrong with a replica, having looked twice at what is.

    Raises:
        UsageError, DeniedError, UnavailableError: the storage refused, or did not answer.

    """
    first = {_key(finding) for finding in validate_levels(list_levels(client))}
    if not first:
        return ()
    return tuple(finding for finding in validate_levels(list_levels(client)) if _key(finding) in first)


def report_findings(findings: Iterable[Finding], name: str, logger: Logger) -> None:
    """Log what was found of the replica of that name: as warnings, unless it does no harm."""
    for finding in findings:
        (logger.info if finding.is_bridged else logger.warning)("%s: %s", name, finding)


def _broken_links(level: int, files: Sequence[FileInfo]) -> Iterator[Finding]:
    """Yield what is wrong with the sorted files of a level."""
    furthest: FileInfo | None = None
    previous: FileInfo | None = None
    for file in files:
        if previous is not None and _place(file) == _place(previous):
            yield Finding(kind=FindingKind.DUPLICATE, level=level, before=previous, file=file)
        elif level == SNAPSHOT_LEVEL:
            if not is_whole(file):
                yield Finding(kind=FindingKind.GAP, level=level, before=None, file=file)
        elif furthest is not None and file.min_txid != furthest.max_txid + 1:
            is_gap = file.min_txid > furthest.max_txid
            kind = FindingKind.GAP if is_gap else FindingKind.OVERLAP
            yield Finding(kind=kind, level=level, before=furthest, file=file)
        previous = file
        if furthest is None or file.max_txid > furthest.max_txid:
            furthest = file


def _with_bridge(finding: Finding, levels: Mapping[int, Sequence[FileInfo]]) -> Finding:
    if finding.kind is not FindingKind.GAP or finding.before is None:
        return finding
    return replace(finding, bridge=_bridge(levels, finding.before.max_txid, _end_of_gap(finding.file)))


def _bridge(levels: Mapping[int, Sequence[FileInfo]], start: TXID, end: TXID) -> tuple[FileInfo, ...]:
    """Return the fewest files that lead from a TXID to another or beyond it, empty if there are none."""
    waiting = sorted((info for info in usable(levels) if info.max_txid > start), key=_place, reverse=True)
    bridge: list[FileInfo] = []
    furthest: FileInfo | None = None
    position = start
    while position < end:
        while waiting and waiting[-1].min_txid <= position + 1:
            info = waiting.pop()
            if furthest is None or info.max_txid > furthest.max_txid:
                furthest = info
        if furthest is None or furthest.max_txid <= position:
            return ()
        bridge.append(furthest)
        position = furthest.max_txid
    return tuple(bridge)


def _end_of_gap(file: FileInfo) -> TXID:
    """Return the last TXID that is missing before a file."""
    return TXID(file.min_txid - 1)


def _place(info: FileInfo) -> tuple[TXID, TXID]:
    return info.min_txid, info.max_txid


def _key(finding: Finding) -> tuple[FindingKind, int, tuple[TXID, TXID] | None, tuple[TXID, TXID]]:
    """Return what is the same at two looks; what leads over a gap may not be."""
    before = None if finding.before is None else _place(finding.before)
    return finding.kind, finding.level, before, _place(finding.file)
