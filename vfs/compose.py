"""From loaded files to a view: pure. Each file lies on those before it; one with every page starts a new stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from replication.clock import from_timestamp_ms
from replication.errors import LTXError, PositionError
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID
from vfs.fetch import Fetcher
from vfs.file_table import FileTable
from vfs.index import Layer, push
from vfs.load import LoadedFile
from vfs.snapshot_layer import file_layer
from vfs.view import View


@dataclass(frozen=True, slots=True, eq=False)
class Composed:
    """A view, and what comes with it when it is published.

    `changed` are the pages in which it differs from the view before; None if all may differ. `base` is the file its
    stack starts with, and `table` knows the files of its history, each if it is a new one.
    """

    view: View
    changed: frozenset[int] | None
    base: LoadedFile | None = None
    table: FileTable | None = None


def compose(loaded: Sequence[LoadedFile], before: View | None, *, history: int, epoch: int) -> Composed:
    """Return the view that files make on top of another view, or from nothing; at least one file is needed.

    Raises:
        PositionError: a file does not follow the one before it.
        LTXError: a file has another page size than the pages below it, and does not replace them all.

    """
    layers: tuple[Layer, ...] = before.layers if before else ()
    page_size = before.page_size if before else 0
    position = before.txid if before else NO_TXID
    newer: list[tuple[Layer, int]] = []
    changed: set[int] | None = set() if before else None
    base: LoadedFile | None = None
    for one in loaded:
        info, header = one.file.info, one.file.header
        if not (info.min_txid <= position + 1 and info.max_txid > position):
            msg = f"expected a file that goes on from TXID {position:016x}, got {one.file!r}"
            raise PositionError(msg, expected=position + 1, actual=info.min_txid)
        if one.is_complete:
            layers, newer, changed, base = (), [], None, one
            epoch += 1
        elif header.page_size != page_size:
            msg = f"expected pages of {page_size} bytes, or every page anew, got pages of {header.page_size}"
            raise LTXError(msg, level=info.level, min_txid=info.min_txid, max_txid=info.max_txid, offset=8)
        page_size = header.page_size
        position = info.max_txid
        newer.append((file_layer(one.file, one.index), header.commit))
        if changed is not None:
            changed.update(one.index)
    header = loaded[-1].file.header
    view = View(
        txid=position,
        commit=header.commit,
        page_size=page_size,
        time=from_timestamp_ms(header.timestamp_ms),
        history=history,
        epoch=epoch,
        layers=push(layers, newer),
    )
    return Composed(view, None if changed is None else frozenset(changed), base)


def written_at(view: View, listing: Mapping[int, Sequence[FileInfo]], fetcher: Fetcher) -> datetime:
    """Return when the view's TXID was written: a snapshot's own time is later, a listed file of level 0 may tell."""
    if not fetcher.accurate_list_times:
        return view.time
    times = (info.created_at for infos in listing.values() for info in infos if info.max_txid == view.txid)
    return min([view.time, *times])
