"""Files that pass for LTX as far as a replica client looks: a header, and bytes that tell their place."""

import io
from collections.abc import Callable

from replication.client.base import ReplicaClient
from replication.ltx.file_info import FileInfo
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.position import TXID

TIMESTAMP_MS = 1_795_336_263_442  # 2026-11-22T08:31:03.442Z


def ltx_bytes(min_txid: int, max_txid: int, *, size: int = 1000, timestamp_ms: int = TIMESTAMP_MS) -> bytes:
    header = Header(
        flags=NO_CHECKSUM_FLAG,
        page_size=4096,
        commit=1,
        min_txid=TXID(min_txid),
        max_txid=TXID(max_txid),
        timestamp_ms=timestamp_ms,
    ).pack()
    count = (size - len(header)) // 8 + 1
    filler = b"".join(number.to_bytes(8, "big") for number in range(count)) if size < 10**6 else bytes(count * 8)
    return (header + filler)[:size]


def write(
    client: ReplicaClient, level: int, min_txid: int, max_txid: int | None = None, data: bytes | None = None
) -> FileInfo:
    max_txid = min_txid if max_txid is None else max_txid
    reader = io.BytesIO(ltx_bytes(min_txid, max_txid) if data is None else data)
    return client.write_ltx_file(level, TXID(min_txid), TXID(max_txid), reader)


def names(client: ReplicaClient, level: int, seek: int = 0) -> list[tuple[int, int]]:
    return [(info.min_txid, info.max_txid) for info in client.ltx_files(level, TXID(seek))]


class WatchedReader(io.BytesIO):
    """Tells its position at each read that gives bytes; cannot seek, as a pipe cannot."""

    def __init__(self, data: bytes, on_read: Callable[[int], object]) -> None:
        super().__init__(data)
        self._on_read = on_read

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if data:
            self._on_read(self.tell())
        return data
