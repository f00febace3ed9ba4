"""What may be sent where, and what an answer must be: the rules of `http_session`, which makes the requests."""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from replication.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    import httpx

MAX_SKIPPED_SIZE = 64 * 2**20  # bytes before a range that are thrown away where the server knows no ranges

OK = 200
FAILED = 300  # and above: the body tells of a failure
_FOLLOWED = {"GET", "HEAD", "PROPFIND"}


def authorization(auth: tuple[str, str] | None, token: str) -> dict[str, str]:
    """Return the header that shows who asks."""
    if token:
        return {"Authorization": f"Bearer {token}"}
    if auth is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode("ascii")}


def without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that may go to any server."""
    return {name: value for name, value in headers.items() if name.lower() not in {"authorization", "cookie"}}


def redirected(what: str, answer: "httpx.Response") -> "httpx.URL":
    """Return where an answer points to.

    Raises:
        UsageError: it may not be followed there.

    """
    request = answer.request
    url = request.url.join(answer.headers["location"]).copy_with(userinfo=b"", fragment=None)
    shown = f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}{url.path}"
    downgraded = request.url.scheme == "https" and url.scheme != "https"
    if request.method not in _FOLLOWED or downgraded or url.scheme not in {"http", "https"} or url == request.url:
        msg = f"{what}: the server points to {shown} ({answer.status_code}), where this is not followed"
        raise UsageError(msg)
    return url


def origin(url: "httpx.URL") -> tuple[str, str, int | None]:
    """Return what credentials are given for."""
    return url.scheme, url.host, url.port


def check_encoding(what: str, answer: "httpx.Response") -> None:
    """Refuse an answer whose bytes are not those that are stored.

    Raises:
        UsageError: it is compressed.

    """
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if answer.status_code < FAILED and encoding not in {"", "identity"}:
        msg = f"{what}: expected the bytes as they are stored, got them compressed ({encoding[:20]!r})"
        raise UsageError(msg)


def range_given(what: str, answer: "httpx.Response", start: int, end: int) -> tuple[int, int]:
    """Return how many bytes of the body lie before `start`, and how many are wanted of the rest.

    Raises:
        UnavailableError: it is another range than the one asked for.
        UsageError: the server knows no ranges, and there is too much before this one.

    """
    if answer.status_code == OK:
        if start > MAX_SKIPPED_SIZE:
            msg = f"{what}: the server knows no ranges, so that reading from {start} on would read all before it"
            raise UsageError(msg)
        return start, end - start
    text = answer.headers.get("content-range", "")
    given, _, total = text.removeprefix("bytes ").partition("/")
    first, _, last = given.partition("-")
    if not (first.isdecimal() and last.isdecimal()) or int(first) != start:
        msg = f"{what}: expected bytes {start} to {end}, got the range {text[:60]!r}"
        raise UnavailableError(msg)
    until = min(end, int(total)) if total.isdecimal() else min(end, int(last) + 1)
    return 0, max(0, until - start)


def shown_path(url: str) -> str:
    """Return the path of a URL: its query may hold secrets."""
    return urlsplit(url).path


def shown_server(url: str) -> str:
    """Return the server of a URL, without what may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
