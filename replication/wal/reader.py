"""Reading a WAL as it is: the frames that are committed and whole, and where the newest of each page is.

What a frame proves. A frame is valid if it has the salts of this use of the WAL, and if its checksum follows from that
of the frame before it; the first follows from the header. So a valid frame vouches for every frame between it and the
place the reading began, and the first that is not valid ends the WAL: it is being written, or was torn by a crash, or
is left from an earlier use. Nothing behind it counts, whatever it looks like. A valid frame may still belong to a
transaction that never ends; only a commit frame makes it and those before it part of the database. This is also how
SQLite recovers a WAL.

How a WAL is used again. Once a checkpoint has copied all frames to the database file, and nobody reads them, the next
writer starts over at byte 32 with a new header and new salts. It overwrites as much as it writes: behind its last
frame, those of the earlier use are still there, whole and valid among themselves. Or the file is truncated first.

What proves that nothing was missed since a position saved earlier. A position is an offset, the salts, and the sums
after the frame that ends there. While a read transaction of ours keeps the WAL from being used again:

- the header is valid and has the saved salts;
- the frame that ends at the offset has the saved salts and the saved sums: `WALReader.at` checks them;
- from there on each frame follows from the one before: `page_map` and `read_frame` check it.

Together these prove that all since the position is read. What does not:

- The salts of the frame before the offset, alone. After a restart the old frames stay until they are overwritten, so
  the frame is still found although the WAL goes on at its beginning. Worse, the old use may have grown between the last
  reading and the restart, and its last frames may have been overwritten: they are in the database file only.
- A header with other salts, and all frames of known salts. It says that the WAL was restarted, not what the earlier use
  held at its end.
- The saved salts, in the header and in the frame before the offset, without the saved sums. A power failure can take
  commits that were written but not synced; SQLite then writes others in their place, with the same salts.
- A file that ends at the offset, or before it. It may have been truncated after more was written and checkpointed.
- All this without the read transaction, which must have begun before the proof: the WAL may be restarted in between,
  and once even then, as long as the transaction reads from the database file alone.

Where there is no proof, only the pages themselves tell what has changed.

Memory is bounded: the file is read in pieces of `MAX_READ_SIZE` bytes at most (or one frame), and a page map keeps
page numbers and offsets.
"""

from collections.abc import Callable
from typing import Self

import numpy as np

from replication.errors import PrevFrameMismatchError, UsageError
from replication.position import Pgno
from replication.wal.chain import NO_FRAMES, FrameRun, check_frames
from replication.wal.checksum import Sums
from replication.wal.frame import WAL_FRAME_HEADER_SIZE, WALFrame, WALFrameHeader
from replication.wal.header import WAL_HEADER_SIZE, Salts, WALHeader
from replication.wal.page_map import NewestFrames, PageMap

ReadAt = Callable[[int, int], bytes]
"""Returns the bytes from an offset on, as many as asked for, or fewer where the file ends."""

MIN_READ_SIZE = 1 << 16  # bytes; most readings find a few new frames
MAX_READ_SIZE = 1 << 20


