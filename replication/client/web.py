"""What replicas on web servers have in common, WebDAV and HTTP alike: `<path>/ltx/<level>/<min>-<max>.ltx`, read.

A listing gives the server's time of each file, in whole seconds; the header's costs a small read. The identity is the
ETag where the listing has it, else mtime and size, and every answer to a GET is held against it.
"""

from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import BinaryIO, ClassVar

from replication.client.base import ReplicaClient
from replication.client.http_session import MAX_LISTING_SIZE, HTTPAnswer, HTTPSession, status_error
from replication.client.reader import Chunk, open_range_reader, read_in_parts
from replication.client.web_config import WebConfig
from replication.client.web_listing import PROPFIND_BODY, WebFile, answer_identity, answer_matches, whole_size
from replication.clock import from_timestamp_ms
from replication.errors import LTXError, LTXMissingError, UnavailableError
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE, Header
from replication.ltx.name import ltx_file_path, parse_ltx_name
from replication.position import NO_TXID, TXID

HEADERS_AT_ONCE = 16
CHUNK_SIZE = 4 * 2**20  # bytes an open file asks for at a time
READ_SIZE = 16 * 2**20  # bytes of one request at most, so that each ends within the timeout

OK = 200
MULTI_STATUS = 207
MISSING = (404, 410)
_RANGE = 416


class WebReplicaClient(ReplicaClient):
    """A replica on a web server, as far as it is read."""

    accurate_list_times: ClassVar[bool] = False

    def __init__(self, config: WebConfig) -> None:
        """Take the settings; nothing is connected yet."""
        self._config = config
        self._session = HTTPSession(
            timeout_s=config.timeout_s, skip_verify=config.skip_verify, auth=config.auth, token=config.token
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._config.url(self._config.path)}>"

    @property
    def config(self) -> WebConfig:
        """The settings."""
        return self._config

    def init(self) -> None:
        """Do nothing: the first request shows whether the server can be reached."""

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()

    @abstractmethod
    def list_level(self, level: int) -> list[WebFile]:
        """Return all files of a level's directory, of any name, in any order.

        Raises:
            UsageError: the server cannot list, or there is no such level.
            DeniedError, UnavailableError: the server refused, or did not answer.

        """

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level from `seek` on; the whole level is listed with one request."""
        infos: list[FileInfo] = []
        for file in self.list_level(level):
            name = parse_ltx_name(file.name)
            if name is not None and name.min_txid >= seek:
                infos.append(
                    FileInfo(
                        level=level,
                        min_txid=name.min_txid,
                        max_txid=name.max_txid,
                        size=file.size,
                        created_at=file.modified,
                        identity=file.identity,
                    )
                )
        if use_metadata and infos:
            with ThreadPoolExecutor(HEADERS_AT_ONCE, f"litestream-{self.type}-header") as pool:
                infos = [info for info in pool.map(self._dated, infos) if info is not None]
        infos.sort(key=lambda info: (info.min_txid, info.max_txid))
        return iter(infos)

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end."""
        path = self.file_path(info.level, info.min_txid, info.max_txid)
        data = read_in_parts(partial(self._get, path), info.identity, start, end, READ_SIZE)
        expected = (info.size if end is None else min(end, info.size)) - start
        if info.identity and len(data) < expected:
            msg = f"GET /{path}: expected {expected} bytes from {start} on, got {len(data)}"
            raise UnavailableError(msg)
        return data

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader; its first answer pins the file's identity."""
        path = self.file_path(level, min_txid, max_txid)
        return open_range_reader(partial(self._get, path), offset=offset, size=size, chunk_size=CHUNK_SIZE)

    def file_path(self, level: int, min_txid: TXID, max_txid: TXID) -> str:
        """Return the path of a file on the server."""
        return ltx_file_path(self._config.path, level, min_txid, max_txid)

    def propfind(self, path: str, *, depth: int) -> HTTPAnswer:
        """Return what the server answers when it is asked for the properties of a path, and of what is in it."""
        return self._session.request(
            "PROPFIND",
            self._config.url(path),
            headers={"Depth": str(depth), "Content-Type": "application/xml"},
            content=PROPFIND_BODY,
            limit=MAX_LISTING_SIZE,
        )

    def _get(self, path: str, identity: str, start: int, end: int) -> Chunk:
        """Return a range, cut short at the end of the file; nothing when it begins past it."""
        answer = self._session.get_range(self._config.url(path), start, end)
        what = f"GET /{path}"
        if answer.status not in {OK, _RANGE}:
            raise status_error(what, answer, "permission to read files")
        size = whole_size(answer.headers)
        if identity and not answer_matches(identity, answer.headers, size):
            msg = f"{what}: the file was replaced by another one"
            raise LTXMissingError(msg)
        if answer.status == _RANGE:
            return Chunk(b"", identity)
        return Chunk(answer.body, identity or answer_identity(answer.headers, size))

    def _dated(self, info: FileInfo) -> FileInfo | None:
        """Return a file with its header's time, or None if it is gone meanwhile."""
        try:
            header = Header.unpack(self.read_ltx(info, 0, HEADER_SIZE))
        except LTXMissingError:
            return None
        except LTXError:
            return info  # whoever reads the file will say what is wrong with it
        return replace(info, created_at=from_timestamp_ms(header.timestamp_ms))
