"""Where the pages of a view are: an immutable stack of layers, newest first.

A layer answers "which bytes of which file hold page p", or nothing. Most layers are few pages of recent files; under
them lies a base with a place for every page. Layers are merged when the stack grows deep: recent files go into one
small layer, that layer into a middle one when it is large, and all of them into one when the middle rivals the base.
Nothing here changes after it was built, so a view can be read without a lock.

A merged layer holds 16 bytes a page (page number 4, file and offset 8, size 4), a layer of one file 12.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from replication.ltx.index import PageIndex
from vfs.ltx_file import OFFSET_BITS, LTXFile
from vfs.place import Place

MAX_COMMIT = 2**32 - 1
RECENT_PAGES = 8192  # a recent layer beyond this is merged into the middle one
_OFFSET_MASK = (1 << OFFSET_BITS) - 1  # 2**20 files a layer are left


class Layer(Protocol):
    """Places of some pages."""

    def find(self, pgno: int) -> Place | None:
        """Return the place of a page, or None if this layer has none for it."""

    def find_into(self, keys: list[int], sizes: list[int], pgnos: NDArray[np.uint32]) -> None:
        """Put the places of those pages that this layer has into columns that are as long."""

    def __len__(self) -> int:
        """Return how many pages have a place here."""

    @property
    def nbytes(self) -> int:
        """How many bytes its arrays take."""

    @property
    def is_known(self) -> bool:
        """Whether the place of each of its pages is known."""

    @property
    def files(self) -> tuple[LTXFile, ...]:
        """The files that hold its pages."""

    def entries(self) -> "Entries":
        """Return all places as arrays."""

    def truncated(self, commit: int) -> "Layer":
        """Return the layer without the pages above `commit`; arrays are shared, not copied."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Places as columns: `pgnos` ascending, `packed` with the number of the file above the offset, and `sizes`."""

    files: tuple[LTXFile, ...]
    pgnos: NDArray[np.uint32]
    packed: NDArray[np.uint64]
    sizes: NDArray[np.uint32]


class FileLayer:
    """All pages of one LTX file."""

    __slots__ = ("_file", "_index")
    is_known = True

    def __init__(self, file: LTXFile, index: PageIndex) -> None:
        """Take the file and its page index, whose arrays are shared, not copied."""
        self._file = file
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"<FileLayer of {self._file!r} pages={len(self)}>"

    @property
    def nbytes(self) -> int:
        """How many bytes its arrays take."""
        return self._index.pgnos.nbytes + self._index.offsets.nbytes

    @property
    def files(self) -> tuple[LTXFile, ...]:
        """The one file."""
        return (self._file,)

    def find(self, pgno: int) -> Place | None:
        """Return the place of a page, or None if the file does not hold it."""
        span = self._index.find(pgno)
        return None if span is None else Place(self._file, span.start, span.end)

    def find_into(self, keys: list[int], sizes: list[int], pgnos: NDArray[np.uint32]) -> None:
        """Put the places of those pages that the file holds into columns that are as long."""
        numbers, at = _positions(self._index.pgnos, pgnos)
        base, starts = self._file.base, self._index.offsets[at]
        columns = [base + start for start in starts.tolist()], (self._index.offsets[at + 1] - starts).tolist()
        if len(numbers) == len(pgnos):
            keys[:], sizes[:] = columns
            return
        for number, key, size in zip(numbers, *columns, strict=True):
            keys[number], sizes[number] = key, size

    def entries(self) -> Entries:
        """Return all places as arrays."""
        starts = self._index.offsets[:-1]
        sizes = (self._index.offsets[1:] - starts).astype(np.uint32)
        return Entries((self._file,), self._index.pgnos, starts, sizes)

    def truncated(self, commit: int) -> "FileLayer":
        """Return the layer without the pages above `commit`; arrays are shared, not copied."""
        count = int(np.searchsorted(self._index.pgnos, commit, side="right"))
        if count == len(self):
            return self
        return FileLayer(self._file, PageIndex(self._index.pgnos[:count], self._index.offsets[: count + 1]))


