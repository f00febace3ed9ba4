"""Replica URLs: `scheme://[user:password@]host/path?query`.

What a URL means is what it means to the Go program, also where that is peculiar: a `file` URL names the path as it is
written, `%20` and all, and a host becomes the first directory. Access points of S3 (`s3://arn:…:accesspoint/name/path`)
are no URLs at all, and have their own rule.

It differs in two things. `s3://bucket` has an empty path, where the Go program makes `.` of it, which is no name that a
store keeps. And a query that is broken is an error, where the Go program leaves the broken parameter out in silence.

Source: litestream 0.5.17, replica_url.go.
"""

import difflib
import posixpath
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from replication.client.go_url import (
    GoURL,
    check_escapes,
    split_url,
    written_fragment,
    written_host,
    written_path,
)
from replication.errors import UsageError

_URL = re.compile(r"\w+://", re.ASCII)
_ARN_URL = re.compile(r"s3://(?=arn:)", re.IGNORECASE)
_ACCESS_POINT = re.compile(r"(?P<arn>.*?:accesspoint/[^/]+)(?:/(?P<key>.*))?", re.IGNORECASE)
_TRUE = {"true", "1", "t", "yes"}


@dataclass(frozen=True, slots=True)
class ReplicaURL:
    """The parts of a replica URL; `repr` leaves out what may be secret.

    `host` may carry a port. `path` is cleaned and has no leading slash, but for files. Of a repeated query parameter
    the first value counts.
    """

    scheme: str
    host: str = ""
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def is_url(text: str) -> bool:
    """Say whether a text begins like a URL, with a scheme.

    >>> is_url("s3://bucket"), is_url("/var/lib/app.db")
    (True, False)
    """
    return _URL.match(text) is not None


def parse_replica_url(url: str) -> ReplicaURL:
    """Return the parts of a replica URL.

    >>> parse_replica_url("s3://bucket/app//db/?region=eu-west-1")
    ReplicaURL(scheme='s3', host='bucket', path='app/db')

    Raises:
        UsageError: it has no scheme, or is broken otherwise.

    """
    if found := _ARN_URL.match(url):
        return _parse_access_point(url[found.end() :])
    try:
        parts = split_url(url)
        if parts.scheme == "file":
            return ReplicaURL("file", path=_file_path(parts))
        path = clean_replica_url_path(unquote(parts.path, errors="strict"))
        user, _, password = (parts.user or "").partition(":")
    except ValueError:
        raise UsageError(_broken(url)) from None  # the cause would repeat parts of the URL
    return ReplicaURL(
        parts.scheme,
        host=parts.host,
        path=path,
        query=_parse_query(parts.query),
        username=unquote(user),
        password=unquote(password),
    )


def without_secrets(url: str) -> str:
    """Return a URL, or what was meant to be one, without user, password and query.

    >>> without_secrets("s3://id:sec/ret@bucket/path?region=eu-west-1"), without_secrets("id:secret@bucket/path")
    ('s3://bucket/path', 'bucket/path')
    """
    scheme = found[0] if (found := _URL.match(url)) else ""
    if scheme == "file://":
        return url  # has no user, and a path may hold anything
    if scheme:
        with suppress(ValueError):
            parts = urlsplit(url)
            _ = parts.port
            return scheme + parts.netloc.rpartition("@")[2] + parts.path
    # A key that is not percent-encoded may hold / ? and #, so whatever stands before the last @ may belong to it.
    rest = url[len(scheme) :]
    head, _, query = rest.partition("?")
    if "@" not in head and ":" in head:
        return scheme + (query if "@" in query else head).rpartition("@")[2]
    return scheme + head.rpartition("@")[2]


def shown_name(name: str) -> str:
    """Return a name as it may be shown: some are URLs, with secrets.

    >>> shown_name("what?"), shown_name("s3://id:secret@bucket/path")
    ('what?', 's3://bucket/path')
    """
    return without_secrets(name) if is_url(name) or "@" in name else name


def replica_type_from_url(url: str) -> str:
    """Return the type of replica a URL names, or nothing if it is no URL, or a broken one.

    >>> replica_type_from_url("webdavs://host/path"), replica_type_from_url("/path")
    ('webdav', '')
    """
    if not is_url(url):
        return ""
    try:
        scheme = parse_replica_url(url).scheme
    except UsageError:
        return ""
    return "webdav" if scheme == "webdavs" else scheme


def clean_replica_url_path(path: str) -> str:
    """Return a path without leading or doubled slashes, `.` and `..`.

    >>> clean_replica_url_path("/a/./b//../c/")
    'a/c'
    """
    return posixpath.normpath("//" + path).lstrip("/")


def bool_query_value(query: Mapping[str, str], *names: str) -> bool | None:
    """Return the first of these parameters that is given, as a truth value; None if none is.

    Anything but true, 1, t and yes is false.
    """
    for name in names:
        if text := query.get(name, ""):
            return text.lower() in _TRUE
    return None


def region_from_s3_arn(arn: str) -> str:
    """Return the region an ARN names, or nothing.

    >>> region_from_s3_arn("arn:aws:s3:us-east-2:123456789012:accesspoint/name")
    'us-east-2'
    """
    parts = arn.split(":", 5)
    return parts[3] if len(parts) > 3 else ""  # noqa: PLR2004 - arn:partition:service:region:…


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not known, with the nearest one that is.

    >>> unknown_name("parameter", "regoin", ["region", "endpoint"])
    "unknown parameter 'regoin'; did you mean region?"
    """
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown {kind} {name!r}{hint}"


def _parse_access_point(text: str) -> ReplicaURL:
    text, _, query = text.partition("?")
    found = _ACCESS_POINT.fullmatch(text)
    if found is None:
        msg = f"expected arn:…:accesspoint/name, got {text!r}"
        raise UsageError(msg)
    return ReplicaURL(
        "s3", host=found["arn"], path=clean_replica_url_path(found["key"] or ""), query=_parse_query(query)
    )


def _broken(url: str) -> str:
    """Return the message for a URL that cannot be split."""
    if not is_url(url) and not url.lower().startswith("file:"):
        return f"expected a replica URL with a scheme, like file:///absolute/path, got {without_secrets(url)!r}"
    return (
        f"not a replica URL: {without_secrets(url)!r} has a wrong scheme, host, port or escape; "
        "in a user or a key, / is written %2F, + is %2B and @ is %40; anywhere, % is %25"
    )


def _file_path(url: GoURL) -> str:
    """Return the path a file URL names: everything after the scheme but the query, in its escaped form."""
    place = url.opaque
    if not place:
        user = "" if url.user is None else f"{url.user}@"
        authority = f"/{user}{written_host(url.host)}" if user or url.host else ""  # it is the first directory
        place = authority + written_path(url.path)
    # Go leaves a question mark that nothing follows where it is.
    end = ("?" if url.is_query_empty else "") + ("#" if url.fragment else "") + written_fragment(url.fragment)
    cleaned = posixpath.normpath(place + end)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def _parse_query(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    try:
        check_escapes(query)
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        pairs = None
    if pairs is None or ";" in query:
        msg = "a parameter of the replica URL is broken: % is written %25 there, and ; is %3B"
        raise UsageError(msg)  # showing nothing of it, for it may be a key
    for name, value in pairs:
        values.setdefault(name, value)
    return values
