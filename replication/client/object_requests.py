"""The requests of a replica in a bucket as functions of an obstore store, and the source of an upload."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from replication.client.reader import Chunk, read_fully
from replication.errors import UnavailableError

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ObjectStore

_PAGE = 1000  # keys of a LIST
_COPY_SIZE = 2**20  # bytes


def list_all(store: "ObjectStore", prefix: str, offset: str | None) -> "list[ObjectMeta]":
    """Return the objects under a prefix, those after `offset` only."""
    import obstore  # noqa: PLC0415 - native, loaded at first use

    return list(obstore.list(store, prefix, offset=offset, chunk_size=_PAGE).collect())


def list_page(store: "ObjectStore", prefix: str) -> "list[ObjectMeta] | None":
    """Return the objects under a prefix in one request, or None if they are more than that tells."""
    import obstore  # noqa: PLC0415 - native, loaded at first use

    page = list(next(obstore.list(store, prefix, chunk_size=_PAGE), []))
    return page if len(page) < _PAGE else None


def is_listed(store: "ObjectStore", key: str) -> bool:
    """Say whether a listing, of one request, has a key."""
    import obstore  # noqa: PLC0415 - native, loaded at first use

    page = next(obstore.list(store, os.path.dirname(key), offset=key[:-1], chunk_size=_PAGE), [])  # noqa: PTH120
    return any(meta["path"] == key for meta in page)


def get_range(store: "ObjectStore", key: str, identity: str, start: int, end: int) -> Chunk:
    """Return bytes of an object, and its ETag; only if it has that ETag, when one is given."""
    import obstore  # noqa: PLC0415 - native, loaded at first use

    options: GetOptions = {"range": (start, end)}
    if identity:
        options["if_match"] = identity
    result = obstore.get(store, key, options=options)
    data = bytes(result.bytes())
    first, last = result.range
    if len(data) != last - first:
        msg = f"GET {key}: expected {last - first} bytes from {first} on, got {len(data)}"
        raise UnavailableError(msg)
    return Chunk(data, identity_of(result.meta["e_tag"]))


def identity_of(e_tag: str | None) -> str:
    """Return an ETag as identity: Azure quotes it everywhere but in listings.

    >>> identity_of('0x8D'), identity_of('"0x8D"'), identity_of(None)
    ('"0x8D"', '"0x8D"', '')
    """
    return f'"{e_tag}"' if e_tag and '"' not in e_tag else e_tag or ""


def head_metadata(store: "ObjectStore", key: str, name: str) -> str:
    """Return what an object's metadata has under a name, empty if nothing."""
    import obstore  # noqa: PLC0415 - native, loaded at first use

    attributes = obstore.get(store, key, options={"head": True}).attributes
    return attributes.get(name, "")


class Upload:
    """What is uploaded: the bytes read already, and the rest of the reader.

    It may be iterated again, when the first attempt failed, if the reader can go back.
    """

    def __init__(self, head: bytes, reader: BinaryIO, part_size: int) -> None:
        """Read up to one part, to know whether there is more than that."""
        self.start = head + read_fully(reader, part_size - len(head))
        self.is_small = len(self.start) < part_size
        self.size = len(self.start)
        self._reader = reader
        self._rest = reader.tell() if not self.is_small and reader.seekable() else None
        self._is_fresh = True

    def __iter__(self) -> Iterator[bytes]:
        """Yield the whole content; `size` is right when it has ended."""
        if not self._is_fresh:
            if self._rest is None:
                msg = "an upload failed, and its source cannot be read again"
                raise UnavailableError(msg)
            self._reader.seek(self._rest)
        self._is_fresh = False
        self.size = len(self.start)
        yield self.start
        while data := self._reader.read(_COPY_SIZE):
            self.size += len(data)
            yield data
