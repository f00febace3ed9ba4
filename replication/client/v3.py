"""Files of Litestream 0.3, which some replicas still hold beside or instead of LTX files: only read, never written.

    <root>/generations/<16 hex>/snapshots/<index, 8 hex>.snapshot.lz4
    <root>/generations/<16 hex>/wal/<index, 8 hex>_<offset, 8 hex or more>.wal.lz4

A generation is an unbroken history. A snapshot is the database file as it was when the WAL of its index began; the WAL
segments of one index, put together, are that WAL. Each file is one LZ4 frame. Its time is that of the upload.

Source: litestream 0.5.17, v3.go.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from replication.client.base import ReplicaClient
from replication.client.wrapper import WrapperClient

GENERATIONS_DIR = "generations"

_PATH = re.compile(
    r"([0-9a-f]{16})/(?:snapshots/([0-9a-f]{8})\.snapshot\.lz4|wal/([0-9a-f]{8})_([0-9a-f]{8,16})\.wal\.lz4)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class V3File:
    """One file; `path` is relative to the directory of generations, `offset` is None for a snapshot.

    `size` is in bytes, compressed; `offset` is where in its WAL a segment begins.
    """

    path: str
    generation: str
    index: int
    offset: int | None
    size: int
    created_at: datetime


@runtime_checkable
class V3Files(Protocol):
    """What a replica holds of Litestream 0.3."""

    def list(self) -> Iterator[V3File]:
        """Yield the files of all generations, in no particular order.

        Raises:
            UsageError, DeniedError, UnavailableError: as a client's listing.

        """

    def read(self, file: V3File, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, cut short at its end.

        Raises:
            LTXMissingError: the file is not in the replica.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """


@runtime_checkable
class HasV3Files(Protocol):
    """A replica client that can reach files of Litestream 0.3."""

    @property
    def v3_files(self) -> V3Files:
        """The files."""


def v3_files_of(client: ReplicaClient) -> V3Files | None:
    """Return what reaches the files of Litestream 0.3, or None where no client can."""
    while not isinstance(client, HasV3Files):
        if not isinstance(client, WrapperClient):
            return None
        client = client.inner
    return client.v3_files


def parse_v3_path(path: str, size: int, created_at: datetime) -> V3File | None:
    """Return the file that a path below the directory of generations names, or None if it is none.

    >>> from replication.clock import from_timestamp_ms
    >>> parse_v3_path("0123456789abcdef/wal/0000000a_00001038.wal.lz4", 7, from_timestamp_ms(0)).offset
    4152
    """
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    generation, snapshot, index, offset = found.groups()
    return V3File(
        path=path,
        generation=generation,
        index=int(snapshot or index, 16),
        offset=None if snapshot else int(offset, 16),
        size=size,
        created_at=created_at,
    )
