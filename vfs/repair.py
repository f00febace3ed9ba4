"""Which file can stand in for one that vanished under a view: pure.

View T takes page p from file F. Another file G that holds p holds the same version of it if no transaction between
the ends of F and G changed p: F.max <= G.max <= H, where H >= T is the last TXID up to which known files, without a
gap, lack p (the view itself proves it up to T); or G.max < F.max, and known files that lack p cover all between.
Sizes and checksums prove nothing, and neither does a file nobody has the page numbers of, or one that left the page
out because the database was shorter then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from replication.ltx.index import PageIndex
from vfs.ltx_file import LTXFile
from vfs.place import Place
from vfs.snapshot_index import SnapshotIndex


@dataclass(frozen=True, slots=True, eq=False)
class KnownFile:
    """A file and the numbers of its pages."""

    file: LTXFile
    index: PageIndex | SnapshotIndex


def replacements(pgno: int, place: Place, txid: int, known: Sequence[KnownFile]) -> list[Place]:
    """Return places that hold the same version of a page as `place` does in the view at `txid`, best first."""
    lacking = sorted(
        # A file that ends with a shorter database lacks the page too, and says nothing of what came before that.
        (k.file.info for k in known if pgno <= k.file.header.commit and pgno not in k.index),
        key=lambda info: info.min_txid,
    )
    spans = [(info.min_txid, info.max_txid) for info in lacking]
    newest = reach(txid, spans)
    ours = place.file.info.max_txid
    found = []
    for candidate in known:
        theirs = candidate.file.info.max_txid
        if candidate.file.gone:
            continue
        if not (ours <= theirs <= newest or (theirs < ours and reach(theirs, spans) >= ours)):
            continue
        span = candidate.index.find(pgno)
        if span is not None:
            found.append(Place(candidate.file, span.start, span.end))
    # Higher levels are kept longest.
    return sorted(found, key=lambda place: (place.file.data is not None, place.file.info.level), reverse=True)


def reach(txid: int, spans: Iterable[tuple[int, int]]) -> int:
    """Return the TXID up to which spans (first and last TXID, sorted by the first) go on from `txid` without a gap."""
    for first, last in spans:
        if first > txid + 1:
            break
        txid = max(txid, last)
    return txid