class WALReader:
    """Reads the valid frames of a WAL, from its first frame on; `at` starts elsewhere.

    A reader that has come to the end of the valid WAL can be asked again: more may have been written. It does not
    notice a restart; who wants to go on after letting the WAL be restarted needs a new reader.

    Raises:
        WALError: the header is cut short or broken; to SQLite, such a WAL holds no frames.

    """

    _salts: Salts
    _next_offset: int
    _sums: Sums  # before the next frame
    _run: FrameRun  # read and proven, to be taken frame by frame
    _data: bytes  # of the run
    _taken: int  # frames of the run
    _read_size: int  # bytes

    def __init__(self, read_at: ReadAt) -> None:
        self._read_at = read_at
        self.header = WALHeader.unpack(read_at(0, WAL_HEADER_SIZE))
        self.header.validate()
        self.page_size = self.header.page_size  # bytes
        self._frame_size = WAL_FRAME_HEADER_SIZE + self.page_size
        self._start(WAL_HEADER_SIZE, self.header.salts, self.header.sums)

    @classmethod
    def at(cls, read_at: ReadAt, offset: int, *, salts: tuple[int, int], sums: tuple[int, int] | None = None) -> Self:
        """Return a reader of the frames from `offset` on that have these salts.

        The sums stored in the frame that ends at the offset continue the checksum, and are taken as given; `sums` says
        what they must be, if that is known. At offset 32, the header takes the place of that frame.

        The header may have other salts: then the WAL was restarted, and this reads what is left of the earlier use.

        Raises:
            PrevFrameMismatchError: no frame ends at the offset, or it has other salts or other sums.
            UsageError: the offset is inside the header.
            WALError: the header is cut short or broken.

        """
        if offset < WAL_HEADER_SIZE:
            msg = f"expected an offset of {WAL_HEADER_SIZE} or more, got {offset}"
            raise UsageError(msg)
        reader = cls(read_at)
        reader.go_on_at(offset, salts=salts, sums=sums)
        return reader

    def go_on_at(self, offset: int, *, salts: tuple[int, int], sums: tuple[int, int] | None = None) -> None:
        """Read the frames from `offset` on, as a reader that `at` returns does.

        Raises:
            PrevFrameMismatchError: no frame ends at the offset, or it has other salts or other sums.

        """
        found = self._ends_at(offset)
        if found is None:
            msg = f"expected a frame of {self.page_size} bytes and its header to end at byte {offset}, found none"
            raise PrevFrameMismatchError(msg, offset=offset)
        found_salts, found_sums = found
        if found_salts != salts:
            msg = f"expected the salts {tuple(salts)} before byte {offset}, got {tuple(found_salts)}"
            raise PrevFrameMismatchError(msg, offset=offset)
        if sums is not None and found_sums != sums:
            msg = f"expected the checksum {tuple(sums)} before byte {offset}, got {tuple(found_sums)}"
            raise PrevFrameMismatchError(msg, offset=offset)
        self._start(offset, found_salts, found_sums)

    def __repr__(self) -> str:
        salts = f"{self.salts.salt1:08x}-{self.salts.salt2:08x}"
        return f"<WALReader next_offset={self.next_offset} salts={salts} page_size={self.page_size}>"

    @property
    def salts(self) -> Salts:
        """The salts of the frames that are read."""
        return self._salts

    @property
    def next_offset(self) -> int:
        """Where the next frame begins, in bytes from the start of the WAL."""
        return self._next_offset

    @property
    def offset(self) -> int:
        """Where the last frame read begins, or the frame before the place the reading starts; 0 if there is none."""
        return 0 if self._next_offset == WAL_HEADER_SIZE else self._next_offset - self._frame_size

    @property
    def sums(self) -> Sums:
        """The checksum before the next frame: with `next_offset` and `salts` it says where to go on later."""
        return self._sums

    def read_frame(self) -> WALFrame | None:
        """Return the next frame, committed or not, or None at the end of the valid WAL."""
        if self._taken == len(self._run):
            self._run, self._data = self._read_run(self._next_offset, self._sums, self._read_size)
            self._taken = 0
            if len(self._run) == 0:
                self._read_size = MIN_READ_SIZE
                return None
            self._read_size = min(2 * self._read_size, MAX_READ_SIZE)
        i = self._taken
        start = i * self._frame_size + WAL_FRAME_HEADER_SIZE
        frame = WALFrame(
            pgno=Pgno(int(self._run.pgnos[i])),
            commit=int(self._run.commits[i]),
            data=self._data[start : start + self.page_size],
            offset=self._next_offset,
        )
        self._taken += 1
        self._next_offset += self._frame_size
        self._sums = self._run.sums_after(i)
        return frame

    def page_map(self, max_bytes: int | None = None) -> PageMap:
        """Return where the newest committed version of each page is, among the frames from the next one on.

        With `max_bytes` it ends at the first commit at which so many bytes, or more, have been read. Afterwards the
        reader stands behind the last commit, also if valid frames follow.
        """
        start = end = offset = self._next_offset
        sums = committed_sums = self._sums
        committed, pending = NewestFrames(), NewestFrames()
        commit = 0
        read_size = MIN_READ_SIZE
        while len(run := self._read_run(offset, sums, read_size)[0]) > 0:
            offsets = np.arange(len(run), dtype=np.uint64) * np.uint64(self._frame_size) + np.uint64(offset)
            last = _last_commit(run, self._frame_size, None if max_bytes is None else start + max_bytes - offset)
            if last is not None:
                committed.add(*pending.newest())
                committed.add(run.pgnos[: last + 1], offsets[: last + 1])
                pending = NewestFrames()
                commit = int(run.commits[last])
                end, committed_sums = offset + (last + 1) * self._frame_size, run.sums_after(last)
                if max_bytes is not None and end - start >= max_bytes:
                    break
            done = 0 if last is None else last + 1
            pending.add(run.pgnos[done:], offsets[done:])
            offset, sums = offset + len(run) * self._frame_size, run.sums_after(len(run) - 1)
            read_size = min(2 * read_size, MAX_READ_SIZE)
        self._start(end, self._salts, committed_sums)
        return committed.page_map(end, commit)

    def frame_salts_until(self, until: tuple[int, int]) -> set[Salts]:
        """Return the different salts of all frames from the first on, valid or not, up to a frame that has `until`."""
        salts: set[Salts] = set()
        offset = WAL_HEADER_SIZE
        while until not in salts:
            data = self._read_at(offset, WAL_FRAME_HEADER_SIZE)
            if len(data) < WAL_FRAME_HEADER_SIZE:
                break
            salts.add(WALFrameHeader.unpack(data).salts)
            offset += self._frame_size
        return salts

    def _start(self, offset: int, salts: Salts, sums: Sums) -> None:
        self._next_offset = offset
        self._salts = salts
        self._sums = sums
        self._run, self._data = NO_FRAMES, b""
        self._taken = 0
        self._read_size = MIN_READ_SIZE

    def _ends_at(self, offset: int) -> tuple[Salts, Sums] | None:
        """Return the salts and the sums of the frame, or header, that ends at an offset."""
        if offset == WAL_HEADER_SIZE:
            return self.header.salts, self.header.sums
        if (offset - WAL_HEADER_SIZE) % self._frame_size:
            return None
        data = self._read_at(offset - self._frame_size, self._frame_size)
        if len(data) < self._frame_size:
            return None
        header = WALFrameHeader.unpack(data)
        return header.salts, header.sums

    def _read_run(self, offset: int, sums: Sums, size: int) -> tuple[FrameRun, bytes]:
        """Read about so many bytes, one frame at least, and return the valid frames they begin with."""
        data = self._read_at(offset, max(size // self._frame_size, 1) * self._frame_size)
        return self._check(data, sums), data

    def _check(self, data: bytes, sums: Sums) -> FrameRun:
        return check_frames(
            data, page_size=self.page_size, byteorder=self.header.byteorder, salts=self._salts, sums=sums
        )


def _last_commit(run: FrameRun, frame_size: int, limit: int | None) -> int | None:
    """Return the last commit frame of a run, or the first that ends at `limit` or later, in bytes from its start."""
    commits = np.flatnonzero(run.commits)
    if len(commits) == 0:
        return None
    if limit is not None:
        beyond = np.flatnonzero((commits + 1) * frame_size >= limit)
        if len(beyond) > 0:
            return int(commits[beyond[0]])
    return int(commits[-1])
