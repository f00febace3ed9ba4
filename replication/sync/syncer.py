"""From the WAL to level-0 files, without losing a commit.

True at all times: the newest level-0 file, if there is one, and those before it make a state of the database that was
committed. What comes later goes into the next file, and for that it must be known what changed since.

- While the read transaction lives that was there when the last file was made, the position after that file says it.
  The WAL has either gone on from there, frame by frame; or it was started over, which then happened with nothing added
  to the old use, because what is added cannot be checkpointed (see `primary`): all frames from the first on are new.
- When a read transaction begins anew, at the start or after a failure, the position kept on disk says it, if the WAL's
  header has its salts and the frame that ends there has its checksum, and the newest commit does not end before it.
  But more may follow it that is in the database file already, so until the end of the WAL was seen in this read
  transaction, a start-over proves nothing.
- Else nothing is known of the WAL, and the pages themselves are compared with the sums of the last state. Frames of the
  old use that were never read may be in the database file and nowhere else: a WAL that was started over while no read
  transaction of ours was there proves nothing, whatever its salts and its surviving frames say.
- Sums that are lost come from the replica. Where there is none either, all pages are written.

The order of a step: the level-0 file, the sums, the position; each is there for good before the next. Whatever step is
missing after a crash is repeated from those before it.

Where SQLite or the disk fails in the midst, what was done stays done, and the next call goes on from there.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from replication.clock import Clock, to_timestamp_ms
from replication.errors import PrevFrameMismatchError, WALError
from replication.position import TXID
from replication.sync.changes import pages_of_frames, pages_that_differ
from replication.sync.from_replica import ReplicaLink, rebuild_sums
from replication.sync.image import NO_WAL, DatabaseImage, has_salts, scan_wal
from replication.sync.level0 import WALSpan, WrittenFile, write_level0
from replication.sync.local_files import LocalFile, LocalFiles
from replication.sync.page_sums import PageSums, SumsTag
from replication.sync.primary import Primary
from replication.sync.roll_forward import load_sums, roll_forward
from replication.sync.wal_position import PositionFile, WALPosition
from replication.wal.frame import WAL_FRAME_HEADER_SIZE, WALFrameHeader
from replication.wal.header import WAL_HEADER_SIZE, WALHeader
from replication.wal.reader import WALReader

DEFAULT_MAX_SYNC_WAL_BYTES = 64 * 2**20
"""How much of the WAL goes into one level-0 file, about: it ends at the first commit beyond."""

SUMS_NAME = "sums"
POSITION_NAME = "position"


class Syncer:
    """Makes level-0 files of what was committed; not for several threads at once."""

    def __init__(
        self,
        primary: Primary,
        files: LocalFiles,
        meta_path: str,
        *,
        links: Sequence[ReplicaLink],
        max_wal_bytes: int,
        clock: Clock,
        logger: logging.Logger,
    ) -> None:
        """Take the connections, the local directory, and the replicas that may tell what it has lost."""
        self._primary = primary
        self._tap = primary.tap
        self._files = files
        self._links = links
        self._max_wal_bytes = max_wal_bytes
        self._clock = clock
        self._logger = logger
        self.sums = PageSums(Path(meta_path, SUMS_NAME))
        self._position_file = PositionFile(Path(meta_path, POSITION_NAME))
        self._newest: LocalFile | None = files.newest()
        self._position: WALPosition | None = None  # None: nothing is proven
        self._at_end = False  # the position was the end of the WAL at some time in this read transaction
        self._unrecorded = False  # the newest file is not in the sums yet, or the position not on disk

    @property
    def newest(self) -> LocalFile | None:
        """The newest level-0 file."""
        return self._newest

    @property
    def position(self) -> WALPosition:
        """Where in the WAL the newest file ends, as far as it is known."""
        return NO_WAL if self._position is None else self._position

    @property
    def wal_page_count(self) -> int:
        """How many frames of the WAL are behind us."""
        return (self.position.offset - WAL_HEADER_SIZE) // (WAL_FRAME_HEADER_SIZE + self._primary.page_size)

    def sync(self) -> bool:
        """Write all that was committed before this call; say whether there was any.

        Raises:
            PrimaryUnavailableError, PrimaryDeniedError, PrimaryCorruptError: SQLite failed.
            UnavailableError, DeniedError: the local directory failed.

        """
        before = self._newest
        if not self._tap.is_reading:
            # Begin first, then prove: what is proven before may be undone before the transaction begins.
            self._position = None
            self._at_end = False
            self.begin_read()
        if self._unrecorded:
            self._record_again()
        if self._position is None:
            self._prove()
        try:
            while self._sync_frames():
                pass
        except PrevFrameMismatchError as error:
            self._logger.warning("the WAL is not what it was: %s", error)
            self._write_difference()
        return self._newest is not before

    def has_more_frames(self) -> bool:
        """Say whether frames follow the position that nobody can see yet, whatever the WAL's size and time say.

        Their writer is about to publish them, which changes nothing in the WAL; or it rolled them back, or was killed.
        """
        try:
            salts = WALHeader.unpack(self._tap.read_wal(0, WAL_HEADER_SIZE)).salts
        except WALError:
            return False
        offset = self.position.offset if salts == self.position.salts else WAL_HEADER_SIZE
        data = self._tap.read_wal(offset, WAL_FRAME_HEADER_SIZE)
        return len(data) == WAL_FRAME_HEADER_SIZE and WALFrameHeader.unpack(data).salts == salts

    def begin_read(self) -> None:
        """Begin the read transaction; the position counts further on if nobody could write since the last one ended."""
        self._tap.end_read()
        self._tap.begin_read()

    def end_read(self) -> None:
        """End the read transaction, so that a checkpoint can complete."""
        self._tap.end_read()

    def _prove(self) -> None:
        """Find the position in the WAL after the newest file, or else write what differs."""
        newest = self._newest
        if newest is None or newest.header.page_size != self._primary.page_size:
            self.sums.delete()
        elif self._bring_up_sums(newest):
            position = self._position_file.read(newest)
            if position is not None and self._is_here(position):
                self._position = position
                return
        self._write_difference()

    def _bring_up_sums(self, newest: LocalFile) -> bool:
        """Bring the sums to the newest file by whatever means there are."""
        if roll_forward(self.sums, self._files, newest):
            return True
        self.sums.delete()
        return any(
            rebuild_sums(link, self.sums, self._files, newest, self._logger)
            and roll_forward(self.sums, self._files, newest)
            for link in self._links
        )

    def _is_here(self, position: WALPosition) -> bool:
        """Say whether the WAL is still in the use of a position, with the very frame before it."""
        if position == NO_WAL:
            return False
        try:
            reader = WALReader.at(self._tap.read_wal, position.offset, salts=position.salts, sums=position.sums)
        except (PrevFrameMismatchError, WALError):
            return False
        return reader.header.salts == position.salts

    def _write_difference(self) -> None:
        """Write the pages that differ from the state after the newest file, or all of them."""
        scan = scan_wal(self._tap, self._primary.committed_end)
        image = DatabaseImage(
            self._tap,
            scan.page_map,
            scan.position.salts,
            # Without frames the database file is all there is, and only its header knows which of its pages count.
            commit=self._tap.page_count() if scan.page_map is None else scan.page_map.commit,
            page_size=self._primary.page_size,
        )
        newest = self._newest
        old = None if newest is None else load_sums(self.sums, newest)
        if newest is not None:
            how = "compare all pages" if old is not None else "write all pages, because there are no checksums of them"
            self._logger.info("the WAL does not go on where level-0 file %016x ended: %s", newest.txid, how)
        written = write_level0(
            self._files,
            self._next_txid(),
            pages_that_differ(image, old, scan.last_pgno),
            page_size=image.page_size,
            commit=image.commit,
            span=WALSpan(WAL_HEADER_SIZE, scan.position.offset, scan.position.salts),
            timestamp_ms=to_timestamp_ms(self._clock.now()),
        )
        self._at_end = True
        self._take(written, scan.position)

    def _sync_frames(self) -> bool:
        """Write the frames since the position; say whether there may be more."""
        end = self._primary.committed_end()
        reader = self._continue(end)
        if reader is None or end <= reader.next_offset:
            return False
        start = reader.next_offset
        page_map = reader.page_map(min(self._max_wal_bytes, end - start))
        if page_map.max_offset != end and page_map.max_offset - start < self._max_wal_bytes:
            # Just started over, so that `end` is of the old use, or by a writer that was killed before it was done.
            if reader.salts != self.position.salts:
                return False
            if not has_salts(self._tap, reader.salts):
                self._refuse_start_over()
            msg = f"expected a commit that ends at byte {end} of the WAL, got one at {page_map.max_offset}"
            raise WALError(msg, offset=page_map.max_offset)
        newest = self._newest
        page_size = self._primary.page_size
        pages = pages_of_frames(
            self._tap,
            page_map,
            salts=reader.salts,
            page_size=page_size,
            old_commit=0 if newest is None else newest.header.commit,
            known=self.sums.read_pages if newest and self.sums.tag() == SumsTag.of(newest) else None,
        )
        written = write_level0(
            self._files,
            self._next_txid(),
            pages,
            page_size=page_size,
            commit=page_map.commit,
            span=WALSpan(start, page_map.max_offset, reader.salts),
            timestamp_ms=to_timestamp_ms(self._clock.now()),
        )
        self._at_end = page_map.max_offset == end
        self._take(written, WALPosition(reader.next_offset, reader.salts, reader.sums))
        return page_map.max_offset < end

    def _continue(self, end: int) -> WALReader | None:
        """Return a reader of the frames since the position, or None if there are none up to `end`.

        Raises:
            PrevFrameMismatchError: the WAL is in another use, and the end of the last one was not seen; or it ends
                before the position, a power failure having taken back commits that were synced.

        """
        position = self.position
        try:
            reader = WALReader(self._tap.read_wal)
        except WALError:
            reader = None  # truncated, and nothing written since
        if reader is None or reader.salts != position.salts:
            if not self._at_end:
                self._refuse_start_over()
            return reader
        if end < position.offset and not self._at_end:
            msg = f"expected a commit that ends at byte {position.offset} of the WAL, got the last one at {end}"
            raise PrevFrameMismatchError(msg, offset=position.offset)
        if end == position.offset:
            self._at_end = True
            return None
        reader.go_on_at(position.offset, salts=position.salts, sums=position.sums)
        return reader

    def _refuse_start_over(self) -> NoReturn:
        msg = "the WAL was started over before its end was seen"
        raise PrevFrameMismatchError(msg, offset=self.position.offset)

    def _take(self, written: WrittenFile | None, position: WALPosition) -> None:
        """Take the state after a new file, or the same state at another position, as the newest, and keep it."""
        self._position = position
        if written is not None:
            self._newest = written.file
            self._unrecorded = True
            written.record(self.sums)
        if self._newest is not None:
            self._unrecorded = True
            self._position_file.write(self._newest, position)
        self._unrecorded = False

    def _record_again(self) -> None:
        """Do what failed after the newest file was written."""
        if self._newest is not None:
            if not roll_forward(self.sums, self._files, self._newest):
                self.sums.delete()
            if self._position is not None:
                self._position_file.write(self._newest, self._position)
        self._unrecorded = False

    def _next_txid(self) -> TXID:
        return TXID(1 if self._newest is None else self._newest.txid + 1)
