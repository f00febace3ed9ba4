"""The whole database as one LTX file, encoded while it is read.

It has a connection and a read transaction of its own, so neither writers nor checkpoints wait for it: a checkpoint
copies what it can, and the WAL grows until the snapshot is read or closed. In memory is what one piece of
`READ_SIZE` bytes makes, and the page index.
"""

import io
from collections.abc import Generator
from dataclasses import dataclass
from typing import BinaryIO, Self, cast

from replication.errors import DBNotReadyError
from replication.ltx.encoder import Encoder
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.position import TXID
from replication.sync.image import READ_SIZE, DatabaseImage, frames_up_to
from replication.sync.local_files import LocalFile
from replication.sync.syncer import Syncer
from replication.sync.tap import TappedConnection
from replication.sync.wal_position import WALPosition
from replication.wal.frame import WAL_FRAME_HEADER_SIZE
from replication.wal.header import WAL_HEADER_SIZE


@dataclass(frozen=True, slots=True)
class HeldImage:
    """The database after the newest level-0 file, held still by a connection with a read transaction."""

    tap: TappedConnection
    newest: LocalFile
    position: WALPosition  # where in the WAL that file ends
    image: DatabaseImage

    @classmethod
    def of(cls, tap: TappedConnection, syncer: Syncer) -> Self:
        """Return the image; the transaction of `tap` began before the syncer's last sync.

        Raises:
            DBNotReadyError: there is no level-0 file yet.

        """
        newest, position = syncer.newest, syncer.position
        if newest is None:
            msg = f"{tap.path} was not synced yet"
            raise DBNotReadyError(msg)
        image = DatabaseImage(
            tap,
            frames_up_to(tap, position),
            position.salts,
            commit=newest.header.commit,
            page_size=newest.header.page_size,
        )
        return cls(tap, newest, position, image)

    def close(self) -> None:
        """Let go of the database."""
        self.tap.close()

    def header(self, timestamp_ms: int) -> Header:
        """Return the header of a snapshot; of the WAL it names the last frame, as the Go program does."""
        position, page_size = self.position, self.newest.header.page_size
        frame_size = WAL_FRAME_HEADER_SIZE + page_size if position.offset > WAL_HEADER_SIZE else 0
        return Header(
            flags=NO_CHECKSUM_FLAG,
            page_size=page_size,
            commit=self.newest.header.commit,
            min_txid=TXID(1),
            max_txid=self.newest.txid,
            timestamp_ms=timestamp_ms,
            wal_offset=position.offset - frame_size,
            wal_size=frame_size,
            wal_salt1=position.salts.salt1,
            wal_salt2=position.salts.salt2,
        )


def open_snapshot(held: HeldImage, timestamp_ms: int) -> BinaryIO:
    """Return a reader of the snapshot; closing it lets go of the database, and so does reading it to its end."""
    return cast("BinaryIO", io.BufferedReader(_SnapshotReader(held, held.header(timestamp_ms)), READ_SIZE))


class _SnapshotReader(io.RawIOBase):
    """Gives out the bytes of the file piece by piece."""

    def __init__(self, held: HeldImage, header: Header) -> None:
        self._held = held
        self._pieces = _encode(held.image, header)
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                self._held.close()
                return 0
            self._piece = memoryview(piece)
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            self._pieces.close()
            self._held.close()
        super().close()


def _encode(image: DatabaseImage, header: Header) -> Generator[bytes]:
    output = io.BytesIO()
    encoder = Encoder(output, header)
    for first, pages in image.pieces():
        encoder.encode_pages(range(first, first + len(pages) // header.page_size), pages)
        yield output.getvalue()
        output.seek(0)
        output.truncate()
    encoder.close()
    yield output.getvalue()
