"""Replicas on a WebDAV server, `webdav://` by http and `webdavs://` by https: `<path>/ltx/<level>/<min>-<max>.ltx`.

A file is uploaded under a name that no listing shows, and moved to its own: so it appears whole, also where a server
shows what it has received of an upload. With `if_absent` the server itself refuses to move it over another file; it is
its business to do so in one step.

The server keeps no time but its own, so the header's is read from the files. What a writer that was killed left under
a temporary name is seen in listings, and deleted before the next write to that level, once it is old.

Source: litestream 0.5.17, webdav/replica_client.go, which uploads to the name itself.
"""

import re
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import BinaryIO, ClassVar

from replication.client.http_session import HTTPAnswer, status_error
from replication.client.reader import read_upload_head
from replication.client.web import MISSING, MULTI_STATUS, WebReplicaClient
from replication.client.web_config import WebConfig
from replication.client.web_listing import WebFile, parse_date, parse_multistatus
from replication.client.web_upload import open_upload
from replication.client.webdav_lease import WebDAVLeaseStore
from replication.client.webdav_requests import WebDAVWriter
from replication.clock import from_timestamp_ms
from replication.errors import LitestreamError, LTXExistsError, UnavailableError, UsageError
from replication.ltx.file_info import FileInfo
from replication.ltx.name import ltx_dir, ltx_level_dir
from replication.position import TXID

LEFTOVER_AGE = timedelta(hours=1)
"""How long a temporary file is let alone after its last change, by the server's clock."""

MAX_LEFTOVERS = 100  # of a level, remembered
DELETES_AT_ONCE = 8

_NOT_WEBDAV = {200, 400, 405, 501}  # answers of web servers to PROPFIND
_TEMPORARY = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.ltx\.[0-9a-f]{16}\.tmp")


class WebDAVReplicaClient(WebReplicaClient):
    """A replica on a WebDAV server."""

    type: ClassVar[str] = "webdav"

    def __init__(self, config: WebConfig) -> None:
        """Take the settings; nothing is connected yet."""
        super().__init__(config)
        self._writer = WebDAVWriter(config, self._session)
        self._leftovers: dict[int, list[str]] = {}  # paths by level; each list is set and taken as a whole

    def lease_store(self) -> WebDAVLeaseStore:
        """Return where the replica's lease is."""
        return WebDAVLeaseStore(self._config, self._session)

    def list_level(self, level: int) -> list[WebFile]:
        """Return all files of a level's directory; none if it is not there."""
        directory = ltx_level_dir(self._config.path, level)
        answer = self.propfind(f"{directory}/", depth=1)
        if answer.status in MISSING:
            return []
        files = self._files(f"PROPFIND /{directory}", answer)
        now = parse_date(answer.headers)
        if now is not None:
            old = [
                file.name for file in files if _TEMPORARY.fullmatch(file.name) and now - file.modified > LEFTOVER_AGE
            ]
            self._leftovers[level] = [f"{directory}/{name}" for name in old[:MAX_LEFTOVERS]]
        return files

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store a file, with three requests: upload, move, and how it is listed then."""
        path = self.file_path(level, min_txid, max_txid)
        head = read_upload_head(reader)
        temporary = f"{path}.{secrets.token_hex(8)}.tmp"
        with open_upload(head.data, reader) as upload:
            self._delete_quietly(self._leftovers.pop(level, []))
            try:
                self._writer.put(temporary, upload, upload.size, {})
                is_named = self._writer.move(temporary, path, overwrite=not if_absent)
            except BaseException:
                self._delete_quietly([temporary])
                raise
        if not is_named:
            self._delete_quietly([temporary])
            msg = f"MOVE to /{path}: the file is there already"
            raise LTXExistsError(msg)
        return FileInfo(
            level=level,
            min_txid=min_txid,
            max_txid=max_txid,
            size=upload.size,
            created_at=from_timestamp_ms(head.timestamp_ms),
            identity=self._identity(path, upload.size),
        )

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files, 8 at a time."""
        paths = [self.file_path(info.level, info.min_txid, info.max_txid) for info in infos]
        if len(paths) == 1:
            self._writer.delete(paths[0])
        elif paths:
            with ThreadPoolExecutor(DELETES_AT_ONCE, "litestream-webdav-delete") as pool:
                list(pool.map(self._writer.delete, paths))

    def delete_all(self) -> None:
        """Delete the directory `ltx` with all that is in it, and nothing beside it."""
        self._writer.delete(f"{ltx_dir(self._config.path)}/")

    def _files(self, what: str, answer: HTTPAnswer) -> list[WebFile]:
        if answer.status in _NOT_WEBDAV:
            msg = f"{what}: the server at {self._config.host} does not speak WebDAV ({answer.status})"
            raise UsageError(msg)
        if answer.status != MULTI_STATUS:
            raise status_error(what, answer, "permission to list directories")
        return parse_multistatus(what, answer.body)

    def _identity(self, path: str, size: int) -> str:
        """Return the identity of a file just written; empty where nobody tells, or another one took its place."""
        try:
            answer = self.propfind(path, depth=0)
        except UnavailableError:
            return ""  # the file is stored all the same
        files = parse_multistatus(f"PROPFIND /{path}", answer.body) if answer.status == MULTI_STATUS else []
        return files[0].identity if files and files[0].size == size else ""

    def _delete_quietly(self, paths: Iterable[str]) -> None:
        """Delete temporary files if that is possible; those that stay are old one day."""
        for path in paths:
            with suppress(LitestreamError):
                self._writer.delete(path)
