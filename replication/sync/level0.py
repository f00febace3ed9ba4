"""Writing one level-0 file."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np

from replication.ltx.encoder import Encoder
from replication.ltx.header import NO_CHECKSUM_FLAG, Header
from replication.position import TXID
from replication.sync.changes import ChangedPages
from replication.sync.local_files import LocalFile, LocalFiles
from replication.sync.page_sums import Checksums, PageSums, SumsTag
from replication.wal.header import Salts


@dataclass(frozen=True, slots=True)
class WALSpan:
    """Bytes `start` to `end` (exclusive) of a WAL: the frames that a level-0 file was made from."""

    start: int
    end: int
    salts: Salts


@dataclass(frozen=True, slots=True, eq=False)
class WrittenFile:
    """A level-0 file that lasts, and the checksums of its pages."""

    file: LocalFile
    pgnos: np.typing.NDArray[np.uint32]
    checksums: Checksums

    def record(self, sums: PageSums) -> None:
        """Bring the sums to the state after this file."""
        sums.write(SumsTag.of(self.file), self.pgnos, self.checksums)


def write_level0(
    files: LocalFiles,
    txid: TXID,
    pages: Iterable[ChangedPages],
    *,
    page_size: int,
    commit: int,
    span: WALSpan,
    timestamp_ms: int,
) -> WrittenFile | None:
    """Write the file of a TXID, synced to disk when this returns; nothing, and None, if there are no pages.

    Raises:
        UnavailableError: no space, and the like; nothing is left of it.

    """
    header = Header(
        flags=NO_CHECKSUM_FLAG,
        page_size=page_size,
        commit=commit,
        min_txid=txid,
        max_txid=txid,
        timestamp_ms=timestamp_ms,
        wal_offset=span.start,
        wal_size=span.end - span.start,
        wal_salt1=span.salts.salt1,
        wal_salt2=span.salts.salt2,
    )
    rest = iter(pages)
    first = next(rest, None)
    if first is None:
        return None
    pgnos, checksums = [], []
    with files.create(txid) as output:
        encoder = Encoder(output, header)
        for some in chain([first], rest):
            encoder.encode_pages(some.pgnos.tolist(), some.data)
            pgnos.append(some.pgnos)
            checksums.append(some.checksums)
        trailer = encoder.close()
    return WrittenFile(LocalFile(header, trailer.file_checksum), np.concatenate(pgnos), np.concatenate(checksums))
