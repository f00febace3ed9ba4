"""Restoring from files of Litestream 0.3: SQLite itself applies each WAL to the snapshot.

The WAL is put together beside the database file, and a checkpoint moves it in. SQLite silently ends a WAL at the first
frame that does not fit; so the frames it took are counted, and fewer than there are is an error.

Source: litestream 0.5.17, replica.go, "RestoreV3"; sqlite.org/wal.html.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import apsw
import lz4.frame  # type: ignore[import-untyped]

from replication.client.retry import RetryPolicy
from replication.client.v3 import V3File, V3Files
from replication.errors import CorruptError, LTXError, UnavailableError, WALError
from replication.ltx.header import is_page_size
from replication.restore.progress import ThrottledProgress
from replication.restore.target import OutputFile, writing
from replication.restore.v3_plan import V3Plan, missing_segment
from replication.restore.workers import WorkerExecutor

CHUNK_SIZE = 4 * 2**20
"""Bytes read, or decompressed, at a time."""

_WAL_HEADER_SIZE = 32
_WAL_FRAME_HEADER_SIZE = 24
_MAGIC = b"SQLite format 3\0"


@dataclass(slots=True)
class V3Restorer:
    """Writes the database of one plan into an output."""

    files: V3Files
    output: OutputFile
    parallelism: int
    progress: ThrottledProgress
    bytes_read: int = 0

    def run(self, plan: V3Plan) -> int:
        """Write the database, and return its page size.

        Raises:
            LTXMissingError: a file is gone, or a WAL segment is missing.
            CorruptError: a file is broken.
            DeniedError, UnavailableError: the storage or the operating system refused, or did not answer.

        """
        self.progress.begin(sum(file.size for file in plan.files), 0)
        page_size = self._write_snapshot(plan.snapshot)
        path = self.output.path
        try:
            for wal in plan.wals:
                size = self._write_wal(wal, path.with_name(path.name + "-wal"))
                with writing(path):
                    _apply_wal(path, wal[0], (size - _WAL_HEADER_SIZE) // (page_size + _WAL_FRAME_HEADER_SIZE))
        finally:
            for suffix in ("-wal", "-shm"):
                with suppress(OSError):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
        self.progress.end()
        return page_size

    def _write_snapshot(self, snapshot: V3File) -> int:
        size, head = 0, b""
        for data in _decompressed(snapshot, self._chunks(snapshot)):
            head = head or data[:18]
            self.output.write(data, size)
            size += len(data)
        page_size = int.from_bytes(head[16:18], "big")
        page_size = 65_536 if page_size == 1 else page_size
        if not head.startswith(_MAGIC) or not is_page_size(page_size) or size % page_size:
            msg = f"expected an SQLite database in {snapshot.path}, got {size} bytes that begin with {head[:16]!r}"
            raise CorruptError(msg)
        return page_size

    def _write_wal(self, segments: tuple[V3File, ...], path: Path) -> int:
        """Put the segments of a WAL together, and return its size."""
        size = 0
        with writing(path), path.open("wb") as wal:
            for segment, chunks in self._ahead(segments):
                if segment.offset != size:
                    raise missing_segment(segment.generation, segment.index, size, segment)
                for data in _decompressed(segment, chunks):
                    wal.write(data)
                    size += len(data)
        return size

    def _ahead(self, segments: tuple[V3File, ...]) -> Iterator[tuple[V3File, Iterator[bytes]]]:
        """Yield each segment with its chunks; those of one chunk are read side by side."""
        executor = WorkerExecutor(self.parallelism)
        for first in range(0, len(segments), self.parallelism):
            group = segments[first : first + self.parallelism]
            small = [segment for segment in group if segment.size <= CHUNK_SIZE]
            whole = dict(zip(small, executor.map(self._read, small), strict=True)) if small else {}
            for segment in group:
                if segment in whole:
                    self._count(len(whole[segment]))
                    yield segment, iter([whole.pop(segment)])
                else:
                    yield segment, self._chunks(segment)

    def _chunks(self, file: V3File) -> Iterator[bytes]:
        for start in range(0, file.size, CHUNK_SIZE):
            data = self._read(file, start)
            self._count(len(data))
            yield data

    def _read(self, file: V3File, start: int = 0) -> bytes:
        end = min(start + CHUNK_SIZE, file.size)

        def read() -> bytes:
            data = self.files.read(file, start, end)
            if len(data) != end - start:
                msg = f"expected bytes {start} to {end} of {file.path}, got {len(data)} of them"
                raise UnavailableError(msg)
            return data

        return RetryPolicy().call(read)

    def _count(self, size: int) -> None:
        self.bytes_read += size
        self.progress.add(size)


def _decompressed(file: V3File, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what the LZ4 frame of a file holds, in pieces of bounded size."""
    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        for chunk in chunks:
            if decompressor.eof:
                break
            yield decompressor.decompress(chunk, max_length=CHUNK_SIZE)
            while not decompressor.needs_input and not decompressor.eof:
                yield decompressor.decompress(b"", max_length=CHUNK_SIZE)
    except RuntimeError as error:
        msg = f"cannot decompress {file.path}: {error}"
        raise LTXError(msg) from error
    if not decompressor.eof:
        msg = f"expected a whole LZ4 frame in {file.path}, got a part of one"
        raise LTXError(msg)


def _apply_wal(path: Path, first: V3File, frames: int) -> None:
    """Let SQLite move the WAL that lies beside a database into it."""
    try:
        with closing(apsw.Connection(str(path))) as connection:
            # Without a -shm file, and without syncing: the output is synced when it is done.
            connection.pragma("locking_mode", "EXCLUSIVE")
            connection.pragma("synchronous", "OFF")
            connection.pragma("user_version")  # reads the WAL
            found, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.FullError as error:
        msg = f"cannot write {path}: no space left on the device"
        raise UnavailableError(msg) from error
    except apsw.Error as error:
        msg = f"cannot apply the WAL {first.index:08x} of generation {first.generation}: {error}"
        raise WALError(msg) from error
    if not found == moved == frames:
        msg = f"expected {frames} frames in the WAL {first.index:08x} of generation {first.generation}, got {found}"
        raise WALError(msg)
