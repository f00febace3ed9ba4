"""Each provider that speaks S3 is talked to as the Go program does, by its endpoint or its host.

Each row names the line of s3/replica_client.go that it follows, as of litestream 0.5.17. Endpoints and hosts are told
apart as `test_url_table.py` has it.
"""

import pytest

from replication.client.s3_config import TIGRIS_HEADERS, s3_config
from replication.client.url_parse import parse_replica_url

ARN = "arn:aws:s3:us-east-2:123456789012:accesspoint/name"
ENDPOINT = "s3://bucket/path?endpoint="
# `require_content_md5` None is the default, which the Go program writes as True.
DEFAULTS: dict[str, object] = {
    "sign_payload": True,
    "path_style": False,
    "require_content_md5": None,
    "concurrency": 5,
    "headers": (),
}
OF_ENDPOINT: dict[str, object] = {**DEFAULTS, "path_style": True}
OF_TIGRIS: dict[str, object] = {**OF_ENDPOINT, "require_content_md5": False, "headers": TIGRIS_HEADERS}

SETTINGS: list[tuple[str, dict[str, object], int]] = [
    # What a URL sets, and the line of s3/replica_client.go.
    ("s3://bucket/path", {**DEFAULTS, "endpoint": "", "region": ""}, 130),
    (f"{ENDPOINT}https://fly.storage.tigris.dev", OF_TIGRIS, 257),
    (f"{ENDPOINT}t3.storage.dev", OF_TIGRIS, 257),
    (f"{ENDPOINT}t3.storage.dev&requireContentMD5=true", {**OF_TIGRIS, "require_content_md5": True}, 262),
    (f"{ENDPOINT}t3.storage.dev&sign-payload=false", {**OF_TIGRIS, "sign_payload": False}, 259),
    (f"{ENDPOINT}https://fsn1.your-objectstorage.com", OF_ENDPOINT, 266),
    (f"{ENDPOINT}https://sfo3.digitaloceanspaces.com", OF_ENDPOINT, 266),
    (f"{ENDPOINT}https://s3.fr-par.scw.cloud", OF_ENDPOINT, 266),
    (f"{ENDPOINT}https://storage.googleapis.com", OF_ENDPOINT, 173),
    (f"{ENDPOINT}s3.filebase.com", {**OF_ENDPOINT, "endpoint": "https://s3.filebase.com"}, 274),
    (f"{ENDPOINT}s3.us-west-002.backblazeb2.com", OF_ENDPOINT, 274),
    (f"{ENDPOINT}s3.us-west-002.backblazeb2.com&forcePathStyle=false", DEFAULTS, 272),
    (f"{ENDPOINT}localhost:9000", {**OF_ENDPOINT, "endpoint": "http://localhost:9000"}, 274),
    (f"{ENDPOINT}https://x.supabase.co/storage/v1/s3", OF_ENDPOINT, 274),
    (f"{ENDPOINT}abc.r2.cloudflarestorage.com", {**OF_ENDPOINT, "concurrency": 2}, 278),
    (f"{ENDPOINT}abc.r2.cloudflarestorage.com&concurrency=7", {**OF_ENDPOINT, "concurrency": 7}, 296),
    (f"{ENDPOINT}localhost:9000&force-path-style=no", {**DEFAULTS, "endpoint": "http://localhost:9000"}, 185),
    (f"{ENDPOINT}localhost:9000&region=r", {**OF_ENDPOINT, "region": "r"}, 182),
    (f"s3://{ARN}/path", {**DEFAULTS, "bucket": ARN, "region": "us-east-2"}, 165),
    (f"s3://{ARN}/path?region=r", {**DEFAULTS, "bucket": ARN, "region": "r"}, 182),
    # Hosts.
    ("s3://b.localhost:9000/path", {**OF_ENDPOINT, "bucket": "b", "endpoint": "http://localhost:9000"}, 1793),
    ("s3://b.minio.example.org:9000/path", {"bucket": "b", "endpoint": "http://minio.example.org:9000"}, 1793),
    ("s3://b.minio.example.org:9000/path", {"region": "us-east-1", "path_style": True}, 1794),
    ("s3://b.s3.amazonaws.com/path", {**DEFAULTS, "bucket": "b", "region": "", "endpoint": ""}, 1807),
    ("s3://b.s3.eu-west-1.amazonaws.com/path", {"bucket": "b", "region": "eu-west-1", "endpoint": ""}, 1805),
    ("s3://b.nyc3.digitaloceanspaces.com/path", {**DEFAULTS, "bucket": "b", "region": "nyc3"}, 1811),
    ("s3://b.s3.us-west-002.backblazeb2.com/path", {**OF_ENDPOINT, "bucket": "b", "region": "us-west-002"}, 1816),
    ("s3://b.s3.filebase.com/path", {**OF_ENDPOINT, "bucket": "b", "region": ""}, 274),
    ("s3://b.s3.fr-par.scw.cloud/path", {**DEFAULTS, "bucket": "b", "region": "fr-par"}, 1825),
    ("s3://b.fsn1.your-objectstorage.com/path", {"bucket": "b.fsn1.your-objectstorage.com", "endpoint": ""}, 1829),
]


@pytest.mark.parametrize(("url", "expected", "line"), SETTINGS, ids=lambda value: str(value)[:60])
def test_a_provider_is_talked_to_as_by_the_go_program(url: str, expected: dict[str, object], line: int) -> None:
    assert line
    config = s3_config(parse_replica_url(url), {}, {})
    assert {name: getattr(config, name) for name in expected} == expected


def test_the_environment_s_endpoint_is_for_urls_that_name_none() -> None:
    # s3/replica_client.go:236
    environ = {"LITESTREAM_S3_ENDPOINT": "localhost:1"}
    assert s3_config(parse_replica_url("s3://b/p"), {}, environ).endpoint == "http://localhost:1"
    assert s3_config(parse_replica_url("s3://b.localhost:2/p"), {}, environ).endpoint == "http://localhost:2"
    assert s3_config(parse_replica_url("s3://b/p?endpoint=localhost:3"), {}, environ).endpoint == "http://localhost:3"
