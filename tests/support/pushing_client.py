"""A replica in memory that tells of its new files, and can be told to be silent."""

from collections.abc import Callable
from typing import BinaryIO

from replication.client.memory import MemoryReplicaClient
from replication.ltx.file_info import FileInfo
from replication.position import TXID


class PushingClient(MemoryReplicaClient):
    """Tells on the thread that writes."""

    def __init__(self) -> None:
        super().__init__()
        self.is_silent = False
        self.watches: list[FakeWatch] = []
        self.watched = 0

    def watch(self, on_change: Callable[[], None]) -> "FakeWatch":
        watch = FakeWatch(self, on_change)
        self.watches.append(watch)
        self.watched += 1
        on_change()
        return watch

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        info = super().write_ltx_file(level, min_txid, max_txid, reader, if_absent=if_absent)
        self.tell()
        return info

    def tell(self) -> None:
        """Say that a file may have come."""
        if not self.is_silent:
            for watch in list(self.watches):
                watch.on_change()


class FakeWatch:
    """One watch under way."""

    def __init__(self, client: PushingClient, on_change: Callable[[], None]) -> None:
        self.on_change = on_change
        self._client = client

    def close(self) -> None:
        self._client.watches.remove(self)
