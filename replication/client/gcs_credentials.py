"""Tokens of Google: found and signed by google-auth, fetched over our own connections, renewed before they end.

google-auth says what a key file, a signed-in user or a machine's own account has to ask for. One thread at a time
renews a token; a token is taken for ended some minutes before it is, so that none ends on the way.
"""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replication.client.http_session import HTTPAnswer, HTTPSession
from replication.errors import DeniedError, LitestreamError, UnavailableError, UsageError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_MAX_KEY_FILE_SIZE = 2**20  # bytes
_SERVER_ERRORS = 500
_EXPECTED_FILE = "a JSON key file of Google, of the type service_account or authorized_user"


class GCSCredentials:
    """The credentials of one replica; any thread may ask for its headers."""

    def __init__(self, *, path: str, timeout_s: float) -> None:
        """Load nothing yet; `path` is a key file, or empty for what Google's own rules find.

        Raises:
            UsageError: google-auth is not installed.

        """
        try:
            import google.auth  # noqa: F401, PLC0415 - an extra
        except ImportError as error:
            msg = "replicas at gs:// need google-auth: pip install apsw-litestream[gcs]"
            raise UsageError(msg) from error
        self._path = path
        self._transport = _Transport(timeout_s)
        self._pid = os.getpid()
        self._lock = threading.Lock()  # one of this process: a thread of the parent may hold that of before a fork
        self._credentials: Credentials | None = None  # guarded by _lock

    def __repr__(self) -> str:
        return f"<GCSCredentials {self._path or 'default'}>"

    def load(self) -> None:
        """Find the credentials; a token is not asked for yet.

        Raises:
            UsageError: the key file is none.
            DeniedError: there are no credentials.
            UnavailableError: where they come from does not answer.

        """
        with self._own_lock():
            self._found()

    def headers(self) -> dict[str, str]:
        """Return the headers that a request needs, with a token that holds for some minutes at least.

        Raises:
            UsageError: the key file is none.
            DeniedError: there are no credentials, or they were refused.
            UnavailableError: no token could be had now.

        """
        headers: dict[str, str] = {}
        with self._own_lock():
            credentials = self._found()
            if not credentials.valid:
                self._refresh(credentials)
            credentials.apply(headers)  # type: ignore[no-untyped-call]
        return headers

    def forget(self, headers: Mapping[str, str]) -> bool:
        """Let the token of these headers count no more, for the server refused it; say whether there was one."""
        used = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
        with self._own_lock():
            credentials = self._found()
            if used == f"Bearer {credentials.token}":
                credentials.token = None
        return bool(used)

    def _own_lock(self) -> threading.Lock:
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()
        return self._lock

    def _found(self) -> "Credentials":
        if self._credentials is None:
            self._credentials = _from_file(self._path) if self._path else self._default()
        return self._credentials

    def _default(self) -> "Credentials":
        import google.auth  # noqa: PLC0415 - an extra
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

        try:
            found, _project = google.auth.default(scopes=[SCOPE], request=self._transport)  # type: ignore[arg-type]
        except (GoogleAuthError, ValueError, OSError):
            named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
        else:
            return found
        told = f"none can be read from {named}" if named else "none were found"
        msg = (
            f"expected credentials of Google Cloud, {told}: set credentials_path or GOOGLE_APPLICATION_CREDENTIALS "
            "to a key file, sign in with `gcloud auth application-default login`, or set anonymous=true for a "
            "public bucket"
        )
        raise DeniedError(msg)  # outside of the handler: google-auth's error may repeat what a file says

    def _refresh(self, credentials: "Credentials") -> None:
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - an extra

        try:
            credentials.refresh(self._transport)  # type: ignore[no-untyped-call]
        except (GoogleAuthError, ValueError) as error:
            is_passing = bool(getattr(error, "retryable", False))
        else:
            return
        raise self._error(is_passing=is_passing)  # outside of the handler: what was said is not even the context

    def _error(self, *, is_passing: bool) -> LitestreamError:
        """Return the error to raise; google-auth's own text may repeat what a server said, and is left out."""
        what = f"the credentials of Google Cloud{f' in {self._path}' if self._path else ''} got no token"
        transport = self._transport
        if transport.last_error is not None:
            return UnavailableError(f"{what}: {transport.last_error}")
        told = f"({transport.last_status} {transport.last_reason}".strip() + ")"
        if transport.last_status >= _SERVER_ERRORS or is_passing:
            return UnavailableError(f"{what}: the token server failed {told}")
        return DeniedError(f"{what}: the token server refused {told}")


class _Response:
    """An answer as google-auth wants it."""

    def __init__(self, answer: HTTPAnswer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.data = answer.body


class _Transport:
    """A `google.auth.transport.Request`: tokens are rare, so each request has a connection of its own."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.last_error: LitestreamError | None = None
        self.last_status = 0
        self.last_reason = ""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_options: object,
    ) -> _Response:
        from google.auth.exceptions import TransportError  # noqa: PLC0415 - an extra

        self.last_error, self.last_status, self.last_reason = None, 0, ""
        session = HTTPSession(timeout_s=min(timeout or self._timeout_s, self._timeout_s))
        try:
            content = body.encode() if isinstance(body, str) else body
            answer = session.request(method, url, headers=headers, content=content)
        except LitestreamError as error:
            self.last_error = error
            raise TransportError(str(error)) from error  # type: ignore[no-untyped-call]
        finally:
            session.close()
        self.last_status, self.last_reason = answer.status, _reason(answer.body)
        return _Response(answer)


def _reason(body: bytes) -> str:
    """Return the error code of OAuth in an answer, `invalid_grant`, or nothing; the words beside it are not shown."""
    try:
        reason = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    known = isinstance(reason, str) and len(reason) < 40 and reason.isascii() and reason.replace("_", "").isalpha()  # noqa: PLR2004
    return str(reason) if known else ""


def _from_file(path: str) -> "Credentials":
    """Return the credentials in a key file; the message of an error shows nothing of its content."""
    from google.oauth2 import credentials, service_account  # noqa: PLC0415 - an extra

    try:
        with Path(path).expanduser().open("rb") as file:
            info: Any = json.loads(file.read(_MAX_KEY_FILE_SIZE))
        kind = info.get("type")
        if kind == "service_account":
            return service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])  # type: ignore[no-any-return, no-untyped-call]
        if kind == "authorized_user":
            return credentials.Credentials.from_authorized_user_info(info)  # type: ignore[no-any-return, no-untyped-call]
    except OSError as error:
        msg = f"cannot read credentials_path {path!r}: {type(error).__name__}"
        raise UsageError(msg) from error
    except (ValueError, AttributeError, TypeError, RecursionError):
        got = "what is none"
    else:
        got = "one of another type, for which GOOGLE_APPLICATION_CREDENTIALS has to be set"
    msg = f"expected as credentials_path {_EXPECTED_FILE}, got {got}: {path!r}"
    raise UsageError(msg)  # outside of the handler: the error before may hold what the file says
