"""Where pages lie: bytes of LTX files, and integers that name them.

The key of a place is one integer, the number of its file above the offset. Dicts of many pages are keyed by it, for an
integer costs a fraction of what an object does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from vfs.ltx_file import OFFSET_BITS, LTXFile


class Place(NamedTuple):
    """Bytes `start` (inclusive) to `end` (exclusive) of a file: one page frame."""

    file: LTXFile
    start: int
    end: int

    @property
    def key(self) -> int:
        """The integer that names it."""
        return self.file.base + self.start

    @property
    def size(self) -> int:
        """How many bytes the frame has."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Places of many pages as columns, in the order of the pages: page numbers, keys, and frame sizes in bytes."""

    files: Mapping[int, LTXFile]  # by number, these and perhaps others
    pgnos: list[int]
    keys: list[int]
    sizes: list[int]

    @classmethod
    def of(cls, places: Mapping[int, Place]) -> "Places":
        """Return the places of some pages, by page number, as columns."""
        found = list(places.values())
        files = {place.file.number: place.file for place in found}
        return cls(files, list(places), [place.key for place in found], [place.size for place in found])

    def __len__(self) -> int:
        return len(self.keys)

    def file(self, number: int) -> LTXFile:
        """Return the file of the place at a position."""
        return self.files[self.keys[number] >> OFFSET_BITS]

    def picked(self, numbers: Iterable[int]) -> "Places":
        """Return the places at some positions, each one once."""
        picked = list(numbers)
        if len(picked) == len(self) and picked == list(range(len(self))):
            return self
        columns = [[column[number] for number in picked] for column in (self.pgnos, self.keys, self.sizes)]
        return Places(self.files, *columns)
