"""The times of all queries as an SVG: a panel for each delay, a group for each query, a bar for each system.

The time axis is logarithmic. There is no background, and the colours are of a middle tone, so that they can be read on
white and on black.
"""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.compare import units
from benchmarks.compare.matrix import SYSTEMS, Matrix
from benchmarks.compare.report import TITLES, delay, time_of
from benchmarks.systems import GO, OURS

WIDTH = 860
COLUMNS = 2  # panels side by side
LABELS = 150  # width of the names of the queries
VALUE = 72  # room for the text behind the longest bar
GAP = 16  # between panels
TOP = 58  # title and legend
HEAD = 24  # of a panel
BAR = 10
GROUP = 2 * BAR + 9
FOOT = 34  # of a panel: its axis
TEXT = "#75808c"
GRID = "#8c959f"
COLOURS = {OURS: "#2f81f7", GO: "#c27c0e"}


@dataclass(frozen=True, slots=True)
class Axis:
    """Where a time lies: from `left`, `width` wide, over whole powers of ten."""

    left: float
    width: float
    exponents: range

    def x(self, seconds: float) -> float:
        """Return the place of a time."""
        first, last = self.exponents[0], self.exponents[-1]
        return self.left + self.width * (math.log10(seconds) - first) / (last - first)


def draw(matrix: Matrix) -> str:
    """Return the SVG."""
    delays = sorted(matrix.delays_ms)
    times = [cell.run.query_s for cell in matrix.cells]
    exponents = units.decades(times)
    columns = min(COLUMNS, len(delays))
    panel_width = (WIDTH - LABELS - GAP * (columns - 1)) / columns
    panel_height = HEAD + GROUP * len(matrix.queries) + FOOT
    height = TOP + panel_height * -(-len(delays) // columns)
    box = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    font = 'font-family="system-ui, sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} {font} role="img">',
        "<title>Time of cold queries, ours and the Go extension, at several delays of the storage</title>",
        *legend(),
    ]
    for number, ms in enumerate(delays):
        row, column = divmod(number, columns)
        left, top = LABELS + column * (panel_width + GAP), TOP + row * panel_height
        axis = Axis(left, panel_width - VALUE, exponents)
        parts += panel(matrix, ms, axis, top, has_labels=column == 0)
    return "\n".join([*parts, "</svg>", ""])


def legend() -> list[str]:
    parts = [text(0, 16, "Cold queries on a replica in S3, by the delay of each request", "start", weight="600")]
    x = 1.0
    names = [*((TITLES[system], system, False) for system in SYSTEMS), ("≈ extrapolated", GO, True)]
    for name, system, is_estimate in names:
        parts += [bar(x, 28, 12, 12, system, is_estimate=is_estimate), text(x + 18, 38, name, "start")]
        x += 40 + 7 * len(name)
    return parts


def panel(matrix: Matrix, delay_ms: float, axis: Axis, top: float, *, has_labels: bool) -> list[str]:
    """Draw one delay."""
    bottom = top + HEAD + GROUP * len(matrix.queries)
    parts = [text(axis.left, top + 14, f"{delay(delay_ms)} a request", "start", weight="600")]
    parts += grid(axis, top + HEAD, bottom)
    for number, query in enumerate(matrix.queries):
        y = top + HEAD + GROUP * number + 4
        if has_labels:
            parts.append(text(axis.left - 8, y + BAR + 4, query.name, "end"))
        for place, system in enumerate(SYSTEMS):
            found = matrix.find(query.name, system, delay_ms)
            if found is not None:
                end, bar_y = axis.x(found.query_s), y + place * (BAR + 1)
                width = max(end - axis.left, 1.0)
                parts.append(bar(axis.left, bar_y, width, BAR, system, is_estimate=found.is_estimate))
                parts.append(text(end + 4, bar_y + BAR - 1, time_of(found), "start", size=10))
    return parts


def grid(axis: Axis, top: float, bottom: float) -> list[str]:
    """Draw a line for each power of ten, with its name."""
    parts = []
    for exponent in axis.exponents:
        x = axis.x(10.0**exponent)
        parts.append(
            f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="{GRID}" stroke-opacity="0.35"/>'
        )
        name = f"{10 ** (exponent + 3):g} ms" if exponent < 0 else f"{10**exponent:,} s"
        parts.append(text(x, bottom + 14, name, "middle", size=10))
    return parts


def bar(x: float, y: float, width: float, height: float, system: str, *, is_estimate: bool) -> str:
    """Draw a bar in a system's colour; that of an estimate is pale, with a broken edge."""
    colour = COLOURS[system]
    look = f'fill="{colour}"'
    if is_estimate:
        look += f' fill-opacity="0.3" stroke="{colour}" stroke-dasharray="4 2"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {look}/>'


def text(x: float, y: float, words: str, anchor: str, *, size: int = 12, weight: str = "400") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
    return f'<text {place} fill="{TEXT}">{escape(words)}</text>'
