"""Bringing the sums to the state after the newest level-0 file, from the files after their tag."""

from array import array
from pathlib import Path
from typing import BinaryIO

import numpy as np

from replication.errors import CorruptError
from replication.ltx.checksum import page_checksum
from replication.ltx.decoder import Decoder
from replication.sync.level0 import WrittenFile
from replication.sync.local_files import LocalFile, LocalFiles, local_errors
from replication.sync.page_sums import Checksums, PageSums, SumsTag


def roll_forward(sums: PageSums, files: LocalFiles, newest: LocalFile) -> bool:
    """Bring the sums to the newest file, or say that this cannot be done.

    It cannot where the file that the sums are tagged with, or one after it, is not there or is another.
    """
    tag = sums.tag()
    if tag is None or tag.txid > newest.txid:
        return False
    try:
        tagged = newest if tag.txid == newest.txid else files.read(tag.txid)
        if tagged is None or SumsTag.of(tagged) != tag:
            return False
        for txid in range(tag.txid + 1, newest.txid + 1):
            if not _apply(sums, files, txid, page_size=tag.page_size):
                return False
    except CorruptError:
        return False
    return True


def load_sums(sums: PageSums, newest: LocalFile) -> Checksums | None:
    """Return the checksums of all pages as of the newest file, or None if the sums are of another state."""
    return sums.read(newest.header.commit) if sums.tag() == SumsTag.of(newest) else None


def checksums_of_file(reader: BinaryIO) -> WrittenFile:
    """Read a whole LTX file, and return the checksums of its pages.

    Raises:
        CorruptError: it is broken.

    """
    decoder = Decoder(reader)
    pgnos, checksums = array("I"), array("Q")
    for page in decoder:
        pgnos.append(page.pgno)
        checksums.append(page_checksum(page.pgno, page.data))
    file = LocalFile(decoder.header, decoder.trailer.file_checksum)
    return WrittenFile(file, np.array(pgnos, dtype=np.uint32), np.array(checksums, dtype=np.uint64))


def _apply(sums: PageSums, files: LocalFiles, txid: int, *, page_size: int) -> bool:
    path: Path = files.path(txid)
    with local_errors(path):
        try:
            with path.open("rb") as reader:
                written = checksums_of_file(reader)
        except FileNotFoundError:
            return False
    if written.file.header.page_size != page_size:
        return False
    written.record(sums)
    return True
