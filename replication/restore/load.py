"""From the files of a plan to their headers and page indexes, all asked for in parallel; small files are held whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from replication.client.base import ReplicaClient
from replication.client.fetch import DEFAULT_ESTIMATED_PAGE_INDEX_SIZE, naming_file, unpack_header
from replication.errors import LTXError
from replication.ltx.checksum import crc64_iso
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE
from replication.ltx.page import END_OF_PAGES
from replication.ltx.tail import MIN_TAIL_SIZE, decode_tail, tail_size
from replication.ltx.trailer import CHECKED_SIZE, TRAILER_SIZE, Trailer
from replication.restore.assembly import IndexedFile
from replication.restore.read import read_exactly
from replication.restore.workers import Workers

WHOLE_SIZE = 256 * 1024
"""Files up to this size, in bytes, are read at once: level-0 files are small, and the first to be deleted."""

HELD_SIZE = 32 * 2**20
"""How many bytes of such files are held at most; the others are read a second time."""

_MIN_FILE_SIZE = HEADER_SIZE + len(END_OF_PAGES) + 1 + MIN_TAIL_SIZE


@dataclass(frozen=True, slots=True)
class LoadedFile(IndexedFile):
    """A file of the plan with what its checksum needs beside the page frames."""

    header_crc: int
    tail_crc: int  # over what the file checksum covers behind the page frames
    tail_checked_size: int  # bytes
    trailer: Trailer
    held: bytes | None = field(repr=False)  # the whole file
    bytes_read: int  # so far


def load_plan(client: ReplicaClient, plan: Sequence[FileInfo], threads: int) -> list[LoadedFile]:
    """Return the files of a plan, in its order.

    Raises:
        LTXError: a header, a page index or a trailer is broken.
        LTXMissingError, DeniedError, UnavailableError: as the client says.

    """
    room = HELD_SIZE
    asked = []
    for number, info in enumerate(plan):
        is_held = info.size <= min(WHOLE_SIZE, room)
        room -= info.size if is_held else 0
        asked.append((number, info, is_held))

    def load(item: tuple[int, FileInfo, bool]) -> tuple[int, LoadedFile]:
        number, info, is_held = item
        with naming_file(info):
            return number, _load(client, info, is_held=is_held)

    loaded = dict(Workers(load, asked, threads=min(threads, len(asked))))
    return [loaded[number] for number in range(len(plan))]


def _load(client: ReplicaClient, info: FileInfo, *, is_held: bool) -> LoadedFile:
    if info.size < _MIN_FILE_SIZE:
        msg = f"expected a file of at least {_MIN_FILE_SIZE} bytes, got {info.size}"
        raise LTXError(msg, offset=info.size)
    if is_held:
        held = read_exactly(client, info, 0, info.size)
        return _check(info, held[:HEADER_SIZE], held, held)
    head = read_exactly(client, info, 0, HEADER_SIZE)
    start = max(info.size - DEFAULT_ESTIMATED_PAGE_INDEX_SIZE, 0)
    tail = read_exactly(client, info, start, info.size)
    # The bytes that end the page frames lie before the tail, and are checked with it.
    size = tail_size(tail, info.size) + len(END_OF_PAGES)
    if size > len(tail):
        tail = read_exactly(client, info, info.size - size, start) + tail
    return _check(info, head, tail, None)


def _check(info: FileInfo, head: bytes, tail: bytes, held: bytes | None) -> LoadedFile:
    """Check all but the page frames; `tail` is the tail, or more of the last bytes of the file."""
    header = unpack_header(info, head)
    index = decode_tail(tail, info.size, header.commit)
    if header.lock_pgno in index:
        msg = f"expected every page but the lock page, got page {header.lock_pgno}"
        raise LTXError(msg, offset=index.end)
    if header.is_snapshot and not index.is_complete(header.commit, header.page_size):
        msg = f"expected a snapshot of {header.commit} pages, got a page index of {len(index)}"
        raise LTXError(msg, offset=index.end)
    trailer = Trailer.unpack(tail[-TRAILER_SIZE:])
    trailer.validate(header)
    start, end = len(tail) - (info.size - index.end), len(tail) - TRAILER_SIZE + CHECKED_SIZE
    if tail[start : start + len(END_OF_PAGES)] != END_OF_PAGES:
        msg = f"expected {len(END_OF_PAGES)} zero bytes after the page frames"
        raise LTXError(msg, offset=index.end)
    return LoadedFile(
        info=info,
        header=header,
        index=index,
        header_crc=crc64_iso(head),
        tail_crc=crc64_iso(tail[start:end]),
        tail_checked_size=end - start,
        trailer=trailer,
        held=held,
        bytes_read=len(tail) if held is not None else len(head) + len(tail),
    )
