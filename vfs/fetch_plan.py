"""From wanted pages to byte ranges: pure. Near ranges of one file are joined, so that one request brings many pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from vfs.ltx_file import LTXFile
from vfs.place import Places

JOIN_GAP = 32 * 2**10
"""Bytes nobody wants that are worth fetching to save a request."""

MAX_SPAN = 256 * 2**10
"""Bytes of one joined range at most: larger ones share the link worse than several side by side."""


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Bytes `start` to `end` (exclusive) of a file, and the pages wanted in it, by offset: `sizes` are of frames."""

    file: LTXFile
    start: int
    end: int
    pgnos: Sequence[int]
    keys: Sequence[int]
    sizes: Sequence[int]

    @property
    def size(self) -> int:
        """How many bytes the range has."""
        return self.end - self.start

    @property
    def wanted_size(self) -> int:
        """How many of them are wanted."""
        return sum(self.sizes)


def plan_spans(places: Places, *, gap: int = JOIN_GAP, largest: int = MAX_SPAN) -> list[Span]:
    """Return ranges that hold all places, each place in one of them; those with the places wanted first come first.

    A range is larger than `largest` only if a single place is.

    >>> from replication.ltx.file_info import FileInfo
    >>> from replication.ltx.header import Header
    >>> from replication.position import TXID
    >>> from vfs.place import Place
    >>> header = Header(page_size=4096, commit=9, min_txid=TXID(1), max_txid=TXID(1))
    >>> file = LTXFile(FileInfo(level=9, min_txid=TXID(1), max_txid=TXID(1)), header, None)
    >>> wanted = Places.of({9: Place(file, 900, 1000), 1: Place(file, 100, 200), 2: Place(file, 220, 300)})
    >>> [(span.start, span.end) for span in plan_spans(wanted, gap=50, largest=1000)]
    [(900, 1000), (100, 300)]
    """
    keys, sizes = places.keys, places.sizes
    spans: list[tuple[int, Span]] = []
    joined: list[int] = []  # numbers of places
    first = last = end = -1
    for number in sorted(range(len(keys)), key=keys.__getitem__):  # files lie further apart than any gap
        key = keys[number]
        if key == last:
            continue  # of equals the first is there
        if joined and (key - end > gap or key + sizes[number] - first > largest):
            spans.append(_span(places, joined))
            joined = []
        if not joined:
            first = key
        joined.append(number)
        last, end = key, key + sizes[number]
    if joined:
        spans.append(_span(places, joined))
    return [span for _, span in sorted(spans, key=itemgetter(0))]


def _span(places: Places, numbers: list[int]) -> tuple[int, Span]:
    """Return the range over some of the places, and the number of the one wanted first."""
    joined, file = places.picked(numbers), places.file(numbers[0])
    start, end = joined.keys[0] - file.base, joined.keys[-1] + joined.sizes[-1] - file.base
    return min(numbers), Span(file, start, end, joined.pgnos, joined.keys, joined.sizes)
