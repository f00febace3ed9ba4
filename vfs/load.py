"""From listed files to page indexes: everything asked for at once, a second time only where a page index is large."""

from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from replication.client.fetch import DEFAULT_ESTIMATED_PAGE_INDEX_SIZE, naming_file, unpack_header
from replication.errors import CorruptError, LTXError, LTXMissingError
from replication.ltx.decoder import decode_file
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE, Header
from replication.ltx.index import PageIndex
from replication.ltx.tail import MIN_TAIL_SIZE, decode_tail, tail_size
from vfs.fetch import Fetcher
from vfs.ltx_file import MAX_FILE_SIZE, LTXFile
from vfs.snapshot_index import SnapshotIndex
from vfs.waiter import Waiter

WHOLE_SIZE = 64 * 1024
"""Files up to this size, in bytes, are fetched whole."""

NEW_WHOLE_SIZE = 256 * 1024
"""The same for files that are new to a replica that is followed: what just changed is what is read again."""

LEVEL_0_WHOLE_SIZE = 2**20
"""The same for level 0, whose files are the first to be deleted: what was fetched before cannot be missed later."""

FIRST_FILE_FACTOR = 4
"""So much larger may a first file at level 0 be: it holds the whole database, and goes once there is a level 1."""

LARGE_INDEX_SIZE = 256 * 1024
"""Of a snapshot whose page index is larger, in bytes, only the parts that are needed are fetched."""

HEAD_SIZE = 16 * 1024
"""How much is fetched of the start of a large file: the header, and in a snapshot the schema's first pages."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedFile:
    """A file, its page index, and its first bytes."""

    file: LTXFile
    index: PageIndex | SnapshotIndex
    head: bytes

    @property
    def is_complete(self) -> bool:
        """Whether the file holds every page of the database."""
        header = self.file.header
        return self.index.is_complete(header.commit, header.page_size)


def load_files(
    infos: Iterable[FileInfo], fetcher: Fetcher, waiter: Waiter, *, are_new: bool = False
) -> list[LoadedFile]:
    """Return the files with their page indexes, in the same order; what is fetched whole is verified whole.

    `are_new` says that they go on from what is known, so that more of them are worth fetching whole.

    Raises:
        LTXMissingError: a file is no longer in the replica.
        LTXError, ChecksumMismatchError: a file is broken.
        DeniedError, UnavailableError, InterruptedReadError: as the waiter and the client say.

    """
    asked = [_ask(info, fetcher, NEW_WHOLE_SIZE if are_new else WHOLE_SIZE) for info in infos]
    tails = [_second_part(parts, fetcher, waiter) for parts in asked]
    return [_finish(parts, tail, waiter) for parts, tail in zip(asked, tails, strict=True)]


def loaded_whole(info: FileInfo, data: bytes) -> LoadedFile:
    """Return a file of which all bytes are here, verified.

    Raises:
        LTXError, ChecksumMismatchError: it is broken.

    """
    header = unpack_header(info, data[:HEADER_SIZE])
    with naming_file(info):
        return LoadedFile(LTXFile(info, header, data), decode_file(data).index, data)


def load_existing(infos: Iterable[FileInfo], fetcher: Fetcher, waiter: Waiter) -> list[LoadedFile]:
    """Return what `load_files` would, without the files that are broken or no longer in the replica.

    Raises:
        DeniedError, UnavailableError, InterruptedReadError: as `load_files`.

    """
    found = []
    for parts in [_ask(info, fetcher, WHOLE_SIZE) for info in infos]:
        with suppress(LTXMissingError, CorruptError):
            found.append(_finish(parts, _second_part(parts, fetcher, waiter), waiter))
    return found


def load_headers(infos: Iterable[FileInfo], fetcher: Fetcher, waiter: Waiter) -> list[Header]:
    """Return the headers of files, in the same order, all asked for at once.

    Raises:
        LTXMissingError, LTXError, DeniedError, UnavailableError, InterruptedReadError: as `load_files`.

    """
    asked = [(info, fetcher.read(info, 0, HEADER_SIZE)) for info in infos]
    return [unpack_header(info, waiter.result(future)) for info, future in asked]


@dataclass(frozen=True, slots=True)
class _Parts:
    info: FileInfo
    head: Future[bytes]  # the whole file if there is no tail
    tail: Future[bytes] | None


def _ask(info: FileInfo, fetcher: Fetcher, whole_size: int) -> _Parts:
    if info.level == 0:
        whole_size = LEVEL_0_WHOLE_SIZE * (FIRST_FILE_FACTOR if info.min_txid == 1 else 1)
    if info.size <= whole_size:
        return _Parts(info, fetcher.read(info), None)
    start = info.size - DEFAULT_ESTIMATED_PAGE_INDEX_SIZE
    return _Parts(info, fetcher.read(info, 0, HEAD_SIZE), fetcher.read(info, start, info.size))


def _second_part(parts: _Parts, fetcher: Fetcher, waiter: Waiter) -> Future[bytes] | None:
    """Ask for the whole tail where the first guess at its size fell short."""
    if parts.tail is None:
        return None
    info = parts.info
    tail = waiter.result(parts.tail)
    with naming_file(info):
        size = tail_size(tail[-MIN_TAIL_SIZE:], info.size)
    if size > LARGE_INDEX_SIZE and info.min_txid == 1:
        return parts.tail
    return parts.tail if size <= len(tail) else fetcher.read(info, info.size - size, info.size)


def _finish(parts: _Parts, tail: Future[bytes] | None, waiter: Waiter) -> LoadedFile:
    info, head = parts.info, waiter.result(parts.head)
    header = unpack_header(info, head[:HEADER_SIZE])
    with naming_file(info):
        if info.size > MAX_FILE_SIZE:
            msg = f"expected a file of {MAX_FILE_SIZE} bytes at most, got {info.size}"
            raise LTXError(msg)
        if tail is None:
            return loaded_whole(info, head)
        last = waiter.result(tail)
        size = tail_size(last[-MIN_TAIL_SIZE:], info.size)
        if size > len(last):
            return LoadedFile(LTXFile(info, header, None), _snapshot_index(info, header, head, last, size), head)
        return LoadedFile(LTXFile(info, header, None), decode_tail(last, info.size, header.commit), head)


def _snapshot_index(info: FileInfo, header: Header, head: bytes, last: bytes, size: int) -> SnapshotIndex:
    """Return what the first and the last bytes of a snapshot tell of its page index, whose tail has so many bytes."""
    index = SnapshotIndex(header, info.size - size, size - MIN_TAIL_SIZE)
    index.add_head(head)
    index.add(info.size - len(last), last[: -MIN_TAIL_SIZE - 1])
    return index
