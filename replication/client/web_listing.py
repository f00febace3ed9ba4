"""Listings of a web server's directories: what WebDAV's PROPFIND answers, and what nginx's autoindex writes in JSON.

Of each entry only the last component of its name counts, so nothing listed can point out of its directory. The
identity of a file is its ETag, in quotes, or else its mtime and size; an answer to a GET shows the one and the other.

Source: RFC 4918, "PROPFIND Method"; nginx, ngx_http_autoindex_module, "autoindex_format json".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from replication.errors import UnavailableError
from replication.ltx.file_info import EPOCH

PROPFIND_BODY = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>"
)

_DAV = "{DAV:}"
_OK = "200"


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file of a directory; `modified` is in whole seconds."""

    name: str
    size: int
    modified: datetime
    identity: str


def parse_multistatus(what: str, body: bytes) -> list[WebFile]:
    """Return the files, not the directories, that an answer to PROPFIND lists.

    Raises:
        UnavailableError: it is something else, or broken.

    """
    responses = _Responses()
    parser = ET.XMLParser(target=responses)  # noqa: S314 - no entities without a document type
    try:
        parser.feed(body)
        root = parser.close()
    except (ET.ParseError, ValueError, LookupError) as error:
        msg = f"{what}: expected a listing in XML, got something else"
        raise UnavailableError(msg) from error
    if root is None or root.tag != f"{_DAV}multistatus":
        msg = f"{what}: expected a multistatus of WebDAV, got something else"
        raise UnavailableError(msg)
    return responses.files


def parse_autoindex(what: str, body: bytes) -> list[WebFile] | None:
    """Return the files, not the directories, that nginx lists in JSON, or None if it is no such listing.

    Raises:
        UnavailableError: it begins like one, and is broken.

    """
    if not body.lstrip().startswith(b"["):
        return None
    try:
        entries = json.loads(body)
        return [_file_of_entry(entry) for entry in entries if entry["type"] == "file"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        msg = f"{what}: expected a listing in JSON as nginx writes it, got something else"
        raise UnavailableError(msg) from error


def answer_matches(identity: str, headers: Mapping[str, str], size: int | None) -> bool:
    """Say whether an answer to a GET is of the file of this identity, as far as its headers tell."""
    if identity.startswith('"'):
        etag = normal_etag(headers.get("etag", ""))
        return etag in {"", identity}
    modified = _parse_time(headers.get("last-modified", ""))
    return modified is None or size is None or _identity("", modified, size) == identity


def answer_identity(headers: Mapping[str, str], size: int | None) -> str:
    """Return the identity of the file that an answer to a GET is of, empty if it does not tell."""
    modified = _parse_time(headers.get("last-modified", ""))
    return _identity(headers.get("etag", ""), modified, -1 if size is None else size)


def whole_size(headers: Mapping[str, str]) -> int | None:
    """Return the size of the file that an answer to a GET is of, or None if it does not tell."""
    text = headers.get("content-length", "")
    if "content-range" in headers:
        text = headers["content-range"].rpartition("/")[2]
    return int(text) if text.isdecimal() else None


def normal_etag(text: str) -> str:
    """Return an ETag in quotes, weak or not, however the server writes it; empty for none.

    >>> normal_etag('W/"a"'), normal_etag("a"), normal_etag("")
    ('"a"', '"a"', '')
    """
    value = text.strip().removeprefix("W/").strip('"')
    return f'"{value}"' if value else ""


def parse_date(headers: Mapping[str, str]) -> datetime | None:
    """Return the server's time of an answer, or None."""
    return _parse_time(headers.get("date", ""))


class _Responses(ET.TreeBuilder):
    """Takes the files out of a listing entry by entry, so that the tree stays small.

    A document type is refused, so that no entity can be declared.
    """

    def __init__(self) -> None:
        super().__init__()
        self.files: list[WebFile] = []

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        del pubid, system
        msg = f"document type {name[:20]!r}"
        raise ValueError(msg)

    def end(self, tag: str) -> ET.Element:
        element = super().end(tag)
        if tag == f"{_DAV}response":
            file = _file_of_response(element)
            if file is not None:
                self.files.append(file)
            element.clear()
        return element


def _file_of_response(response: ET.Element) -> WebFile | None:
    """Return the file of one entry, or None if it is a directory, or nothing is told of it."""
    name = _last_component(response.findtext(f"{_DAV}href", ""))
    for propstat in response.iterfind(f"{_DAV}propstat"):
        if _OK not in propstat.findtext(f"{_DAV}status", _OK).split():
            continue
        prop = propstat.find(f"{_DAV}prop")
        if prop is None or prop.find(f"{_DAV}resourcetype/{_DAV}collection") is not None:
            return None
        size = prop.findtext(f"{_DAV}getcontentlength", "").strip()
        modified = _parse_time(prop.findtext(f"{_DAV}getlastmodified", ""))
        identity = _identity(prop.findtext(f"{_DAV}getetag", ""), modified, int(size) if size.isdecimal() else -1)
        return WebFile(name, int(size), modified or EPOCH, identity) if name and size.isdecimal() else None
    return None


def _file_of_entry(entry: Mapping[str, object]) -> WebFile:
    name, size = entry["name"], entry["size"]
    if not isinstance(name, str) or isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise TypeError
    modified = _parse_time(str(entry.get("mtime", "")))
    return WebFile(name.rpartition("/")[2], size, modified or EPOCH, _identity("", modified, size))


def _last_component(href: str) -> str:
    try:
        path = urlsplit(href.strip()).path
    except ValueError:
        return ""
    return unquote(path.rstrip("/").rpartition("/")[2])


def _identity(etag: str, modified: datetime | None, size: int) -> str:
    """Return an identity, empty where nothing is known that could be one."""
    if found := normal_etag(etag):
        return found
    return "" if modified is None or size < 0 else f"{int(modified.timestamp()):x}-{size:x}"


def _parse_time(text: str) -> datetime | None:
    """Return the time of a header or property, or None if it is none."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
