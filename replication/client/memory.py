"""Replicas in this process's memory, for tests and examples; they last as long as the client."""

import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO, ClassVar

from replication.client.base import ReplicaClient
from replication.client.reader import Chunk, open_range_reader, read_upload_head
from replication.clock import from_timestamp_ms
from replication.errors import LTXExistsError, LTXMissingError
from replication.levels import check_level
from replication.ltx.file_info import FileInfo
from replication.ltx.name import format_ltx_name
from replication.position import NO_TXID, TXID, format_txid


class MemoryReplicaClient(ReplicaClient):
    """A replica in memory; each client is a replica of its own."""

    type: ClassVar[str] = "memory"
    accurate_list_times: ClassVar[bool] = True

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = threading.Lock()
        self._files: dict[tuple[int, TXID, TXID], tuple[FileInfo, bytes]] = {}  # guarded by _lock
        self._written = 0  # guarded by _lock; numbers the identities

    def __repr__(self) -> str:
        with self._lock:
            size = sum(len(data) for _, data in self._files.values())
            return f"<MemoryReplicaClient files={len(self._files)} bytes={size}>"

    def init(self) -> None:
        """Do nothing: memory is always there."""

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level from `seek` on; their times are always the headers'."""
        del use_metadata  # the times are the headers'
        check_level(level)
        with self._lock:
            infos = [info for info, _ in self._files.values() if info.level == level and info.min_txid >= seek]
        return iter(sorted(infos, key=lambda info: (info.min_txid, info.max_txid)))

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end."""
        return self._find(info.level, info.min_txid, info.max_txid, info.identity)[1][start:end]

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader; it meets a deletion at its next chunk, as a network's would."""

        def read_chunk(identity: str, start: int, end: int) -> Chunk:
            info, data = self._find(level, min_txid, max_txid, identity)
            return Chunk(data[start:end], info.identity)

        return open_range_reader(read_chunk, offset=offset, size=size)

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store a file."""
        check_level(level)
        head = read_upload_head(reader)
        data = head.data + reader.read()
        with self._lock:
            self._written += 1
            info = FileInfo(
                level=level,
                min_txid=min_txid,
                max_txid=max_txid,
                size=len(data),
                created_at=from_timestamp_ms(head.timestamp_ms),
                identity=f"memory-{self._written}",
            )
            if if_absent and (level, min_txid, max_txid) in self._files:
                msg = f"{format_ltx_name(min_txid, max_txid)} of level {level} is there already"
                raise LTXExistsError(msg)
            self._files[level, min_txid, max_txid] = info, data
        return info

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files; those already gone are no error."""
        keys = [(info.level, info.min_txid, info.max_txid) for info in infos]
        with self._lock:
            for key in keys:
                self._files.pop(key, None)

    def delete_all(self) -> None:
        """Delete every file."""
        with self._lock:
            self._files.clear()

    def _find(self, level: int, min_txid: TXID, max_txid: TXID, identity: str) -> tuple[FileInfo, bytes]:
        check_level(level)
        with self._lock:
            found = self._files.get((level, min_txid, max_txid))
        name = f"{format_txid(min_txid)}-{format_txid(max_txid)} of level {level}"
        if found is None:
            msg = f"{name} is not in the replica"
            raise LTXMissingError(msg)
        if identity and identity != found[0].identity:
            msg = f"{name} was replaced by another file since it was listed"
            raise LTXMissingError(msg)
        return found
