"""A client around a client: forwards everything, so that a subclass overrides only what it changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

from replication.client.base import ReplicaClient
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID


class WrapperClient(ReplicaClient):
    """A client that asks another one."""

    def __init__(self, inner: ReplicaClient) -> None:
        """Take over the inner client's type and kind of times."""
        self.inner = inner
        # Class variables by contract; a wrapper's are its inner client's.
        vars(self).update(type=inner.type, accurate_list_times=inner.accurate_list_times, is_local=inner.is_local)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.inner!r}>"

    def init(self) -> None:
        """Connect and check the configuration."""
        self.inner.init()

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level from `seek` on."""
        return self.inner.ltx_files(level, seek, use_metadata=use_metadata)

    def ltx_levels(self) -> Mapping[int, Sequence[FileInfo]] | None:
        """Return the files of all levels, where one request can tell."""
        return self.inner.ltx_levels()

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end."""
        return self.inner.read_ltx(info, start, end)

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader of a file."""
        return self.inner.open_ltx_file(level, min_txid, max_txid, offset, size)

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store a file."""
        return self.inner.write_ltx_file(level, min_txid, max_txid, reader, if_absent=if_absent)

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files; those already gone are no error."""
        self.inner.delete_ltx_files(infos)

    def delete_all(self) -> None:
        """Delete every file of the replica."""
        self.inner.delete_all()

    def close(self) -> None:
        """Let go of the inner client's connections."""
        self.inner.close()
