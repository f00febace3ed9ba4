"""Interior pages beside one another: where a connection reads a second one apart from the first, the others follow.

It looks rows up all over the b-tree, so that it needs the others soon; there are few, and what is known of them stays.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from vfs.tree import Spot, Tree
from vfs.view import View

MAX_CHILDREN = 16  # of one page, interior ones: of more, too many may never be needed
MAX_PARENTS = 8


@dataclass(slots=True)
class InteriorSiblings:
    """The interior pages that one connection read last."""

    tree: Tree
    _last: OrderedDict[int, int] = field(default_factory=OrderedDict)  # a parent to the position of its child

    def clear(self) -> None:
        """Forget all of them."""
        self._last.clear()

    def read(self, view: View, pgno: int, spot: Spot) -> None:
        """Note that a page is about to be read that may be an interior one, and fetch ahead the others where due."""
        parent, children = spot.node.pgno, spot.node.interior.children
        last = self._last.get(parent, spot.position)
        self._last[parent] = spot.position
        self._last.move_to_end(parent)
        if len(self._last) > MAX_PARENTS:
            self._last.popitem(last=False)
        is_apart = abs(spot.position - last) > 1 and spot.node.above_leaves is False
        if is_apart and len(children) <= MAX_CHILDREN and not self.tree.has(view, pgno):
            self.tree.want(view, [pgno, *(child for child in children if child != pgno)])
