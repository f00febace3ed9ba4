"""What one read transaction sees."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from replication.position import TXID
from vfs.index import Layer
from vfs.ltx_file import LTXFile
from vfs.place import Place, Places
from vfs.snapshot_layer import SnapshotLayer


class View:
    """The database at one TXID: which bytes of which file hold each page. Nothing that it says changes but `pages`.

    `epoch` counts the times history jumped (it started over, or a file with the whole database came in): the schema
    cookie of two views is comparable only where their epochs are equal. `history` counts only the times it started
    over: files stand in for one another only within a history. `pages` is the front of the page cache: whole
    pages by byte offset in the database, all of them also in the cache that owns them.
    """

    __slots__ = (
        "__weakref__",
        "_files",
        "commit",
        "epoch",
        "history",
        "layers",
        "page_size",
        "pages",
        "size",
        "time",
        "txid",
    )

    def __init__(
        self,
        *,
        txid: TXID,
        commit: int,
        page_size: int,
        time: datetime,
        history: int,
        epoch: int,
        layers: tuple[Layer, ...],
    ) -> None:
        """Take the position, the size in pages, the instant of the newest file, and the layers, newest first."""
        self.txid = txid
        self.commit = commit
        self.page_size = page_size
        self.time = time
        self.history = history
        self.epoch = epoch
        self.layers = layers
        self.size = commit * page_size
        self.pages: dict[int, bytes] = {}
        self._files: dict[int, LTXFile] | None = None  # by number, once somebody asked

    def __repr__(self) -> str:
        return f"<View txid={self.txid:016x} commit={self.commit} page_size={self.page_size} epoch={self.epoch}>"

    def find(self, pgno: int) -> Place | None:
        """Return the place of a page, or None if no file holds it."""
        for layer in self.layers:
            place = layer.find(pgno)
            if place is not None:
                return place
        return None

    def places(self, pgnos: Sequence[int]) -> Places:
        """Return the places of some pages, up to the first of them that `find` knows none for."""
        wanted = np.array(pgnos, dtype=np.uint32)
        keys, sizes = [0] * len(pgnos), [0] * len(pgnos)  # 0 is the key of no place
        for layer in reversed(self.layers):
            layer.find_into(keys, sizes, wanted)
        known = keys.index(0) if 0 in keys else len(keys)
        if self._files is None:
            self._files = {file.number: file for layer in self.layers for file in layer.files}
        return Places(self._files, list(pgnos[:known]), keys[:known], sizes[:known])

    def unplaced(self, pgno: int) -> SnapshotLayer | None:
        """Return the layer that holds a page whose place `find` does not know."""
        base = self.layers[-1] if self.layers else None
        return base if isinstance(base, SnapshotLayer) and base.has(pgno) else None

    @property
    def lost_a_file(self) -> bool:
        """Whether a file that holds pages of this view is known to have vanished."""
        return any(file.gone for layer in self.layers for file in layer.files)

    @property
    def index_size(self) -> int:
        """How many bytes the arrays of the page index take."""
        return sum(layer.nbytes for layer in self.layers)
