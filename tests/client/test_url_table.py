"""The URL helpers answer as those of the Go program do, function by function.

Each row names the line of replica_url.go that it follows, as of litestream 0.5.17; what `url.Parse` refuses follows
line 90. The answers for `file:` URLs, and which of the others are refused, were seen with the program too. Where ours
differ on purpose, the row says what ours is and why.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from replication.client import endpoints
from replication.client.url_parse import (
    bool_query_value,
    clean_replica_url_path,
    is_url,
    parse_replica_url,
    region_from_s3_arn,
    replica_type_from_url,
)
from replication.errors import UsageError

ARN = "arn:aws:s3:us-east-2:123456789012:accesspoint/name"
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """What the Go function answers, at which line; and what ours does, if it differs, and why."""

    function: Callable[[str], object]
    given: str
    go: object
    line: int
    ours: object = None
    why: str = ""


def parse(url: str) -> tuple[str, str, str]:
    """As ParseReplicaURL."""
    parsed = parse_replica_url(url)
    return parsed.scheme, parsed.host, parsed.path


def parse_with_query(url: str) -> tuple[dict[str, str], str, str]:
    """Return what ParseReplicaURLWithQuery gives besides: the query, user and password."""
    parsed = parse_replica_url(url)
    return dict(parsed.query), parsed.username, parsed.password


def bool_of(query: str) -> bool | None:
    """As BoolQueryValue for the names `a` and `b`; None is its "not given"."""
    return bool_query_value(parse_replica_url(f"s3://bucket/path?{query}").query, "a", "b")


NO_PATH = "the Go program makes the key ./0000/… of it, which is no name that a store keeps"
NO_SILENCE = "what is left out in silence is not what was meant"

URLS = [
    Row(parse, "s3://bucket/a/b", ("s3", "bucket", "a/b"), 106),
    Row(parse, "S3://Bucket/A/b", ("s3", "Bucket", "A/b"), 106),
    Row(parse, "s3://bucket/", ("s3", "bucket", ""), 106),
    Row(parse, "s3://bucket", ("s3", "bucket", "."), 106, ("s3", "bucket", ""), NO_PATH),
    Row(parse, "s3://bucket?region=x", ("s3", "bucket", "."), 106, ("s3", "bucket", ""), NO_PATH),
    Row(parse, "s3:bucket/a", ("s3", "", "."), 106, ("s3", "", ""), NO_PATH),
    Row(parse, "s3:/bucket/a", ("s3", "", "bucket/a"), 106),
    Row(parse, "s3:///a", ("s3", "", "a"), 106),
    Row(parse, "s3://bucket//a//./b/../c/", ("s3", "bucket", "a/c"), 106),
    Row(parse, "s3://bucket/../../a", ("s3", "bucket", "a"), 106),
    Row(parse, "s3://bucket/a%20b", ("s3", "bucket", "a b"), 106),
    Row(parse, "s3://bucket/a%2Fb", ("s3", "bucket", "a/b"), 106),
    Row(parse, "s3://bucket/a+b", ("s3", "bucket", "a+b"), 106),
    Row(parse, "s3://bucket/ä/%C3%A4", ("s3", "bucket", "ä/ä"), 106),
    Row(parse, "s3://bucket/a#b", ("s3", "bucket", "a"), 106),
    Row(parse, "s3://bucket/a?b#c", ("s3", "bucket", "a"), 106),
    Row(parse, "s3://bucket./a", ("s3", "bucket.", "a"), 106),
    Row(parse, "s3://bucket.localhost:9000/a", ("s3", "bucket.localhost:9000", "a"), 106),
    Row(parse, "s3://bucket:/a", ("s3", "bucket:", "a"), 106),
    Row(parse, "s3://[::1]:9000/a", ("s3", "[::1]:9000", "a"), 106),
    Row(parse, "s3://a:b:9000/a", ("s3", "a:b:9000", "a"), 106),
    Row(parse, "s3://b_u.c-k~et/a", ("s3", "b_u.c-k~et", "a"), 106),
    Row(parse, "sftp://user:pw@host:22/a", ("sftp", "host:22", "a"), 106),
    Row(parse, "abs://account@container/a", ("abs", "container", "a"), 106),
    Row(parse, "nats://localhost:4222/bucket", ("nats", "localhost:4222", "bucket"), 106),
    Row(parse, "webdavs://host/a", ("webdavs", "host", "a"), 106),
    Row(parse, "a1+.-://host/a", ("a1+.-", "host", "a"), 106),
    Row(parse, "s3://host:70000/a", ("s3", "host:70000", "a"), 106, REFUSED, "no server has that port"),
    Row(parse, "", REFUSED, 103),
    Row(parse, "/a/b", REFUSED, 103),
    Row(parse, "bucket", REFUSED, 103),
    Row(parse, "//host/a", REFUSED, 103),
    Row(parse, "://host/a", REFUSED, 90),
    Row(parse, "1s3://host/a", REFUSED, 90),
    Row(parse, "s_3://host/a", REFUSED, 90),
    Row(parse, "s3://host:port/a", REFUSED, 90),
    Row(parse, "s3://[::1/a", REFUSED, 90),
    Row(parse, "s3://[::1]x/a", REFUSED, 90),
    Row(parse, "s3://bu cket/a", REFUSED, 90),
    Row(parse, "s3://bu%20cket/a", REFUSED, 90),
    Row(parse, "s3://bucket/100%", REFUSED, 90),
    Row(parse, "s3://bucket/%zz", REFUSED, 90),
    Row(parse, "s3://bucket/a\nb", REFUSED, 90),
    Row(parse, " s3://bucket/a", REFUSED, 90),
    Row(parse, "s3://us er@bucket/a", REFUSED, 90),
    Row(parse, "s3://user:50%@bucket/a", REFUSED, 90),
    Row(parse, "s3://user:sec/ret@bucket/a", REFUSED, 90),
]

FILES = [
    Row(parse, "file:///a/b", ("file", "", "/a/b"), 100),
    Row(parse, "FILE:///a/b", ("file", "", "/a/b"), 100),
    Row(parse, "file:/a/b", ("file", "", "/a/b"), 100),
    Row(parse, "file:////a//b/../c/", ("file", "", "/a/c"), 100),
    Row(parse, "file:///", ("file", "", "/"), 100),
    Row(parse, "file:///a/b/?x=1", ("file", "", "/a/b"), 99),
    Row(parse, "file:///a/b?", ("file", "", "/a/b?"), 100),
    Row(parse, "file:///a/b#", ("file", "", "/a/b"), 100),
    Row(parse, "file:///a%20b#c?d=1", ("file", "", "/a%20b#c?d=1"), 100),
    Row(parse, "file:///a#b c", ("file", "", "/a#b%20c"), 100),
    Row(parse, "file:///a b", ("file", "", "/a%20b"), 100),
    Row(parse, "file:///a%2Fb", ("file", "", "/a%2Fb"), 100),
    Row(parse, "file:///a%2Fb c", ("file", "", "/a/b%20c"), 100),
    Row(parse, "file:///a!b", ("file", "", "/a!b"), 100),
    Row(parse, "file:///a!b c", ("file", "", "/a%21b%20c"), 100),
    Row(parse, "file:///ä", ("file", "", "/%C3%A4"), 100),
    # These four are surprising: a host becomes a directory under /, and two URLs name the current directory.
    Row(parse, "file://rel", ("file", "", "/rel"), 100),
    Row(parse, "file://host/x", ("file", "", "/host/x"), 100),
    Row(parse, "file://user@host:1/x", ("file", "", "/user@host:1/x"), 100),
    Row(parse, "file://", ("file", "", "."), 100),
    Row(parse, "file:", ("file", "", "."), 100),
    Row(parse, "file:a/../b", ("file", "", "b"), 100),
    Row(parse, "file:///100%", REFUSED, 90),
    Row(parse, "file://host:x/a", REFUSED, 90),
    Row(parse_with_query, "file://user:pw@host/x?a=1", ({}, "", ""), 100),
]

QUERIES = [
    Row(parse_with_query, "s3://bucket/a", ({}, "", ""), 106),
    Row(parse_with_query, "s3://bucket?a=1", ({"a": "1"}, "", ""), 106),
    Row(parse_with_query, "s3://bucket/a?x=1&x=2&y=", ({"x": "1", "y": ""}, "", ""), 106),
    Row(parse_with_query, "s3://bucket/a?x=a+b%2B&&y", ({"x": "a b+", "y": ""}, "", ""), 106),
    Row(parse_with_query, "s3://bucket/a?x=http://h:1/?y", ({"x": "http://h:1/?y"}, "", ""), 106),
    Row(parse_with_query, "s3://key:se%2Fc%40r@bucket/a", ({}, "key", "se/c@r"), 106),
    Row(parse_with_query, "s3://a@b:c@bucket/a", ({}, "a@b", "c"), 106),
    Row(parse_with_query, "s3://key@bucket/a", ({}, "key", ""), 106),
    Row(parse_with_query, "s3://:secret@bucket/a", ({}, "", "secret"), 106),
    Row(parse_with_query, "s3://@bucket/a", ({}, "", ""), 106),
    Row(parse_with_query, "s3://bucket/a?x=1;y=2&z=3", ({"z": "3"}, "", ""), 106, REFUSED, NO_SILENCE),
    Row(parse_with_query, "s3://bucket/a?x=%zz&z=3", ({"z": "3"}, "", ""), 106, REFUSED, NO_SILENCE),
]

ACCESS_POINTS = [
    Row(parse, f"s3://{ARN}", ("s3", ARN, ""), 159),
    Row(parse, f"s3://{ARN}/", ("s3", ARN, ""), 165),
    Row(parse, f"s3://{ARN}/a//b/", ("s3", ARN, "a/b"), 139),
    Row(parse, f"S3://{ARN}/a", ("s3", ARN, "a"), 85),
    Row(parse, f"s3://{ARN.upper()}/a", ("s3", ARN.upper(), "a"), 144),
    Row(parse, f"s3://{ARN}/a%20b", ("s3", ARN, "a%20b"), 164),
    Row(parse, f"s3://{ARN}/a#b", ("s3", ARN, "a#b"), 164),
    Row(parse, f"s3://{ARN}?region=x", ("s3", ARN, ""), 121),
    Row(parse_with_query, f"s3://{ARN}/a?sign-payload=true&key=", ({"sign-payload": "true", "key": ""}, "", ""), 133),
    Row(parse_with_query, f"s3://{ARN}/a?", ({}, "", ""), 132),
    Row(parse, f"s3://{ARN}/a?x=%zz", REFUSED, 135),
    Row(parse, f"s3://{ARN}/a?x=1;y=2", REFUSED, 135),
    Row(parse, "s3://arn:aws:s3:::bucket/a", REFUSED, 148),
    Row(parse, "s3://arn:", REFUSED, 148),
    Row(parse, "s3://arn:x:accesspoint/", REFUSED, 153),
    Row(parse, "s3://arn:x:accesspoint//a", ("s3", "arn:x:accesspoint/", "a"), 165, REFUSED, "it has no name"),
]

TYPES = [
    Row(replica_type_from_url, "s3://b/a", "s3", 68),
    Row(replica_type_from_url, "GS://b/a", "gs", 68),
    Row(replica_type_from_url, "abs://b/a", "abs", 68),
    Row(replica_type_from_url, "file:///a", "file", 68),
    Row(replica_type_from_url, "webdavs://h/a", "webdav", 66),
    Row(replica_type_from_url, "webdav://h", "webdav", 68),
    Row(replica_type_from_url, f"s3://{ARN}", "s3", 68),
    Row(replica_type_from_url, "rook-ceph-rgw:8080", "", 59),
    Row(replica_type_from_url, "file:/a", "", 59),
    Row(replica_type_from_url, "/a", "", 59),
    Row(replica_type_from_url, "", "", 59),
    Row(replica_type_from_url, "1s3://b", "", 63),
    Row(replica_type_from_url, "s_3://b", "", 63),
    Row(replica_type_from_url, "s3://b:port/a", "", 63),
    Row(replica_type_from_url, "s3://arn:x", "", 63),
    Row(is_url, "s3://b", True, 431),
    Row(is_url, "file:///a", True, 431),
    Row(is_url, "a://", True, 431),
    Row(is_url, "A_1://x", True, 431),
    Row(is_url, "s3:/b", False, 431),
    Row(is_url, "://b", False, 431),
    Row(is_url, "a+b://c", False, 431),
    Row(is_url, "ä://c", False, 431),
    Row(is_url, " s3://b", False, 431),
    Row(is_url, "/a", False, 431),
    Row(is_url, "", False, 431),
]

TEXTS = [
    Row(clean_replica_url_path, "", "", 171),
    Row(clean_replica_url_path, "/", "", 174),
    Row(clean_replica_url_path, ".", "", 173),
    Row(clean_replica_url_path, "./a", "a", 173),
    Row(clean_replica_url_path, "//a//b/", "a/b", 178),
    Row(clean_replica_url_path, "/a/../../b/", "b", 178),
    Row(clean_replica_url_path, "a b%20", "a b%20", 178),
    Row(bool_of, "", None, 208),
    Row(bool_of, "b=true", True, 200),
    Row(bool_of, "a=&b=1", True, 200),
    Row(bool_of, "a=T", True, 200),
    Row(bool_of, "a=YES", True, 200),
    Row(bool_of, "a=no&b=1", False, 202),
    Row(bool_of, "a=F", False, 202),
    Row(bool_of, "a=on", False, 204),
    Row(bool_of, "a=+true", False, 204),
    Row(bool_of, "a=false&a=true", False, 202),
    Row(region_from_s3_arn, ARN, "us-east-2", 185),
    Row(region_from_s3_arn, "arn:aws:s3::1:accesspoint/x", "", 185),
    Row(region_from_s3_arn, "a:b:c:d", "d", 185),
    Row(region_from_s3_arn, "arn:aws:s3", "", 187),
    Row(region_from_s3_arn, "", "", 187),
]

PROVIDERS = [
    Row(endpoints.is_hetzner_endpoint, "fsn1.your-objectstorage.com", True, 236),
    Row(endpoints.is_hetzner_endpoint, "https://NBG1.your-objectstorage.com/", True, 236),
    Row(endpoints.is_hetzner_endpoint, "fsn1.your-objectstorage.com:443", False, 236),
    Row(endpoints.is_hetzner_endpoint, "your-objectstorage.com", False, 236),
    Row(endpoints.is_tigris_endpoint, "fly.storage.tigris.dev", True, 242),
    Row(endpoints.is_tigris_endpoint, "https://T3.storage.dev/", True, 242),
    Row(endpoints.is_tigris_endpoint, " t3.storage.dev ", True, 409),
    Row(endpoints.is_tigris_endpoint, "t3.storage.dev.", False, 242),
    Row(endpoints.is_tigris_endpoint, "x.tigris.dev", False, 242),
    Row(endpoints.is_tigris_endpoint, "https://user@t3.storage.dev", False, 416),
    Row(endpoints.is_tigris_endpoint, "user:pw@t3.storage.dev", False, 422),
    Row(endpoints.is_google_cloud_storage_endpoint, "https://STORAGE.googleapis.com:443/a", True, 273),
    Row(endpoints.is_google_cloud_storage_endpoint, "https://storage.googleapis.com.", True, 251),
    Row(endpoints.is_google_cloud_storage_endpoint, "storage.me-central2.rep.googleapis.com", True, 273),
    Row(endpoints.is_google_cloud_storage_endpoint, "storage-mine.p.googleapis.com", True, 273),
    Row(endpoints.is_google_cloud_storage_endpoint, "x.storage.googleapis.com", False, 267),
    Row(endpoints.is_google_cloud_storage_endpoint, "storage..googleapis.com", False, 261),
    Row(endpoints.is_google_cloud_storage_endpoint, "storage.googleapis.com.evil.com", False, 257),
    Row(endpoints.is_google_cloud_storage_endpoint, "googleapis.com", False, 257),
    Row(endpoints.is_google_cloud_storage_endpoint, "compute.googleapis.com", False, 276),
    Row(endpoints.is_google_cloud_storage_endpoint, "", False, 257),
    Row(endpoints.is_digital_ocean_endpoint, "https://nyc3.digitaloceanspaces.com", True, 285),
    Row(endpoints.is_digital_ocean_endpoint, "digitaloceanspaces.com", False, 285),
    Row(endpoints.is_backblaze_endpoint, "https://s3.us-west-002.backblazeb2.com", True, 294),
    Row(endpoints.is_backblaze_endpoint, "backblazeb2.com", False, 294),
    Row(endpoints.is_filebase_endpoint, "http://s3.filebase.com/x", True, 303),
    Row(endpoints.is_filebase_endpoint, "x.s3.filebase.com", False, 303),
    Row(endpoints.is_scaleway_endpoint, "s3.fr-par.scw.cloud", True, 312),
    Row(endpoints.is_scaleway_endpoint, "scw.cloud", False, 312),
    Row(endpoints.is_cloudflare_r2_endpoint, "abc.r2.cloudflarestorage.com", True, 321),
    Row(endpoints.is_cloudflare_r2_endpoint, "r2.cloudflarestorage.com", False, 321),
    Row(endpoints.is_supabase_endpoint, "https://x.supabase.co/storage/v1/s3", True, 330),
    Row(endpoints.is_supabase_endpoint, "x.supabase.co/storage/v1/s3", False, 330),
    Row(endpoints.is_minio_endpoint, "localhost:9000", True, 357),
    Row(endpoints.is_minio_endpoint, "http://[::1]:9000", True, 357),
    Row(endpoints.is_minio_endpoint, "http://minio.example", False, 343),
    Row(endpoints.is_minio_endpoint, "x.supabase.co:443", False, 355),
    Row(endpoints.is_minio_endpoint, "https://s3.amazonaws.com:443", False, 355),
    Row(endpoints.is_minio_endpoint, "user:pw@minio:9000", False, 338),
    Row(endpoints.is_minio_endpoint, "", False, 338),
]

PUBLIC = "that network is public, so keys shall not go there unencrypted"
ADDRESSES = [
    Row(endpoints.is_local_endpoint, "localhost", True, 373),
    Row(endpoints.is_local_endpoint, "https://LOCALHOST:9000/x", True, 373),
    Row(endpoints.is_local_endpoint, "localhost:9000/x", True, 373),
    Row(endpoints.is_local_endpoint, "localhost/x", False, 373),
    Row(endpoints.is_local_endpoint, "localhost.", False, 373),
    Row(endpoints.is_local_endpoint, "localhost.com", False, 373),
    Row(endpoints.is_local_endpoint, "http://127.0.0.1:9", True, 374),
    Row(endpoints.is_local_endpoint, "127.0.0.2", False, 374),
    Row(endpoints.is_local_endpoint, "192.168.1.1:9000", True, 375),
    Row(endpoints.is_local_endpoint, "10.0.0.1", True, 376),
    Row(endpoints.is_local_endpoint, "172.16.0.1:9000", True, 377),
    Row(endpoints.is_local_endpoint, "172.20.0.1", True, 381),
    Row(endpoints.is_local_endpoint, "172.2.0.1", True, 381, False, PUBLIC),
    Row(endpoints.is_local_endpoint, "172.200.0.1", True, 381, False, PUBLIC),
    Row(endpoints.is_local_endpoint, "172.31.9.9:1", True, 383),
    Row(endpoints.is_local_endpoint, "172.32.0.1", False, 383),
    Row(endpoints.is_local_endpoint, "172.15.0.1", False, 377),
    Row(endpoints.is_local_endpoint, "a.local:1", True, 384),
    Row(endpoints.is_local_endpoint, "a.localhost", True, 385),
    Row(endpoints.is_local_endpoint, "[::1]:9000", False, 373),
    Row(endpoints.is_local_endpoint, "user:pw@localhost:9000", False, 366),
    Row(endpoints.is_local_endpoint, "", False, 366),
    Row(endpoints.ensure_endpoint_scheme, "", "", 394),
    Row(endpoints.ensure_endpoint_scheme, "http://s3.example.com", "http://s3.example.com", 397),
    Row(endpoints.ensure_endpoint_scheme, "https://localhost", "https://localhost", 397),
    Row(endpoints.ensure_endpoint_scheme, "localhost:9000", "http://localhost:9000", 401),
    Row(endpoints.ensure_endpoint_scheme, "10.1.2.3", "http://10.1.2.3", 401),
    Row(endpoints.ensure_endpoint_scheme, "Minio.Local:9000", "http://Minio.Local:9000", 401),
    Row(endpoints.ensure_endpoint_scheme, "s3.example.com", "https://s3.example.com", 403),
    Row(endpoints.ensure_endpoint_scheme, "[::1]:9000", "https://[::1]:9000", 403),
    Row(endpoints.ensure_endpoint_scheme, "user:pw@localhost:9000", "https://user:pw@localhost:9000", 403),
]

ROWS = [*URLS, *FILES, *QUERIES, *ACCESS_POINTS, *TYPES, *TEXTS, *PROVIDERS, *ADDRESSES]


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.function.__name__} {row.given!r} replica_url.go:{row.line}"
)
def test_a_helper_answers_as_the_go_function_does(row: Row) -> None:
    expected = row.ours if row.why else row.go
    if expected == REFUSED:
        with pytest.raises(UsageError):
            row.function(row.given)
    else:
        assert row.function(row.given) == expected
    assert not row.why or row.ours != row.go


def test_the_table_has_a_hundred_rows_and_repeats_none() -> None:
    assert len({(row.function, row.given) for row in ROWS}) == len(ROWS) >= 100
