"""What a crash run found, and what it has to be."""

from dataclasses import dataclass, field

MAX_EXAMPLES = 3  # of a sort
OVERSIZED_LIMIT = 10
"""One in so many level-0 files may be oversized."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a look at a replica found."""

    txids: int = 0  # the newest one that any file leads to
    restorable: int = 0
    consistent: int = 0  # of those: a state that existed
    files: int = 0
    gaps: int = 0  # between neighbours of a level
    broken: int = 0  # files that do not decode, or have another checksum, or are not what their name says
    wrong: int = 0  # files of higher levels that are not what level 0 makes of the database
    level_0: int = 0
    oversized: int = 0  # of those: hold more than what differs from the TXID before, plus two pages
    end_equal: bool = False
    lost_rows: int = 0  # of the log, in the newest state
    most_missing: int = 0  # rows of the log, at any TXID
    bad_restores: int = 0  # whole restores, by ours or the real program, that gave something else
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, sort: str, text: str) -> None:
        """Keep the first few of a sort."""
        kept = self.examples.setdefault(sort, [])
        if len(kept) < MAX_EXAMPLES:
            kept.append(text)

    def problems(self) -> list[str]:
        """Return what is not as it has to be."""
        problems = {
            "nothing was replicated": self.txids == 0,
            f"{self.txids - self.restorable} TXIDs cannot be restored": self.restorable != self.txids,
            f"{self.restorable - self.consistent} TXIDs are not consistent": self.consistent != self.restorable,
            f"{self.gaps} gaps": self.gaps > 0,
            f"{self.broken} files are broken": self.broken > 0,
            f"{self.wrong} files of higher levels are wrong": self.wrong > 0,
            "the end differs from the source": not self.end_equal,
            f"{self.lost_rows} rows of the log are lost": self.lost_rows > 0,
            f"{self.oversized} of {self.level_0} level-0 files are oversized": (
                self.oversized * OVERSIZED_LIMIT > self.level_0
            ),
            f"{self.bad_restores} restores went wrong": self.bad_restores > 0,
        }
        return [text for text, holds in problems.items() if holds]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashReport:
    """One run: what was done, and what was found."""

    title: str
    seed: int
    rounds: int
    seconds: float  # of the rounds
    commits: int
    forgotten: int  # commits that the writer knows of and the database does not
    checkpoints: int  # by the application
    failed_requests: int  # refused, dropped or lost by the store
    stalled: int  # rounds in which a replicator wrote nothing for a long time
    failed_ends: int  # of replicators: by themselves, or with an error
    findings: Findings

    def summary(self) -> str:
        """Return the findings as lines of text."""
        found = self.findings
        work = f"{self.rounds} rounds in {self.seconds:.0f} s, {self.commits} commits, {self.checkpoints} checkpoints"
        txids = (
            f"{found.restorable} restorable, {found.consistent} consistent, {found.most_missing} rows missing at most"
        )
        files = f"{found.broken} broken, {found.gaps} gaps, {found.wrong} wrong at higher levels"
        end = f"{'equal' if found.end_equal else 'differs'}, {found.lost_rows} rows lost"
        end += f", {found.bad_restores} restores went wrong, {self.forgotten} commits gone from the source"
        lines = [
            f"{self.title}, seed {self.seed}",
            f"  done         {work} by the application, {self.failed_requests} requests failed",
            f"  replicators  {self.stalled} stalled, {self.failed_ends} ended by themselves or with an error",
            f"  TXIDs        {found.txids}: {txids}",
            f"  files        {found.files}: {files}",
            f"  level 0      {found.level_0} files, {found.oversized} oversized",
            f"  end          {end}",
        ]
        return "\n".join([*lines, *(f"  {sort}: {text}" for sort, texts in found.examples.items() for text in texts)])

    def row(self) -> str:
        """Return the findings as a row of the table whose head is `TABLE_HEAD`."""
        found = self.findings
        cells = (
            self.title,
            self.rounds,
            f"{self.commits:,}",
            f"{found.txids:,}",
            f"{found.restorable:,}",
            f"{found.consistent:,}",
            f"{found.most_missing:,}",
            "yes" if found.end_equal else "no",
            f"{found.oversized:,} of {found.level_0:,}",
            f"{found.gaps}, {found.broken + found.wrong}",
        )
        return f"| {' | '.join(map(str, cells))} |"

    def problems(self) -> list[str]:
        """Return what is not as it has to be."""
        problems = {
            f"{self.forgotten} commits are gone from the source": self.forgotten > 0,
            f"the replicator stalled in {self.stalled} rounds": self.stalled > 0,
            f"{self.failed_ends} replicators ended by themselves, or with an error": self.failed_ends > 0,
        }
        return self.findings.problems() + [text for text, holds in problems.items() if holds]

    def check(self) -> None:
        """Fail unless everything is as it has to be, with the whole summary."""
        problems = self.problems()
        assert not problems, "\n".join([*problems, self.summary()])


TABLE_HEAD = """\
| run | rounds | commits | TXIDs | restorable | consistent | rows missing | end equal | oversized | gaps, bad files |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""
