"""The checksum of a WAL: two running sums over the file's 32-bit words, taken in pairs.

For each pair of words x0, x1:

    s0 += x0 + s1
    s1 += x1 + s0

all modulo 2^32. The sums of the header start at 0, 0; those of a frame start where the frame before it ended, so one
frame is right only if every frame before it is. The words are big- or little-endian as the header says, but the sums
are always stored big-endian. `replication.wal.chain` checks many frames at once; here is the rule itself.

Source: sqlite.org/fileformat2.html#checksum_algorithm.
"""

from struct import Struct
from typing import Literal, NamedTuple

from replication.errors import UsageError

ByteOrder = Literal["little", "big"]


class Sums(NamedTuple):
    """The two sums after some bytes of a WAL."""

    s0: int
    s1: int


NO_SUMS = Sums(0, 0)  # before the header

_PAIRS = {"little": Struct("<2I"), "big": Struct(">2I")}
_MASK = 2**32 - 1


def checksum(byteorder: ByteOrder, s0: int, s1: int, data: bytes | bytearray | memoryview) -> Sums:
    """Return the sums after the data, which are `s0` and `s1` before it.

    >>> checksum("big", 0, 0, bytes([0, 0, 0, 1, 0, 0, 0, 2]))
    Sums(s0=1, s1=3)
    >>> checksum("big", 1, 3, bytes(8)) == checksum("big", 0, 0, bytes([0, 0, 0, 1, 0, 0, 0, 2]) + bytes(8))
    True

    Raises:
        UsageError: the data is not in whole pairs of words, 8 bytes each.

    """
    pairs = _PAIRS[byteorder]
    if len(data) % pairs.size:
        msg = f"expected a multiple of {pairs.size} bytes, got {len(data)}"
        raise UsageError(msg)
    for x0, x1 in pairs.iter_unpack(data):
        s0 = (s0 + x0 + s1) & _MASK
        s1 = (s1 + x1 + s0) & _MASK
    return Sums(s0, s1)


wal_checksum = checksum
