"""One LTX file as a read replica knows it."""

from replication.ltx.file_info import FileInfo
from replication.ltx.header import Header


class LTXFile:
    """A file's listing and header; two of the same name and identity are the same object within a replica.

    Equality and hash are the object's own, so that a file and an offset make a cheap cache key that never means
    something else later.
    """

    __slots__ = ("data", "gone", "header", "info")

    def __init__(self, info: FileInfo, header: Header, data: bytes | None) -> None:
        """Take the listing, the header, and the whole content where it is held."""
        self.info = info
        self.header = header
        self.data = data  # replaced by None when the held files outgrow their budget
        self.gone = False  # set once the replica said that it has no such file

    def __repr__(self) -> str:
        info = self.info
        state = " gone" if self.gone else " held" if self.data is not None else ""
        return f"<LTXFile {info.level}/{info.min_txid:016x}-{info.max_txid:016x}{state}>"
