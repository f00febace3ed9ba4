"""Replicas that are only read, from any web server that lists directories: `http://` and `https://`.

The server lists as nginx does with `autoindex on; autoindex_format json;`, or it answers PROPFIND. Which of the two is
found out with the first listing. A level that is not there is empty; but where nothing is there at all, not even the
directory that the URL names, that is an error, since a wrong URL must not look like an empty replica.
"""

from collections.abc import Iterable
from typing import BinaryIO, ClassVar, Literal, NoReturn

from replication.client.http_session import MAX_LISTING_SIZE, status_error
from replication.client.web import MISSING, MULTI_STATUS, OK, WebReplicaClient
from replication.client.web_config import WebConfig
from replication.client.web_listing import WebFile, parse_autoindex, parse_multistatus
from replication.errors import DeniedError, LitestreamError, UsageError
from replication.lease import LeaseStore
from replication.ltx.file_info import FileInfo
from replication.ltx.name import ltx_level_dir
from replication.position import TXID

_FORBIDDEN = 403
_CANNOT = {400, 403, 404, 405, 410, 415, 501}  # answers of servers to what they do not know
_PERMISSION = "permission to list directories"
_AUTOINDEX = "autoindex on; autoindex_format json;"


class HTTPReplicaClient(WebReplicaClient):
    """A replica on a web server, to read."""

    type: ClassVar[str] = "http"

    def __init__(self, config: WebConfig) -> None:
        """Take the settings; nothing is connected yet."""
        super().__init__(config)
        self._way: Literal["", "autoindex", "PROPFIND"] = ""  # how the server lists; empty until that is known
        self._is_there = False  # whether something was found at the URL

    def list_level(self, level: int) -> list[WebFile]:
        """Return all files of a level's directory; none if it is not there."""
        path = f"{ltx_level_dir(self._config.path, level)}/"
        files = self._list(path)
        if files is None and not self._is_there:
            self._check_is_there()
        self._is_there = True
        return files or []

    def lease_store(self) -> LeaseStore:
        """Refuse: who asks for a lease is going to write."""
        self._refuse()

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Refuse."""
        del level, min_txid, max_txid, reader, if_absent
        self._refuse()

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Refuse, unless there is nothing to delete."""
        for _ in infos:
            self._refuse()

    def delete_all(self) -> None:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        config = self._config
        scheme = "webdavs" if config.scheme == "https" else "webdav"
        msg = (
            f"a replica at {config.scheme}:// can only be read: to write to {config.host}, "
            f"which then has to speak WebDAV, use {scheme}://"
        )
        raise UsageError(msg)

    def _list(self, path: str) -> list[WebFile] | None:
        """Return the files of a directory, or None if it is not there.

        Raises:
            UsageError, DeniedError, UnavailableError: as `list_level`.

        """
        if self._way == "PROPFIND":
            return self._list_by_propfind(path, None)
        answer = self._session.request("GET", self._config.url(path), limit=MAX_LISTING_SIZE)
        what = f"GET /{path}"
        files = parse_autoindex(what, answer.body) if answer.status == OK else None
        if files is not None:
            self._way = "autoindex"
            return files
        if answer.status in MISSING and self._way == "autoindex":
            return None
        if answer.status != OK and answer.status not in _CANNOT:
            raise status_error(what, answer, _PERMISSION)
        return self._list_by_propfind(path, answer.status)

    def _list_by_propfind(self, path: str, got: int | None) -> list[WebFile] | None:
        """Do the same by the second way, after GET got that status, or None if the first way was not tried."""
        answer = self.propfind(path, depth=1)
        what = f"PROPFIND /{path}"
        if answer.status == MULTI_STATUS:
            files = parse_multistatus(what, answer.body)
            self._way = "PROPFIND"
            return files
        if answer.status not in {OK, *_CANNOT}:
            raise status_error(what, answer, _PERMISSION)
        if got in MISSING or (answer.status in MISSING and got != OK):
            return None
        self._way = ""
        raise self._cannot_list(path, got, answer.status)

    def _cannot_list(self, path: str, got: int | None, got_second: int) -> LitestreamError:
        url = self._config.url(path)
        if got in {_FORBIDDEN, None} and got_second == _FORBIDDEN:
            return DeniedError(f"{url} is forbidden: it needs {_PERMISSION} (nginx: {_AUTOINDEX})")
        of_get = {OK: "something else", None: "none before"}.get(got, str(got))
        return UsageError(
            f"{url} cannot be listed: expected a listing in JSON (nginx: {_AUTOINDEX}), got {of_get}; "
            f"or an answer to PROPFIND, got {got_second}"
        )

    def _check_is_there(self) -> None:
        """Refuse a URL at which there is nothing.

        Raises:
            UsageError: so it is.
            UnavailableError: the server did not answer.

        """
        directory = f"{self._config.path}/" if self._config.path else ""
        url = self._config.url(directory)
        if self._session.request("HEAD", url).status not in MISSING:
            return
        if self.propfind(directory, depth=0).status != MULTI_STATUS:
            msg = f"there is nothing at {url}: expected the directory of a replica"
            raise UsageError(msg)
