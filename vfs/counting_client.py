"""A client that counts what is asked of the one inside."""

from collections.abc import Iterator, Mapping, Sequence

from replication.client.base import ReplicaClient
from replication.client.wrapper import WrapperClient
from replication.ltx.file_info import FileInfo
from replication.position import NO_TXID, TXID
from vfs.stats import Stats


class CountingClient(WrapperClient):
    """Counts listings, reads and bytes read."""

    def __init__(self, inner: ReplicaClient, stats: Stats) -> None:
        """Count into `stats`."""
        super().__init__(inner)
        self._stats = stats

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level from `seek` on."""
        self._stats.count("list_requests")
        return super().ltx_files(level, seek, use_metadata=use_metadata)

    def ltx_levels(self) -> Mapping[int, Sequence[FileInfo]] | None:
        """Return the files of all levels, where one request can tell."""
        found = self.inner.ltx_levels()
        if found is not None:
            self._stats.count("list_requests")
        return found

    def read_named(self, level: int, min_txid: TXID, max_txid: TXID, limit: int) -> tuple[FileInfo, bytes]:
        """Return the first bytes of a file that was not listed, and what a listing would say of it."""
        self._stats.count("get_requests")
        info, data = self.inner.read_named(level, min_txid, max_txid, limit)
        self._stats.count("bytes_read", len(data))
        return info, data

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end."""
        self._stats.count("get_requests")
        data = super().read_ltx(info, start, end)
        self._stats.count("bytes_read", len(data))
        return data
