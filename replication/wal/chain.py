"""Checking many WAL frames at once.

The checksum is a linear recurrence, so it has a closed form. With m words w(0) .. w(m-1), the sums a and b before them,
and the Fibonacci numbers F(0) = 0, F(1) = F(2) = 1, ..., all modulo 2^32:

    s0 = F(m-1) a + F(m)   b + sum of F(m-1-i) w(i)
    s1 = F(m)   a + F(m+1) b + sum of F(m-i)   w(i)

So the part of a frame's own words is two dot products with coefficients that depend on the page size alone; words that
are not checked have the coefficient 0. The part of the sums before it is taken from the stored sums of the frame
before, for all frames at once: if each of the frames 0 to k follows from the stored sums of its predecessor, and the
first from sums known to be right, then all are right. What comes after the first frame that does not follow is unknown.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from replication.wal.checksum import ByteOrder, Sums
from replication.wal.frame import CHECKED_SIZE, WAL_FRAME_HEADER_SIZE
from replication.wal.header import Salts

_WORD_SIZE = 4
_CHECKED_WORDS = CHECKED_SIZE // _WORD_SIZE
_HEADER_WORDS = WAL_FRAME_HEADER_SIZE // _WORD_SIZE
_WORD_TYPES: dict[ByteOrder, str] = {"little": "<u4", "big": ">u4"}
_MASK = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False)
class FrameRun:
    """Frames that lie one behind the other and are proven; each field has one row per frame."""

    pgnos: NDArray[np.uint32]
    commits: NDArray[np.uint32]
    sums: NDArray[np.uint32]  # two columns

    def __len__(self) -> int:
        return len(self.pgnos)

    def sums_after(self, i: int) -> Sums:
        """Return the sums after frame `i`, from which frame i + 1 goes on."""
        return Sums(int(self.sums[i, 0]), int(self.sums[i, 1]))


NO_FRAMES = FrameRun(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros((0, 2), np.uint32))


def check_frames(
    data: bytes | memoryview, *, page_size: int, byteorder: ByteOrder, salts: Salts, sums: Sums
) -> FrameRun:
    """Return the frames that `data` begins with, up to the first that is cut short or does not belong there.

    A frame belongs there if it has the salts, a page number, and the checksum that follows from the frame before it;
    `sums` are those before the first frame.
    """
    width = (WAL_FRAME_HEADER_SIZE + page_size) // _WORD_SIZE
    count = len(data) // (width * _WORD_SIZE)
    stored = np.frombuffer(data, dtype=">u4", count=count * width).reshape(count, width)
    fields = stored[:, :_HEADER_WORDS].astype(np.uint32)
    belongs = (fields[:, 0] != 0) & (fields[:, 2] == salts.salt1) & (fields[:, 3] == salts.salt2)
    fields = fields[: _count_true(belongs)]
    words = np.frombuffer(data, dtype=_WORD_TYPES[byteorder], count=len(fields) * width).reshape(len(fields), width)
    follows = (_expected_sums(words, fields[:, 4:], sums) == fields[:, 4:]).all(axis=1)
    fields = fields[: _count_true(follows)]
    return FrameRun(fields[:, 0], fields[:, 1], fields[:, 4:])


def _expected_sums(words: NDArray[np.uint32], stored: NDArray[np.uint32], sums: Sums) -> NDArray[np.uint32]:
    """Return the sums after each frame, if those stored in the frame before it are right."""
    form = _closed_form(words.shape[1] - _HEADER_WORDS)
    before = np.empty_like(stored)
    before[:1] = sums
    before[1:] = stored[:-1]
    words = words.astype(np.uint32, copy=False)  # swaps the bytes of a foreign order
    expected = np.empty_like(stored)
    for column, weights in enumerate(form.word_weights):
        # einsum is the fastest of numpy's integer products: half the time of dot.
        np.einsum("ij,j->i", words, weights, out=expected[:, column])
    expected += before[:, :1] * form.s0_weights + before[:, 1:] * form.s1_weights
    return expected


@dataclass(frozen=True, slots=True, eq=False)
class _ClosedForm:
    """The coefficients of s0 and s1, in this order."""

    word_weights: tuple[NDArray[np.uint32], NDArray[np.uint32]]  # of the words of a frame
    s0_weights: NDArray[np.uint32]  # of the first sum before the frame
    s1_weights: NDArray[np.uint32]


@cache  # of as many as there are page sizes
def _closed_form(page_words: int) -> _ClosedForm:
    count = _CHECKED_WORDS + page_words
    fibonacci = np.empty(count + 2, dtype=np.uint32)
    a, b = 0, 1
    for i in range(count + 2):
        fibonacci[i] = a
        a, b = b, (a + b) & _MASK
    descending = fibonacci[::-1]  # F(count + 1), F(count), ... F(0)
    return _ClosedForm(
        (_spread(descending[2:]), _spread(descending[1:-1])),
        fibonacci[count - 1 : count + 1],
        fibonacci[count : count + 2],
    )


def _spread(weights: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Put zeros where the salts and the sums are in a frame."""
    zeros = np.zeros(_HEADER_WORDS - _CHECKED_WORDS, dtype=np.uint32)
    return np.concatenate([weights[:_CHECKED_WORDS], zeros, weights[_CHECKED_WORDS:]])


def _count_true(flags: NDArray[np.bool_]) -> int:
    """Return how many there are before the first that is false."""
    return len(flags) if flags.all() else int(flags.argmin())
