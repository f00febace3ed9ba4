"""The layer of a large snapshot, whose page index comes in parts: it has a place for every page, and knows some."""

import numpy as np
from numpy.typing import NDArray

from replication.errors import LTXError
from replication.ltx.index import PageIndex
from vfs.index import MAX_COMMIT, Entries, FileLayer, Layer
from vfs.ltx_file import LTXFile
from vfs.place import Place
from vfs.snapshot_index import SnapshotIndex


class SnapshotLayer:
    """All pages of a snapshot up to a commit; views whose databases are shorter share what is known."""

    __slots__ = ("_commit", "file", "index")

    def __init__(self, file: LTXFile, index: SnapshotIndex, commit: int = MAX_COMMIT) -> None:
        """Take the file, its page index, and the last page that counts."""
        self.file = file
        self.index = index
        self._commit = min(commit, index.commit)

    def __len__(self) -> int:
        return min(len(self.index), self._commit)

    def __repr__(self) -> str:
        return f"<SnapshotLayer of {self.file!r} pages={len(self)}>"

    @property
    def nbytes(self) -> int:
        """How many bytes its arrays take."""
        return self.index.nbytes

    @property
    def files(self) -> tuple[LTXFile, ...]:
        """The one file."""
        return (self.file,)

    @property
    def is_known(self) -> bool:
        """Whether the place of each of its pages is known."""
        return self.index.offsets is not None

    def has(self, pgno: int) -> bool:
        """Say whether a page lies here, be its place known or not."""
        return pgno <= self._commit and pgno in self.index

    def find(self, pgno: int) -> Place | None:
        """Return the place of a page, or None if it is not known, or not here."""
        span = self.index.find(pgno) if pgno <= self._commit else None
        return None if span is None else Place(self.file, span.start, span.end)

    def find_into(self, keys: list[int], sizes: list[int], pgnos: NDArray[np.uint32]) -> None:
        """Put the places of those pages that are known into columns that are as long."""
        for number, pgno in enumerate(pgnos.tolist()):
            place = self.find(pgno)
            if place is not None:
                keys[number], sizes[number] = place.key, place.size

    def entries(self) -> Entries:
        """Return all places as arrays.

        Raises:
            LTXError: the page index is not known as a whole.

        """
        offsets = self.index.offsets
        if offsets is None:
            msg = "expected the whole page index, got parts of it"
            raise LTXError(msg)
        whole = FileLayer(self.file, PageIndex(self.index.pgnos(), offsets))
        return whole.truncated(self._commit).entries()

    def truncated(self, commit: int) -> "SnapshotLayer":
        """Return the layer without the pages above `commit`."""
        return self if commit >= self._commit else SnapshotLayer(self.file, self.index, commit)


def file_layer(file: LTXFile, index: PageIndex | SnapshotIndex) -> Layer:
    """Return the layer of all pages of a file."""
    return FileLayer(file, index) if isinstance(index, PageIndex) else SnapshotLayer(file, index)
