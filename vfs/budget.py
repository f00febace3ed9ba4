"""How much one reader may have fetched ahead: little at first, more as it is seen to be used."""

from dataclasses import dataclass

FIRST_SIZE = 256 * 2**10
"""Bytes a budget may have unused before anything of it was used."""

USE_FACTOR = 8
"""So many times what was used may be unused."""


@dataclass(slots=True, eq=False)
class Budget:
    """What one reader may have fetched ahead: `size` bytes unused at most, less while little of it was used."""

    size: int
    unused: int = 0  # bytes that were asked for, and neither taken nor shown
    shown: int = 0  # bytes of pages that can be read without asking, and were not passed yet
    used: int = 0  # bytes that were taken or shown
    statement: int = 0  # number of the statement under way

    @property
    def room(self) -> int:
        """How many bytes may be asked for now."""
        return min(self.size - self.shown, FIRST_SIZE + USE_FACTOR * self.used) - self.unused

    def renew(self) -> None:
        """Begin anew, for another statement; what is still unused counts until room is needed."""
        self.used = 0
        self.statement += 1