class MergedLayer:
    """Pages of several LTX files, each at its newest place."""

    __slots__ = ("_entries", "_packed", "_pgnos", "_sizes")
    is_known = True

    def __init__(self, entries: Entries) -> None:
        """Take columns whose page numbers ascend."""
        self._entries = entries
        self._pgnos = entries.pgnos.data
        self._packed = entries.packed.data
        self._sizes = entries.sizes.data

    def __len__(self) -> int:
        return len(self._pgnos)

    def __repr__(self) -> str:
        return f"<MergedLayer pages={len(self)} files={len(self._entries.files)}>"

    @property
    def nbytes(self) -> int:
        """How many bytes its arrays take."""
        return self._pgnos.nbytes + self._packed.nbytes + self._sizes.nbytes

    @property
    def files(self) -> tuple[LTXFile, ...]:
        """The files that hold its pages."""
        return self._entries.files

    def find(self, pgno: int) -> Place | None:
        """Return the place of a page, or None if no file of this layer holds it."""
        at = bisect_left(self._pgnos, pgno)
        if at == len(self._pgnos) or self._pgnos[at] != pgno:
            return None
        packed: int = self._packed[at]
        start = packed & _OFFSET_MASK
        return Place(self._entries.files[packed >> OFFSET_BITS], start, start + self._sizes[at])

    def find_into(self, keys: list[int], sizes: list[int], pgnos: NDArray[np.uint32]) -> None:
        """Put the places of those pages that a file of this layer holds into columns that are as long."""
        numbers, at = _positions(self._entries.pgnos, pgnos)
        columns = self._entries.packed[at].tolist(), self._entries.sizes[at].tolist()
        for number, packed, size in zip(numbers, *columns, strict=True):
            keys[number] = self._entries.files[packed >> OFFSET_BITS].base + (packed & _OFFSET_MASK)
            sizes[number] = size

    def entries(self) -> Entries:
        """Return all places as arrays."""
        return self._entries

    def truncated(self, commit: int) -> "MergedLayer":
        """Return the layer without the pages above `commit`; arrays are shared, not copied."""
        entries = self._entries
        count = int(np.searchsorted(entries.pgnos, commit, side="right"))
        if count == len(entries.pgnos):
            return self
        return MergedLayer(Entries(entries.files, entries.pgnos[:count], entries.packed[:count], entries.sizes[:count]))


def _positions(sorted_pgnos: NDArray[np.uint32], pgnos: NDArray[np.uint32]) -> tuple[list[int], NDArray[np.intp]]:
    """Return which of some pages are among others, and where."""
    if not len(sorted_pgnos):
        return [], np.empty(0, np.intp)
    at = np.minimum(np.searchsorted(sorted_pgnos, pgnos), len(sorted_pgnos) - 1)
    (numbers,) = np.nonzero(sorted_pgnos[at] == pgnos)
    return numbers.tolist(), at[numbers]


def merge(layers: Sequence[Layer]) -> MergedLayer:
    """Return one layer with the newest place of each page; `layers` come newest first."""
    files: dict[LTXFile, int] = {}
    columns: list[tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint32]]] = []
    for layer in layers:
        entries = layer.entries()
        numbers = np.array([files.setdefault(file, len(files)) for file in entries.files], dtype=np.uint64)
        old = (entries.packed >> np.uint64(OFFSET_BITS)).astype(np.intp)
        packed = (numbers[old] << np.uint64(OFFSET_BITS)) | (entries.packed & np.uint64(_OFFSET_MASK))
        columns.append((entries.pgnos, packed, entries.sizes))
    pgnos = np.concatenate([column[0] for column in columns])
    pgnos, first = np.unique(pgnos, return_index=True)  # the first of equals is the newest
    packed = np.concatenate([column[1] for column in columns])[first]
    sizes = np.concatenate([column[2] for column in columns])[first]
    return MergedLayer(_drop_unused_files(tuple(files), pgnos, packed, sizes))


def _drop_unused_files(
    files: tuple[LTXFile, ...], pgnos: NDArray[np.uint32], packed: NDArray[np.uint64], sizes: NDArray[np.uint32]
) -> Entries:
    """Renumber the files so that only those with a page are kept."""
    used, numbers = np.unique(packed >> np.uint64(OFFSET_BITS), return_inverse=True)
    kept = tuple(files[int(number)] for number in used)
    packed = (numbers.astype(np.uint64) << np.uint64(OFFSET_BITS)) | (packed & np.uint64(_OFFSET_MASK))
    return Entries(kept, pgnos, packed, sizes)


def push(layers: tuple[Layer, ...], newer: Sequence[tuple[Layer, int]]) -> tuple[Layer, ...]:
    """Return the stack with files laid on top, merged so that it stays at most three deep.

    `newer` holds each file's layer and commit, oldest file first. Pages beyond a later commit are dropped: if the
    database grows again, the file that grew it brings them.
    """
    smallest = MAX_COMMIT
    fresh: list[Layer] = []
    for layer, commit in reversed(newer):
        smallest = min(smallest, commit)
        fresh.append(layer.truncated(smallest))
    layers = tuple(layer.truncated(smallest) for layer in layers)
    if not layers:
        layers = (fresh.pop(),)  # the oldest is the base
    if not any(fresh):
        return layers
    *upper, base = layers
    recent = merge([*fresh, *upper[:1]])
    if len(recent) <= RECENT_PAGES:
        return (recent, *upper[1:], base)
    middle = merge([recent, *upper[1:]])
    if 2 * len(middle) > len(base) and base.is_known:
        return (merge([middle, base]),)
    return (_EMPTY, middle, base)


_EMPTY = MergedLayer(Entries((), np.empty(0, np.uint32), np.empty(0, np.uint64), np.empty(0, np.uint32)))
