"""Listings of web servers: what real ones write, what none should, and that any bytes give a listing or our error."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.client.web_listing import (
    WebFile,
    answer_identity,
    answer_matches,
    parse_autoindex,
    parse_multistatus,
    whole_size,
)
from replication.clock import from_timestamp_ms
from replication.errors import UnavailableError
from replication.ltx.file_info import EPOCH

MODIFIED = "Sun, 22 Nov 2026 08:31:03 GMT"
INSTANT = from_timestamp_ms(1_795_336_263_000)
IDENTITY = "6b02a847-3e8"


def multistatus(*responses: str) -> bytes:
    return f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{"".join(responses)}</D:multistatus>'.encode()


def response(href: str, props: str, status: str = "HTTP/1.1 200 OK") -> str:
    propstat = f"<D:propstat><D:prop>{props}</D:prop><D:status>{status}</D:status></D:propstat>"
    return f"<D:response><D:href>{href}</D:href>{propstat}</D:response>"


FILE = (
    f"<D:resourcetype/><D:getcontentlength>1000</D:getcontentlength><D:getlastmodified>{MODIFIED}</D:getlastmodified>"
)
DIRECTORY = "<D:resourcetype><D:collection/></D:resourcetype>"


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("/base/ltx/0/a.ltx", "a.ltx"),
        ("http://other:80/base/a.ltx?x=y", "a.ltx"),
        ("a.ltx", "a.ltx"),
        ("/base/%61%2Eltx", "a.ltx"),
        ("/base/..%2F..%2Fa.ltx", "../../a.ltx"),
        ("\n /base/&#97;.ltx\n", "a.ltx"),
    ],
)
def test_of_an_href_the_last_component_counts(href: str, name: str) -> None:
    assert parse_multistatus("L", multistatus(response(href, FILE))) == [WebFile(name, 1000, INSTANT, IDENTITY)]


@pytest.mark.parametrize(
    ("etag", "identity"),
    [('"abc"', '"abc"'), ("abc", '"abc"'), ('W/"abc"', '"abc"'), ("&quot;a-b&quot;", '"a-b"'), ("", IDENTITY)],
)
def test_the_identity_is_the_etag_or_else_mtime_and_size(etag: str, identity: str) -> None:
    (file,) = parse_multistatus("L", multistatus(response("/a", f"{FILE}<D:getetag>{etag}</D:getetag>")))
    assert file.identity == identity


def test_directories_failures_and_what_has_no_size_are_passed_over() -> None:
    listed = multistatus(
        response("/base/", DIRECTORY),
        response("/base/gone", FILE, "HTTP/1.1 404 Not Found"),
        response("/base/unknown", "<D:resourcetype/>"),
        response("/base/odd", "<D:getcontentlength>-1</D:getcontentlength>"),
        "<D:response><D:href>/base/none</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>",
        response("/", FILE),
        response("http://[::bad/a", FILE),
        "<D:response/>",
        response("/base/plain", "<D:getcontentlength> 7 </D:getcontentlength>"),
    )
    assert parse_multistatus("L", listed) == [WebFile("plain", 7, EPOCH, "")]


def test_properties_that_were_not_found_stand_beside_those_that_were() -> None:
    missing = "<D:propstat><D:prop><D:getetag/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>"
    text = response("/a", FILE).replace("<D:propstat>", f"{missing}<D:propstat>", 1)
    assert parse_multistatus("L", multistatus(text)) == [WebFile("a", 1000, INSTANT, IDENTITY)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b"<multistatus/>",
        multistatus(response("/a", FILE))[:-20],
        b'<!DOCTYPE m [<!ENTITY a "b">]>' + multistatus()[21:],
        b'<!DOCTYPE m SYSTEM "file:///etc/passwd">' + multistatus()[21:],
        multistatus("&undeclared;"),
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>').encode("utf-16"),
    ],
)
def test_what_is_no_listing_in_xml_is_an_error(body: bytes) -> None:
    with pytest.raises(UnavailableError, match="PROPFIND /x: expected a"):
        parse_multistatus("PROPFIND /x", body)


def test_nginx_lists_in_json() -> None:
    entries = [
        {"name": "0", "type": "directory", "mtime": MODIFIED},
        {"name": "a.ltx", "type": "file", "mtime": MODIFIED, "size": 1000},
        {"name": "b", "type": "other", "mtime": MODIFIED},
    ]
    body = json.dumps(entries).encode()
    assert parse_autoindex("L", body) == [WebFile("a.ltx", 1000, INSTANT, IDENTITY)]
    assert parse_autoindex("L", b"\r\n[\r\n]") == []
    assert parse_autoindex("L", b"<html>") is None
    assert parse_autoindex("L", b"") is None


@given(st.one_of(st.binary(), st.binary().map(lambda data: b"[" + data), st.binary().map(lambda data: b"<a>" + data)))
def test_any_bytes_are_a_listing_or_an_error_of_ours(body: bytes) -> None:
    for parse in (parse_multistatus, parse_autoindex):
        with suppress(UnavailableError):
            parse("L", body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda values: st.lists(values) | st.dictionaries(st.sampled_from(["name", "type", "size", "mtime"]), values),
)


@given(st.lists(JSON))
def test_any_json_is_a_listing_or_an_error_of_ours(entries: list[object]) -> None:
    with suppress(UnavailableError):
        parse_autoindex("L", json.dumps(entries).encode())


def test_an_answer_is_held_against_the_identity_as_far_as_it_tells() -> None:
    headers = {"etag": 'W/"abc"', "last-modified": MODIFIED, "content-range": "bytes 0-9/1000", "content-length": "10"}
    assert whole_size(headers) == 1000
    assert answer_identity(headers, 1000) == '"abc"'
    assert answer_matches('"abc"', headers, 1000)
    assert answer_matches(IDENTITY, headers, 1000)
    assert not answer_matches('"abd"', headers, 1000)
    assert not answer_matches(IDENTITY, headers, 1001)
    assert not answer_matches(IDENTITY, {**headers, "last-modified": MODIFIED.replace("03", "04")}, 1000)
    assert answer_matches('"abd"', {}, None)
    assert answer_matches(IDENTITY, {}, 1001)
    assert (answer_identity({}, None), answer_identity({"last-modified": MODIFIED}, None)) == ("", "")
    assert whole_size({"content-range": "bytes 0-9/*"}) is None
    assert whole_size({"content-length": "12"}) == 12
    assert whole_size({}) is None
