"""One LTX file as a read replica knows it."""

from itertools import count

from replication.ltx.file_info import FileInfo
from replication.ltx.header import Header

OFFSET_BITS = 44
MAX_FILE_SIZE = 1 << OFFSET_BITS - 1
"""Bytes, 8 TiB: between the pages of two files is more room than any two pages are fetched across."""

_numbers = count(1)


class LTXFile:
    """A file's listing and header; two of the same name and identity are the same object within a replica.

    `number` is the object's own in this process, so that it and an offset make a cheap cache key, a single integer,
    that never means something else later.
    """

    __slots__ = ("base", "data", "gone", "header", "info", "number")

    def __init__(self, info: FileInfo, header: Header, data: bytes | None) -> None:
        """Take the listing, the header, and the whole content where it is held."""
        self.info = info
        self.header = header
        self.data = data  # replaced by None when the held files outgrow their budget
        self.gone = False  # set once the replica said that it has no such file
        self.number = next(_numbers)
        self.base = self.number << OFFSET_BITS  # the key of its first byte

    def __repr__(self) -> str:
        info = self.info
        state = " gone" if self.gone else " held" if self.data is not None else ""
        return f"<LTXFile {info.level}/{info.min_txid:016x}-{info.max_txid:016x}{state}>"
