"""Replicas to restore, made in milliseconds, and what must come out of them."""

import hashlib
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from replication.client.base import ReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.ltx.checksum import CHECKSUM_FLAG, page_checksum
from replication.ltx.file_info import FileInfo
from replication.ltx.header import Header
from replication.position import TXID, lock_pgno
from replication.restore.options import RestoreOptions, RestoreResult
from replication.restore.restore import restore
from tests.support.ltx_files import make_file, make_header


def options(**given: object) -> RestoreOptions:
    """The defaults of these tests, whose pages are no SQLite database."""
    defaults: dict[str, object] = {
        "txid": None,
        "timestamp": None,
        "parallelism": 4,
        "integrity_check": "none",
        "overwrite": False,
        "progress": None,
    }
    return RestoreOptions(**{**defaults, **given})  # type: ignore[arg-type]


def restore_to(client: ReplicaClient, output: Path, **given: object) -> RestoreResult:
    return restore(client, output, options(**given))


def left_in(directory: Path) -> list[str]:
    """The names of all there is in a directory."""
    return sorted(path.name for path in directory.iterdir())


@dataclass(slots=True)
class PageReplica:
    """A replica of pages of noise, and the image that its last file makes; grows by `add`."""

    page_size: int = 512
    client: ReplicaClient = field(default_factory=MemoryReplicaClient)
    pages: dict[int, bytes] = field(default_factory=dict)
    commit: int = 0
    txid: int = 0
    images: dict[int, bytes] = field(default_factory=dict)  # by TXID
    infos: list[FileInfo] = field(default_factory=list)

    def add(self, pgnos: Sequence[int], *, commit: int, level: int = 0, seed: int | None = None) -> FileInfo:
        """Add a transaction that changes these pages."""
        self.txid += 1
        pages = {pgno: self.noise(pgno, self.txid if seed is None else seed) for pgno in pgnos}
        return self.put(make_header(self.txid, commit=commit, page_size=self.page_size), pages, level=level)

    def put(self, header: Header, pages: Mapping[int, bytes], *, level: int = 0) -> FileInfo:
        """Store a file; it changes the image if it leads beyond what is there."""
        checksum = 0
        if header.tracks_checksums:
            for pgno, data in pages.items():
                checksum ^= page_checksum(pgno, data)
            checksum |= CHECKSUM_FLAG
        data = make_file(header, pages, checksum)
        info = self.client.write_ltx_file(level, header.min_txid, header.max_txid, io.BytesIO(data))
        self.infos.append(info)
        if header.max_txid not in self.images:
            self.txid = header.max_txid
            self.pages.update(pages)
            self.commit = header.commit
            self.images[self.txid] = self.image()
        return info

    def merge(self, first: int, last: int, *, level: int) -> FileInfo:
        """Add a file of a higher level that holds all pages as they are now, under these TXIDs."""
        header = make_header(first, last, commit=self.commit, page_size=self.page_size)
        return self.put(header, {pgno: self.pages[pgno] for pgno in sorted(self.pages)}, level=level)

    def image(self) -> bytes:
        """The database as it is now."""
        self.pages = {pgno: data for pgno, data in self.pages.items() if pgno <= self.commit}
        return b"".join(self.pages.get(pgno, bytes(self.page_size)) for pgno in range(1, self.commit + 1))

    def noise(self, pgno: int, seed: int) -> bytes:
        """A page: half of it does not compress; every seventh is all zeros, every fifth does not compress at all."""
        chance = random.Random(f"{pgno} {seed}")  # noqa: S311 - contents, not a secret
        if pgno % 7 == 0:
            return bytes(self.page_size)
        size = self.page_size if pgno % 5 == 0 else self.page_size // 2
        return chance.randbytes(size).ljust(self.page_size, b"x")


def make_pages(page_size: int = 512, client: ReplicaClient | None = None, *, pages: int = 300) -> PageReplica:
    """A snapshot and nine files on it that grow, shrink and overwrite, partly at other levels."""
    replica = PageReplica(page_size, client or MemoryReplicaClient())
    everything = range(1, pages + 1)
    replica.add(everything, commit=pages)
    chance = random.Random(page_size)  # noqa: S311
    for number in range(9):
        if number == 4:
            replica.add([1], commit=pages - 50)
        elif number == 5:
            replica.add([1, *range(pages - 49, pages + 11)], commit=pages + 10)
        else:
            some = sorted(chance.sample(range(2, pages - 50), chance.randint(1, 20)))
            replica.add([1, *some], commit=replica.commit, level=number % 3)
    return replica


def lock_page(page_size: int) -> int:
    return lock_pgno(page_size)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def info_of(replica: PageReplica, txid: int) -> FileInfo:
    return next(info for info in replica.infos if info.max_txid == TXID(txid))
