"""What a torture run found, and what it has to be."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

STALENESS_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """The least work that makes a run worth believing."""

    transactions: int
    txids: int
    compactions: int
    deletions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TortureReport:
    """Counts over all readers of one run."""

    title: str
    seconds: float
    ok: int
    failed: int
    inconsistent: int
    backwards: int
    txids: int
    staleness_s: float  # the worst any transaction began with
    data_age_s: float  # the greatest age of the newest row seen: staleness plus the program's own delay
    stale_reader_s: float  # for how long readers were behind by more than the limit, summed over readers
    compactions: int
    deletions: int
    long_ok: int
    long_snapshot_gone: int
    long_wrong: tuple[str, ...] = ()
    long_failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    stuck: tuple[str, ...] = ()
    commits: int = 0
    stats: dict[str, Any] = field(default_factory=dict)  # of each read replica, where it keeps any
    restored: str = ""  # what was wrong with the replica itself, by `litestream restore`; empty when it is sound

    @property
    def long_total(self) -> int:
        return self.long_ok + self.long_snapshot_gone + len(self.long_wrong) + self.long_failed

    def summary(self) -> str:
        """Return the findings as lines of text."""
        shorts = (
            f"{self.ok} ok, {self.inconsistent} inconsistent, {self.failed} failed, {self.backwards} went back in time"
        )
        stale = (
            f"at most {self.staleness_s:.1f} s; {self.stale_reader_s:.0f} reader seconds over {STALENESS_LIMIT_S:.0f} s"
        )
        stale += f"; newest row at most {self.data_age_s:.1f} s old"
        replica = f"{self.compactions} compactions, {self.deletions} deletions, {self.restored or 'restores soundly'}"
        ends = f"{self.long_ok} ok, {self.long_snapshot_gone} lost their files"
        ends += f", {len(self.long_wrong)} wrong, {self.long_failed} failed"
        lines = [
            f"{self.title}, {self.seconds:.0f} s, {self.commits} commits",
            f"  short transactions  {shorts}",
            f"  TXIDs seen          {self.txids}",
            f"  staleness           {stale}",
            f"  replica             {replica}",
            f"  long transactions   {self.long_total}: {ends}",
        ]
        for name, stats in self.stats.items():
            requests = ", ".join(f"{count} {kind.upper()}" for kind, count in stats["requests"].items())
            lines.append(f"  read replica {name:6} {requests}, {stats['polls']} polls, {stats['repairs']} repairs")
        lines += [f"  {count} x {text}" for text, count in self.errors.most_common(5)]
        lines += [f"  wrong: {text}" for text in self.long_wrong[:5]]
        lines += [f"  stuck: {name}" for name in self.stuck]
        return "\n".join(lines)

    def problems(self, minimum: Minimum, *, gone_share: float) -> list[str]:
        """Return what is not as it has to be.

        `gone_share` is the share of the long transactions, rounded down, that may meet SQLITE_BUSY_SNAPSHOT: their
        files may be deleted and no other hold the same version.
        """
        granted = int(self.long_total * gone_share)
        found = {
            f"{self.restored}": bool(self.restored),
            f"{self.failed} short transactions failed": self.failed > 0,
            f"{self.inconsistent} short transactions were inconsistent": self.inconsistent > 0,
            f"{self.backwards} short transactions went back in time": self.backwards > 0,
            f"{len(self.long_wrong)} long transactions read something wrong": bool(self.long_wrong),
            f"{self.long_failed} long transactions failed": self.long_failed > 0,
            f"{self.long_snapshot_gone} of {self.long_total} long transactions lost their files, granted {granted}": (
                self.long_snapshot_gone > granted
            ),
            "there was no long transaction": self.long_total == 0,
            f"readers were up to {self.staleness_s:.1f} s behind": self.staleness_s > STALENESS_LIMIT_S,
            f"threads are stuck: {', '.join(self.stuck)}": bool(self.stuck),
            f"{self.ok} transactions, expected {minimum.transactions}": self.ok < minimum.transactions,
            f"{self.txids} TXIDs, expected {minimum.txids}": self.txids < minimum.txids,
            f"{self.compactions} compactions, expected {minimum.compactions}": self.compactions < minimum.compactions,
            f"{self.deletions} deletions, expected {minimum.deletions}": self.deletions < minimum.deletions,
        }
        return [text for text, holds in found.items() if holds]

    def check(self, minimum: Minimum, *, gone_share: float = 0.0) -> None:
        """Fail unless everything is as it has to be, with the whole summary."""
        problems = self.problems(minimum, gone_share=gone_share)
        assert not problems, "\n".join([*problems, self.summary()])
