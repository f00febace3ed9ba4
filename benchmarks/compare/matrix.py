"""All queries in both systems at each delay, in turns, with the rows of both compared."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.compare.queries import Query
from benchmarks.compare.reader import Work
from benchmarks.compare.run import NO_LIMIT_S, Run, extrapolated, run
from benchmarks.static_s3 import StaticS3
from benchmarks.systems import GO, OURS

SYSTEMS = (OURS, GO)
LONG_S = 10.0  # a run that took longer is not repeated


@dataclass(frozen=True, slots=True)
class Cell:
    """One query in one system at one delay: the median run."""

    query: str
    system: str
    delay_ms: float
    run: Run


@dataclass(slots=True)
class Matrix:
    """What is measured, and what was."""

    server: StaticS3
    url: str
    queries: Sequence[Query]
    delays_ms: Sequence[float]
    rounds: int
    limit_s: float
    prefetch: bool
    cells: list[Cell]

    def measure(self) -> None:
        """Fill the cells."""
        for delay_ms in sorted(self.delays_ms):
            for query in self.queries:
                for system in SYSTEMS:
                    self.cells.append(Cell(query.name, system, delay_ms, self._median(query, system, delay_ms)))

    def find(self, query: str, system: str, delay_ms: float) -> Run | None:
        """Return a run, or None if there was none."""
        wanted = (query, system, delay_ms)
        return next((cell.run for cell in self.cells if (cell.query, cell.system, cell.delay_ms) == wanted), None)

    def _median(self, query: Query, system: str, delay_ms: float) -> Run:
        self.server.set_delay_ms(delay_ms)
        runs: list[Run] = []
        while len(runs) < self.rounds and sum(one.query_s for one in runs) < LONG_S:
            runs.append(self._run(query, system, self.limit_s if delay_ms else NO_LIMIT_S))
        found = sorted(runs, key=lambda one: one.query_s)[len(runs) // 2]
        if found.is_estimate:
            return extrapolated(found, self._whole(query, system))
        return found

    def _run(self, query: Query, system: str, limit_s: float) -> Run:
        work = Work(
            system=system, url=self.url, sql=query.sql, bindings=query.bindings, prefetch=self.prefetch or system == GO
        )
        found = run(self.server, work, limit_s)
        if not found.is_estimate:
            others = {(cell.run.rows, cell.run.digest) for cell in self.cells if cell.query == query.name}
            different = {rows for rows in others if rows[1]} - {(found.rows, found.digest)}
            assert not different, f"the systems disagree on {query.name}: {found.rows} rows beside {different}"
        return found

    def _whole(self, query: Query, system: str) -> Run:
        """Return a run to the end, which takes the least without a delay."""
        if (known := self.find(query.name, system, 0)) is not None:
            return known
        self.server.set_delay_ms(0)
        return self._run(query, system, NO_LIMIT_S)
