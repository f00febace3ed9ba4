"""Finding the way in b-trees of which only some pages are here: the leaf beside a leaf, the leaf that has a row.

What is missing on the way is fetched ahead, and nothing is waited for: a way that ends early goes on another time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vfs.ahead import FetchedAhead
from vfs.budget import Budget
from vfs.index_fetcher import IndexFetcher
from vfs.interiors import MAX_DEPTH, Interiors, Node
from vfs.shown import Shown
from vfs.view import View

MAX_HERE = 64  # leaves that are here, which are passed over on the way to an end
MAX_INTERIORS = 8  # pages sought at once for the leaves of one run


@dataclass(frozen=True, slots=True)
class Spot:
    """A child of an interior page; one before the first or behind the last is where a way along the children begins."""

    node: Node
    position: int


@dataclass(frozen=True, slots=True)
class Tree:
    """The b-trees of a replica, for one connection."""

    interiors: Interiors
    indexes: IndexFetcher
    ahead: FetchedAhead
    budget: Budget
    landed: Callable[[], None]  # called, on any thread, when a page has come without which somebody could not go on

    def spot(self, view: View, pgno: int) -> Spot | None:
        """Return where a page hangs in its tree, or None if that is not known."""
        parent = self.interiors.parent(view, pgno)
        return None if parent is None else Spot(*parent)

    def want(self, view: View, pgnos: Iterable[int], shown: Shown | None = None) -> int:
        """Fetch pages ahead, the first ones first, and return how many of them are on their way or here.

        With `shown`, those that come in one range can be read without asking once the first of them was read.
        """
        wanted = list(pgnos)
        places = view.places(wanted)
        if len(places) < len(wanted):
            unplaced = wanted[len(places)]
            layer = view.unplaced(unplaced)
            if layer is not None:
                self.indexes.want(layer.file, layer.index, unplaced)
        return self.ahead.want(places, self.budget, shown)

    def has(self, view: View, pgno: int) -> bool:
        """Say whether a page is cached, or on its way."""
        place = view.find(pgno)
        return place is None or self.ahead.has(place)

    def is_cached(self, view: View, pgno: int) -> bool:
        """Say whether a page is in the page cache."""
        place = view.find(pgno)
        return place is not None and self.ahead.cache.holds(place.key)

    def interior(self, view: View, pgno: int, others: Sequence[int] = ()) -> Node | None:
        """Return an interior page that is known, cached or has landed; else fetch it ahead, and others with it."""
        known = self.interiors.get(view, pgno)
        if known is not None:
            return known
        place = view.find(pgno)
        if place is None:
            return None
        page = self.ahead.peek_page(place, view.page_size, pgno)
        if page is not None:
            return self.interiors.learn(pgno, place, page)
        self.want(view, [pgno, *others])
        self.ahead.when_landed(place, self.landed)
        return None

    def leaves(self, view: View, spot: Spot, step: int, count: int) -> tuple[list[int], Spot]:
        """Return up to so many leaves behind (`step` 1) or before (-1) one, and the spot of the last of them.

        It ends early at an interior page that is not here yet.
        """
        found: list[int] = []
        node, position = spot.node, spot.position
        while len(found) < count:
            children, missing = node.interior.children, count - len(found)
            if step > 0:
                part = children[position + 1 : position + 1 + missing]
            else:
                part = children[max(0, position - missing) : max(0, position)][::-1]
            if part:
                found.extend(part)
                position += step * len(part)
                continue
            sibling = self.sibling(view, node, step, (count - len(found)) // len(children))
            if sibling is None:
                break
            node, position = sibling, -1 if step > 0 else len(sibling.interior.children)
        return found, Spot(node, position)

    def is_end(self, view: View, spot: Spot, step: int) -> bool:
        """Say whether no leaf is known to lie behind (`step` 1) or before (-1) one, but for some that are here."""
        node, position = spot.node, spot.position
        for _ in range(MAX_HERE):  # the first bytes of a snapshot are, and with them the first leaves of a table
            if not 0 <= position + step < len(node.interior.children):
                break
            if not self.has(view, node.interior.children[position + step]):
                return False
            position += step
        for _ in range(MAX_DEPTH):
            if position != (len(node.interior.children) - 1 if step > 0 else 0):
                return False
            parent = self.interiors.parent(view, node.pgno)
            if parent is None:
                break
            node, position = parent
        return True

    def want_interiors(self, view: View, spot: Spot, step: int, count: int) -> None:
        """Fetch ahead the interior pages above so many leaves behind or before one, as far as they have one parent."""
        parent = self.interiors.parent(view, spot.node.pgno)
        if parent is None:
            return
        child_count = len(spot.node.interior.children)
        beyond = count - (child_count - 1 - spot.position if step > 0 else spot.position)
        number = max(0, -(-beyond // child_count))
        siblings = _beside(*parent, step)[:number]
        unknown = [pgno for pgno in siblings if self.interiors.get(view, pgno) is None]
        self.want(view, unknown[:MAX_INTERIORS])

    def sibling(self, view: View, node: Node, step: int, others: int = 0) -> Node | None:
        """Return the interior page beside another one, or None if there is none, or it is not here yet.

        If it has to be fetched, so many `others` behind it are fetched with it, as far as they have the same parent.
        """
        above, climbed = node, 0  # levels
        beside: Sequence[int] = ()
        while not beside:
            parent = self.interiors.parent(view, above.pgno)
            if parent is None or climbed == MAX_DEPTH:
                return None
            above, climbed = parent[0], climbed + 1
            beside = _beside(*parent, step)
        target = beside[0]
        for _ in range(climbed - 1):
            between = self.interior(view, target)
            if between is None:
                return None
            target = between.interior.children[0 if step > 0 else -1]
        found = self.interior(view, target, beside[1 : 1 + others] if climbed == 1 else ())
        if found is not None and found.above_leaves is None:
            found.above_leaves = node.above_leaves  # all leaves are equally deep
        return found

    def top(self, view: View, node: Node) -> tuple[Node, int]:
        """Return the uppermost page known above an interior page, and how many levels it lies above it."""
        height = 0
        while height < MAX_DEPTH and (parent := self.interiors.parent(view, node.pgno)) is not None:
            node, height = parent[0], height + 1
        return node, height

    def leaf_of(self, view: View, top: Node, height: int, rowid: int, missing: set[int]) -> int | None:
        """Return the leaf with a row, `height` + 1 levels below an interior page; None if the way is not here yet.

        Interior pages that are `missing` are noted there, and those noted are not asked for again.
        """
        node = top
        for _ in range(height):
            pgno = node.interior.children[node.interior.child_of(rowid)]
            below = None if pgno in missing else self.interior(view, pgno)
            if below is None or not below.interior.keys:
                missing.add(pgno)
                return None
            node = below
        return node.interior.children[node.interior.child_of(rowid)]


def _beside(node: Node, position: int, step: int) -> Sequence[int]:
    """Return the children behind (`step` 1) or before (-1) one, the nearest first."""
    children = node.interior.children
    return children[position + 1 :] if step > 0 else children[:position][::-1]
