"""Splitting a URL as Go's net/url does, which is what the Go program reads its URLs with.

It differs from urllib in what it refuses (control characters, a broken `%` escape, a port that is no number, a host or
a user with characters that belong escaped), and in that a path is kept as it was written where that is a valid way to
write it, and escaped anew where it is not.

Source: Go 1.25, net/url, "Parse", "parseHost", "EscapedPath" and "validEncoded".
"""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, unquote_to_bytes

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
# A host may have an escape for what is not ASCII only, and for the % of an IPv6 zone.
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:<>\"\[\]\x80-\U0010ffff]|%(?:25|[89A-Fa-f][0-9A-Fa-f]))*")
_PORT = re.compile(r"(?::[0-9]*)?")
_WELL_WRITTEN = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@\[\]%/]*")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class GoURL:
    """The parts of a URL; `repr` leaves out what may be secret.

    `host` is decoded, the others are as written. `user` is None if there is no `@`. `opaque` is all of a URL whose
    scheme no slash follows.
    """

    scheme: str
    opaque: str = ""
    user: str | None = field(default=None, repr=False)
    host: str = ""
    path: str = ""
    query: str = field(default="", repr=False)
    is_query_empty: bool = False  # it ends with a question mark
    fragment: str = ""


def split_url(text: str) -> GoURL:
    """Return the parts of a URL.

    >>> split_url("S3://id:secret@bucket:9000/a%20b?region=x")
    GoURL(scheme='s3', opaque='', host='bucket:9000', path='/a%20b', is_query_empty=False, fragment='')

    Raises:
        ValueError: Go does not take it; the message shows nothing of it.

    """
    if _CONTROL.search(text):
        msg = "a control character in a URL"
        raise ValueError(msg)
    text, _, fragment = text.partition("#")
    check_escapes(fragment)
    found = _SCHEME.match(text)
    if found is None:
        msg = "no scheme"
        raise ValueError(msg)
    scheme, rest = found[1].lower(), text[found.end() :]
    rest, question_mark, query = rest.partition("?")
    is_query_empty = bool(question_mark) and not query
    if not rest.startswith("/"):
        return GoURL(scheme, rest, query=query, is_query_empty=is_query_empty, fragment=fragment)
    user: str | None = None
    host, path = "", rest
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        path = slash + path
        user_part, at, host = authority.rpartition("@")
        user = _checked_user(user_part) if at else None
        host = _checked_host(host)
    check_escapes(path)
    return GoURL(scheme, "", user, host, path, query, is_query_empty, fragment)


def check_escapes(text: str) -> None:
    """Check that two hexadecimal digits follow each `%`.

    Raises:
        ValueError: they do not.

    """
    if _BROKEN_ESCAPE.search(text):
        msg = "a % without two hexadecimal digits"
        raise ValueError(msg)


def written_path(path: str) -> str:
    """Return an escaped path as Go writes it.

    >>> written_path("/a!%2Fb"), written_path("/a!%2F b")
    ('/a!%2Fb', '/a%21/%20b')
    """
    return path if _WELL_WRITTEN.fullmatch(path) else quote(unquote_to_bytes(path), safe="/$&+,:;=@~")


def written_fragment(fragment: str) -> str:
    """Return an escaped fragment as Go writes it.

    >>> written_fragment("a?b"), written_fragment("a?b c")
    ('a?b', 'a?b%20c')
    """
    is_kept = _WELL_WRITTEN.fullmatch(fragment.replace("?", ""))
    return fragment if is_kept else quote(unquote_to_bytes(fragment), safe="/$&+,:;=?@~!()*")


def written_host(host: str) -> str:
    """Return a decoded host as Go writes it."""
    return quote(host, safe="!$&'()*+,;=:[]<>\"~")


def _checked_user(user: str) -> str:
    if not _USER.fullmatch(user):
        msg = "a character in the user that belongs escaped"
        raise ValueError(msg)
    check_escapes(user)
    return user


def _checked_host(host: str) -> str:
    if host.startswith("["):
        _, bracket, port = host.rpartition("]")
        if not bracket:
            msg = "a [ without its ] in the host"
            raise ValueError(msg)
    else:
        _, colon, port = host.rpartition(":")
        port = colon + port if colon else ""
    if not _PORT.fullmatch(port) or int(port[1:] or 0) > _MAX_PORT:
        msg = "a port that is none"
        raise ValueError(msg)
    if not _HOST.fullmatch(host):
        msg = "a character that no host has"
        raise ValueError(msg)
    return unquote(host, errors="strict")
