"""Reading parts of LTX files through a replica client: the header, the page index, one page.

Every LTXError from here says which file it was.

Source: litestream 0.5.17, replica_client.go.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from replication.client.base import ReplicaClient
from replication.errors import CorruptError, LTXError
from replication.levels import check_level
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE, Header
from replication.ltx.index import FrameSpan, PageIndex
from replication.ltx.page import decode_page
from replication.ltx.tail import decode_tail, tail_size
from replication.position import format_txid

DEFAULT_ESTIMATED_PAGE_INDEX_SIZE = 32 * 1024
"""How many of a file's last bytes are fetched first: they hold the index of some 3,000 pages."""


@contextmanager
def naming_file(info: FileInfo) -> Iterator[None]:
    """Let a CorruptError that passes say that it was this file."""
    try:
        yield
    except CorruptError as error:
        error.level, error.min_txid, error.max_txid = info.level, info.min_txid, info.max_txid
        raise


def unpack_header(info: FileInfo, data: bytes) -> Header:
    """Return the header that a file begins with, validated.

    Raises:
        LTXError: it is broken, or that of other transactions than the file's name says.

    """
    with naming_file(info):
        header = Header.unpack(data)
        header.validate()
        if (header.min_txid, header.max_txid) != (info.min_txid, info.max_txid):
            msg = (
                f"expected a header of TXIDs {format_txid(info.min_txid)} to {format_txid(info.max_txid)}, "
                f"got {format_txid(header.min_txid)} to {format_txid(header.max_txid)}"
            )
            raise LTXError(msg, offset=16)
    return header


def fetch_ltx_header(client: ReplicaClient, info: FileInfo) -> Header:
    """Return the header of a file, validated, in one request.

    Raises:
        LTXError: as `unpack_header`.
        LTXMissingError, DeniedError, UnavailableError: as the client says.

    """
    return unpack_header(info, client.read_ltx(info, 0, HEADER_SIZE))


def fetch_page_index(client: ReplicaClient, info: FileInfo, commit: int | None = None) -> PageIndex:
    """Return the page index of a file, in one request, or two if the index is large.

    Where `info` does not know the size of the file, the whole file is read. `commit` is as in `decode_tail`.

    Raises:
        LTXError: the page index is broken, or the file is not of the size that `info` says.
        LTXMissingError, DeniedError, UnavailableError: as the client says.

    """
    start = max(info.size - DEFAULT_ESTIMATED_PAGE_INDEX_SIZE, 0)
    tail = client.read_ltx(info, start, info.size or None)
    size = info.size or len(tail)
    with naming_file(info):
        _check_length(tail, start, size)
        missing = tail_size(tail, size) - len(tail)
        if missing > 0:
            rest = client.read_ltx(info, start - missing, start)
            _check_length(rest, start - missing, start)
            tail = rest + tail
        return decode_tail(tail, size, commit)


def fetch_page(client: ReplicaClient, info: FileInfo, span: FrameSpan, *, page_size: int, pgno: int) -> bytes:
    """Return the page whose frame lies at `span` in a file, uncompressed, in one request.

    Raises:
        LTXError: the frame is broken, or that of another page.
        LTXMissingError, DeniedError, UnavailableError: as the client says.

    """
    frame = client.read_ltx(info, span.start, span.end)
    with naming_file(info):
        _check_length(frame, span.start, span.end)
        try:
            return decode_page(frame, page_size, pgno)
        except LTXError as error:
            error.offset = span.start
            raise


def find_ltx_files(
    client: ReplicaClient, level: int, keep: Callable[[FileInfo], bool], *, use_metadata: bool = False
) -> list[FileInfo]:
    """Return the files of a level that `keep` says yes to, sorted by (min_txid, max_txid).

    Raises:
        UsageError: there is no such level.
        DeniedError, UnavailableError: as the client says.

    """
    return [info for info in client.ltx_files(check_level(level), use_metadata=use_metadata) if keep(info)]


def _check_length(data: bytes, start: int, end: int) -> None:
    if len(data) != end - start:
        msg = f"expected bytes {start} to {end}, got {len(data)} of them"
        raise LTXError(msg, offset=start + len(data))
