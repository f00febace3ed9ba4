"""What was measured, as Markdown tables."""

from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.compare import units
from benchmarks.compare.following import Followed
from benchmarks.compare.matrix import SYSTEMS, Matrix
from benchmarks.compare.plain import Fetched
from benchmarks.compare.run import Run
from benchmarks.systems import GO, OURS

TITLES = {OURS: "ours", GO: "Go extension"}
ESTIMATE = "≈ "


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def time_of(found: Run) -> str:
    """Return the time of the query, marked where it is an estimate."""
    return (ESTIMATE if found.is_estimate else "") + units.seconds(found.query_s)


def delay(ms: float) -> str:
    return f"{ms:g} ms"


def queries_table(matrix: Matrix, delay_ms: float) -> str:
    """Return the table of open and all queries at one delay."""
    columns = ("time", "requests, in sequence", "bytes")
    head = ["", *[f"{TITLES[system]}: {column}" for system in SYSTEMS for column in columns]]
    opens = [cell for system in SYSTEMS for cell in open_cells(matrix, system, delay_ms)]
    rows = []
    for query in matrix.queries:
        runs = [found for system in SYSTEMS if (found := matrix.find(query.name, system, delay_ms))]
        cells = [cell for found in runs for cell in (time_of(found), requests(found), units.size(found.query.bytes))]
        ratio = units.factor(runs[-1].query_s / runs[0].query_s)
        rows.append([query.name, *cells, (ESTIMATE if runs[-1].is_estimate else "") + ratio])
    return table([*head, "times as fast"], [["open", *opens, open_ratio(matrix, delay_ms)], *rows])


def requests(found: Run) -> str:
    return f"{found.query.requests:,}, {found.query.round_trips:,}"


def open_runs(matrix: Matrix, system: str, delay_ms: float) -> list[Run]:
    return [found for query in matrix.queries if (found := matrix.find(query.name, system, delay_ms))]


def open_cells(matrix: Matrix, system: str, delay_ms: float) -> tuple[str, str, str]:
    """Return the medians of opening before all queries."""
    runs = open_runs(matrix, system, delay_ms)
    count, depth = (
        median([one.open.requests for one in runs]),
        median([one.open.round_trips for one in runs]),
    )
    time = units.seconds(median([one.open_s for one in runs]))
    return time, f"{count:.0f}, {depth:.0f}", units.size(median([one.open.bytes for one in runs]))


def open_ratio(matrix: Matrix, delay_ms: float) -> str:
    ours, go = (median([one.open_s for one in open_runs(matrix, system, delay_ms)]) for system in SYSTEMS)
    return units.factor(go / ours)


def delays_table(matrix: Matrix) -> str:
    """Return the times at all delays, ours and the Go extension's."""
    delays = sorted(matrix.delays_ms)
    rows = []
    for query in matrix.queries:
        pairs = [[matrix.find(query.name, system, ms) for system in SYSTEMS] for ms in delays]
        rows.append([query.name, *[" / ".join(time_of(one) for one in pair if one) for pair in pairs]])
    return table(["ours / Go extension, at", *[delay(ms) for ms in delays]], rows)


def prefetch_line(matrix: Matrix, delay_ms: float) -> str:
    """Return what ours fetched ahead over all queries, and what of it was not used."""
    runs = open_runs(matrix, OURS, delay_ms)
    total = sum(one.query.bytes for one in runs)
    ahead, used = (sum(int(one.stats["prefetch"][name]) for one in runs) for name in ("bytes", "bytes_used"))
    return (
        f"Over all queries at {delay(delay_ms)}, ours fetched {units.size(ahead)} ahead, of which "
        f"{units.size(ahead - used)} were not used: {share(ahead - used, total)} of the {units.size(total)} in all. "
        f"Without the full scan: {without_scan(runs)}."
    )


def without_scan(runs: list[Run]) -> str:
    largest = max(runs, key=lambda one: one.query.bytes)
    rest = [one for one in runs if one is not largest]
    wasted = sum(int(one.stats["prefetch"]["bytes"]) - int(one.stats["prefetch"]["bytes_used"]) for one in rest)
    total = sum(one.query.bytes for one in rest)
    return f"{units.size(wasted)}, {share(wasted, total)} of {units.size(total)}"


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def plain_table(found: list[Fetched]) -> str:
    """Return the scan beside plain GETs of the same bytes."""
    scan = found[0]
    rows = []
    for one in found:
        speed = f"{one.bytes / 1e6 / one.seconds:.0f} MB/s"
        rows.append([one.name, units.seconds(one.seconds), str(one.requests), speed, share(one.seconds, scan.seconds)])
    return table(["the same bytes", "time", "requests", "speed", "speed of the scan, of this"], rows)


def runs_table(runs: dict[str, Run]) -> str:
    """Return open and first query by name, with the memory that took."""
    rows = []
    for name, one in runs.items():
        both = one.open.requests + one.query.requests, one.open.round_trips + one.query.round_trips
        index = one.stats.get("index_size")
        per_page = f"{int(index) / int(one.stats['pages']):.1f}" if index is not None else ""
        cells = [units.seconds(one.open_s), units.seconds(one.query_s), f"{both[0]}, {both[1]}"]
        cells += [units.size(one.open.bytes + one.query.bytes), units.size(one.later.bytes)]
        rows.append([name, *cells, f"{one.peak_mb:.0f} MB", f"{one.last_peak_mb:.0f} MB", per_page])
    head = ["", "open", "query", "requests, in sequence", "bytes", "bytes afterwards"]
    return table([*head, "peak memory", "at the end", "index, bytes a page"], rows)


def opens_table(runs: dict[str, Run]) -> str:
    """Return what opening took each system."""
    slowest = max(one.open_s for one in runs.values())
    rows = [
        [
            TITLES[system],
            units.seconds(one.open_s),
            f"{one.open.requests}, {one.open.round_trips}",
            units.size(one.open.bytes),
            units.factor(slowest / one.open_s),
        ]
        for system, one in runs.items()
    ]
    return table(["", "open", "requests, in sequence", "bytes", "times as fast"], rows)


def following_table(found: list[Followed]) -> str:
    """Return the requests per interval, and the price of a month."""
    rows = [
        [
            f"{one.situation.name}: {TITLES[one.system]}",
            f"{one.gets / one.seconds:.2f}",
            f"{one.lists / one.seconds:.2f}",
            f"${one.month_price:.2f}",
        ]
        for one in found
    ]
    return table(["", "GET a second", "LIST a second", "a month"], rows)


def threads_table(rates: dict[int, float]) -> str:
    """Return the lookups per second by the number of threads."""
    least = rates[min(rates)]
    rows = [[str(count), f"{rate:.1f}", units.factor(rate / least)] for count, rate in rates.items()]
    return table(["threads", "lookups a second", "times one thread"], rows)
