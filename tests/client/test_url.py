"""URLs mean what they mean to the Go program; the tables are from its documentation and its source."""

import re

import pytest

from replication.client import endpoints
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.retry import RetryingClient
from replication.client.url import register_replica_client, replica_client
from replication.client.url_parse import (
    ReplicaURL,
    bool_query_value,
    clean_replica_url_path,
    is_url,
    parse_replica_url,
    region_from_s3_arn,
    replica_type_from_url,
)
from replication.errors import UsageError

ARN = "arn:aws:s3:us-east-2:123456789012:accesspoint/name"

PARTS = [
    ("s3://bucket/a/b", "s3", "bucket", "a/b"),
    ("s3://bucket", "s3", "bucket", ""),
    ("s3://bucket//a//./b/../c/", "s3", "bucket", "a/c"),
    ("s3://bucket/a%20b", "s3", "bucket", "a b"),
    ("s3://bucket.localhost:9000/a", "s3", "bucket.localhost:9000", "a"),
    (f"s3://{ARN}/a/b", "s3", ARN, "a/b"),
    (f"S3://{ARN}", "s3", ARN, ""),
    ("sftp://user:pw@host:22/a", "sftp", "host:22", "a"),
    ("abs://account@container/a", "abs", "container", "a"),
    # As tried with litestream 0.5.17: the escaped path is the path, and a host is its first directory.
    ("file:///a/b", "file", "", "/a/b"),
    ("file:///a/b/?x=1", "file", "", "/a/b"),
    ("file:///a b", "file", "", "/a%20b"),
    ("file:///a%20b#c?d=1", "file", "", "/a%20b#c?d=1"),
    ("file://var/a", "file", "", "/var/a"),
    ("file:///", "file", "", "/"),
]


@pytest.mark.parametrize(("url", "scheme", "host", "path"), PARTS)
def test_a_url_has_these_parts(url: str, scheme: str, host: str, path: str) -> None:
    parsed = parse_replica_url(url)
    assert (parsed.scheme, parsed.host, parsed.path) == (scheme, host, path)


def test_query_and_user_are_decoded_and_not_shown() -> None:
    parsed = parse_replica_url("s3://key:se%2Fcret@bucket/a?region=x&region=y&empty=")
    assert (parsed.username, parsed.password) == ("key", "se/cret")
    assert parsed.query == {"region": "x", "empty": ""}
    assert "cret" not in repr(parsed)
    assert "region" not in repr(parsed)


@pytest.mark.parametrize(
    "url", ["", "/a/b", "a/b", "bucket", "s3://arn:aws:s3:::bucket/a", "s3://arn:x:accesspoint/", "s3://h:port/a"]
)
def test_what_is_no_replica_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        parse_replica_url(url)


def test_a_broken_url_is_told_without_its_secrets() -> None:
    with pytest.raises(UsageError) as raised:
        parse_replica_url("s3://key:secret@host:port/a?sseCustomerKey=secret")
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("s3://b", True), ("file:///a", True), ("webdavs://h", True), ("/a", False), ("a://", True), ("s3:/b", False)],
)
def test_a_url_is_told_from_a_path(text: str, *, expected: bool) -> None:
    assert is_url(text) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [("s3://b/a", "s3"), ("webdavs://h/a", "webdav"), ("webdav://h", "webdav"), ("/a", ""), ("", "")],
)
def test_the_type_of_replica_is_the_scheme(url: str, expected: str) -> None:
    assert replica_type_from_url(url) == expected


@pytest.mark.parametrize(
    ("path", "expected"), [("", ""), ("/", ""), (".", ""), ("a//b", "a/b"), ("/a/../../b/", "b"), ("./a", "a")]
)
def test_a_path_is_cleaned(path: str, expected: str) -> None:
    assert clean_replica_url_path(path) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, None),
        ({"b": "true"}, True),
        ({"a": "", "b": "1"}, True),
        ({"a": "no", "b": "1"}, False),
        ({"a": "YES"}, True),
        ({"a": "what"}, False),
    ],
)
def test_the_first_truth_value_given_counts(query: dict[str, str], *, expected: bool | None) -> None:
    assert bool_query_value(query, "a", "b") is expected


