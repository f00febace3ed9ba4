"""The requests by which a WebDAV server is changed.

A directory is made when a PUT says that it is missing, and its parents only when making it says the same of them.

Source: RFC 4918.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping

from replication.client.http_session import HTTPAnswer, HTTPSession, status_error
from replication.client.web import MISSING, MULTI_STATUS
from replication.client.web_config import WebConfig
from replication.errors import DeniedError, UnavailableError

_DONE = {200, 201, 204}
_NOT_ALLOWED = 405  # MKCOL's word for a directory that is there
_CONFLICT = 409
PRECONDITION_FAILED = 412
_NO_PARENT = {404, _CONFLICT}
_DENIED = {401, 403}
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_PERMISSION = "permission to write"


class WebDAVWriter:
    """The server of one replica, as far as it is changed."""

    def __init__(self, config: WebConfig, session: HTTPSession) -> None:
        """Take where it is, and the connections to it."""
        self._config = config
        self._session = session

    def put(self, path: str, content: Iterable[bytes], size: int, headers: Mapping[str, str]) -> HTTPAnswer | None:
        """Store a file, making the directories it needs; None if a condition in the headers does not hold.

        The content is iterated anew when it has to be sent again.

        Raises:
            UsageError, DeniedError, UnavailableError: the server refused, or did not answer.

        """
        given = {"Content-Type": "application/octet-stream", **headers, "Content-Length": str(size)}
        url = self._config.url(path)
        answer = self._session.request("PUT", url, headers=given, content=iter(content))
        replaces = "If-Match" in headers
        if answer.status in _NO_PARENT and not replaces:
            self._make_directory(posixpath.dirname(path))
            answer = self._session.request("PUT", url, headers=given, content=iter(content))
        if answer.status == PRECONDITION_FAILED or (answer.status in _NO_PARENT and replaces):
            return None
        return _checked(f"PUT /{path}", answer)

    def move(self, path: str, to_path: str, *, overwrite: bool) -> bool:
        """Give a file another name, and say whether it has it: without `overwrite`, the name may be taken.

        Raises:
            DeniedError, UnavailableError: the server refused, or did not answer.

        """
        what = f"MOVE /{path}"
        headers = {"Destination": self._config.url(to_path), "Overwrite": "T" if overwrite else "F"}
        answer = self._session.request("MOVE", self._config.url(path), headers=headers)
        if answer.status == PRECONDITION_FAILED:
            return False
        if answer.status in _NO_PARENT:
            msg = f"{what}: the file, or its directory, was deleted meanwhile ({answer.status})"
            raise UnavailableError(msg)
        _checked(what, answer)
        return True

    def delete(self, path: str) -> None:
        """Delete a file, or a directory with all that is in it; what is missing is no error.

        Raises:
            UsageError, DeniedError, UnavailableError: the server refused, or did not answer.

        """
        answer = self._session.request("DELETE", self._config.url(path), headers={"Depth": "infinity"})
        what = f"DELETE /{path}"
        if answer.status == MULTI_STATUS:
            statuses = {int(status) for status in _STATUS.findall(answer.body)}
            msg = f"{what}: some of it could not be deleted ({answer.status}, with {sorted(statuses)})"
            raise DeniedError(f"{msg}; it needs {_PERMISSION}") if statuses & _DENIED else UnavailableError(msg)
        if answer.status not in MISSING:
            _checked(what, answer)

    def _make_directory(self, path: str) -> None:
        """Make a directory, and those above it that are missing."""
        url = self._config.url(f"{path}/")
        answer = self._session.request("MKCOL", url)
        parent = posixpath.dirname(path)
        if answer.status in _NO_PARENT and parent:
            self._make_directory(parent)
            answer = self._session.request("MKCOL", url)
        if answer.status != _NOT_ALLOWED:
            _checked(f"MKCOL /{path}", answer)


def _checked(what: str, answer: HTTPAnswer) -> HTTPAnswer:
    if answer.status in _DONE:
        return answer
    if answer.status == _CONFLICT:
        msg = f"{what}: the directory was deleted meanwhile, or cannot be made ({answer.status})"
        raise UnavailableError(msg)
    raise status_error(what, answer, _PERMISSION)
