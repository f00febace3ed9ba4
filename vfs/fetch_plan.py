"""From wanted pages to byte ranges: pure. Near ranges of one file are joined, so that one request brings many pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from vfs.index import Place
from vfs.ltx_file import LTXFile

JOIN_GAP = 32 * 2**10
"""Bytes nobody wants that are worth fetching to save a request."""

MAX_SPAN = 256 * 2**10
"""Bytes of one joined range at most: larger ones share the link worse than several side by side."""


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Bytes `start` to `end` (exclusive) of a file, and the places wanted in it, by offset."""

    file: LTXFile
    start: int
    end: int
    places: tuple[Place, ...]

    @property
    def size(self) -> int:
        """How many bytes the range has."""
        return self.end - self.start

    @property
    def wanted_size(self) -> int:
        """How many of them are wanted."""
        return sum(place.end - place.start for place in self.places)


def plan_spans(places: Sequence[Place], *, gap: int = JOIN_GAP, largest: int = MAX_SPAN) -> list[Span]:
    """Return ranges that hold all places, each place in one of them; those with the places wanted first come first.

    A range is larger than `largest` only if a single place is.

    >>> from replication.ltx.file_info import FileInfo
    >>> from replication.position import TXID
    >>> file = LTXFile(FileInfo(level=9, min_txid=TXID(1), max_txid=TXID(1)), Header(), None)
    >>> wanted = [Place(file, 900, 1000), Place(file, 100, 200), Place(file, 220, 300)]
    >>> [(span.start, span.end) for span in plan_spans(wanted, gap=50, largest=1000)]
    [(900, 1000), (100, 300)]
    """
    by_file: dict[LTXFile, dict[int, int]] = {}  # of each offset, which of the places it is
    for number, place in enumerate(places):
        by_file.setdefault(place.file, {}).setdefault(place.start, number)
    spans: list[tuple[int, Span]] = []
    for file, numbers in by_file.items():
        joined: list[int] = []
        for start in sorted(numbers):
            place = places[numbers[start]]
            first, last = (places[joined[0]], places[joined[-1]]) if joined else (place, place)
            if joined and (place.start - last.end > gap or place.end - first.start > largest):
                spans.append(_span(file, joined, places))
                joined = []
            joined.append(numbers[start])
        spans.append(_span(file, joined, places))
    return [span for _, span in sorted(spans, key=itemgetter(0))]


def _span(file: LTXFile, numbers: list[int], places: Sequence[Place]) -> tuple[int, Span]:
    """Return the range over some of the places, and the number of the one wanted first."""
    found = tuple(places[number] for number in numbers)
    return min(numbers), Span(file, found[0].start, found[-1].end, found)