def test_the_region_of_an_arn_is_its_fourth_part() -> None:
    assert region_from_s3_arn(ARN) == "us-east-2"
    assert region_from_s3_arn("arn:aws") == ""


ENDPOINTS = [
    (endpoints.is_tigris_endpoint, ["fly.storage.tigris.dev", "https://T3.storage.dev/"], ["x.tigris.dev"]),
    (endpoints.is_digital_ocean_endpoint, ["nyc3.digitaloceanspaces.com"], ["digitaloceanspaces.com"]),
    (endpoints.is_backblaze_endpoint, ["https://s3.us-west-002.backblazeb2.com"], ["backblazeb2.com"]),
    (endpoints.is_filebase_endpoint, ["s3.filebase.com"], ["x.s3.filebase.com"]),
    (endpoints.is_scaleway_endpoint, ["s3.fr-par.scw.cloud"], ["scw.cloud"]),
    (endpoints.is_cloudflare_r2_endpoint, ["abc.r2.cloudflarestorage.com"], ["r2.cloudflarestorage.com"]),
    (endpoints.is_supabase_endpoint, ["https://x.supabase.co"], ["supabase.co"]),
    (endpoints.is_minio_endpoint, ["localhost:9000", "http://minio.example:9000"], ["minio", "x.supabase.co:443"]),
    (
        endpoints.is_local_endpoint,
        ["localhost", "http://127.0.0.1:9", "10.0.0.1", "172.16.0.1", "172.31.9.9:1", "192.168.1.1", "a.local"],
        ["", "172.32.0.1", "172.15.0.1", "example.com", "localhost.com"],
    ),
]


@pytest.mark.parametrize(("is_it", "yes", "no"), ENDPOINTS)
def test_a_provider_is_known_by_its_host(is_it: object, yes: list[str], no: list[str]) -> None:
    assert callable(is_it)
    assert [is_it(endpoint) for endpoint in yes] == [True] * len(yes)
    assert [is_it(endpoint) for endpoint in no] == [False] * len(no)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("", ""),
        ("localhost:9000", "http://localhost:9000"),
        ("10.1.2.3", "http://10.1.2.3"),
        ("s3.example.com", "https://s3.example.com"),
        ("http://s3.example.com", "http://s3.example.com"),
    ],
)
def test_an_endpoint_without_a_scheme_is_https_unless_it_is_near(endpoint: str, expected: str) -> None:
    assert endpoints.ensure_endpoint_scheme(endpoint) == expected


def test_the_scheme_chooses_the_client() -> None:
    client = replica_client("file:///a/b", timeout_s=5)
    assert isinstance(client, FileReplicaClient)
    assert str(client.path) == "/a/b"
    s3 = replica_client("s3://key:secret@bucket/a")
    assert isinstance(s3, RetryingClient)
    assert (s3.type, s3.accurate_list_times) == ("s3", False)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("/a/b", "file:///a/b"),
        ("a/b", "file:///absolute/path"),
        ("webdavs://h/a", "webdavs:// are not supported yet"),
        ("foo://h/a", "known are abs://, file://"),
    ],
)
def test_a_url_without_a_client_says_what_there_is(url: str, text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(text)):
        replica_client(url)


def test_an_unknown_option_of_a_file_replica_is_named() -> None:
    with pytest.raises(UsageError, match=r"'timeout'; did you mean timeout_s\?"):
        replica_client("file:///a", timeout=5)


def test_a_scheme_can_be_registered() -> None:
    seen: list[tuple[ReplicaURL, dict[str, object]]] = []

    def make(url: ReplicaURL, options: object) -> MemoryReplicaClient:
        assert isinstance(options, dict)
        seen.append((url, options))
        return MemoryReplicaClient()

    register_replica_client("mine", make)
    assert replica_client("mine://host/a?x=1", size=3).type == "memory"
    assert seen == [(ReplicaURL("mine", "host", "a", {"x": "1"}), {"size": 3})]
