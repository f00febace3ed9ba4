"""The settings of an S3 replica: the URL forms and parameters of the Go program, options, environment, and refusals."""

import base64
from pathlib import Path

import pytest

from replication.client.s3_config import S3Config, s3_config
from replication.client.s3_host import bucket_endpoint
from replication.client.url_parse import parse_replica_url
from replication.errors import UsageError

KEY = base64.b64encode(b"k" * 32).decode()
KEY_MD5 = "mT2HRsMGJ5IX5C+0rreZ8Q=="
MIB = 2**20


def config(url: str, environ: dict[str, str] | None = None, **options: object) -> S3Config:
    return s3_config(parse_replica_url(url), options, environ or {})


def address(config: S3Config) -> str:
    region = config.region or "us-east-1"
    return bucket_endpoint(config.bucket, region, config.endpoint, path_style=config.path_style)


PLACES = [
    # url, bucket, region, path style, address
    ("s3://b/p", "b", "", False, "https://b.s3.us-east-1.amazonaws.com"),
    ("s3://b/p?region=eu-west-1", "b", "eu-west-1", False, "https://b.s3.eu-west-1.amazonaws.com"),
    ("s3://b/p?region=cn-north-1", "b", "cn-north-1", False, "https://b.s3.cn-north-1.amazonaws.com.cn"),
    ("s3://b/p?forcePathStyle=true", "b", "", True, "https://s3.us-east-1.amazonaws.com"),
    ("s3://b.with.dots/p", "b.with.dots", "", True, "https://s3.us-east-1.amazonaws.com"),
    ("s3://b.s3.amazonaws.com/p", "b", "", False, "https://b.s3.us-east-1.amazonaws.com"),
    ("s3://b.s3.eu-west-1.amazonaws.com/p", "b", "eu-west-1", False, "https://b.s3.eu-west-1.amazonaws.com"),
    ("s3://b.localhost:9000/p", "b", "us-east-1", True, "http://localhost:9000"),
    ("s3://b.10.0.0.5:9000/p", "b", "us-east-1", True, "http://10.0.0.5:9000"),
    ("s3://b.nyc3.digitaloceanspaces.com/p", "b", "nyc3", False, "https://b.nyc3.digitaloceanspaces.com"),
    ("s3://b.s3.us-west-002.backblazeb2.com/p", "b", "us-west-002", True, "https://s3.us-west-002.backblazeb2.com"),
    ("s3://b.s3.filebase.com/p", "b", "", True, "https://s3.filebase.com"),
    ("s3://b.s3.fr-par.scw.cloud/p", "b", "fr-par", False, "https://b.s3.fr-par.scw.cloud"),
    ("s3://b/p?endpoint=localhost:9000", "b", "", True, "http://localhost:9000"),
    ("s3://b/p?endpoint=s3.example.com", "b", "", True, "https://s3.example.com"),
    ("s3://b/p?endpoint=s3.example.com&forcePathStyle=false", "b", "", False, "https://b.s3.example.com"),
    ("s3://b/p?endpoint=s3.example.com&force-path-style=0", "b", "", False, "https://b.s3.example.com"),
    (
        "s3://arn:aws:s3:us-east-2:123456789012:accesspoint/name/p",
        "arn:aws:s3:us-east-2:123456789012:accesspoint/name",
        "us-east-2",
        False,
        "https://name-123456789012.s3-accesspoint.us-east-2.amazonaws.com",
    ),
]


@pytest.mark.parametrize("place", PLACES, ids=[place[0] for place in PLACES])
def test_a_url_leads_to_this_place(place: tuple[str, str, str, bool, str]) -> None:
    url, bucket, region, path_style, expected = place
    got = config(url)
    assert (got.bucket, got.path, got.region, got.path_style) == (bucket, "p", region, path_style)
    assert address(got) == expected


PARAMETERS = [
    ("skipVerify=true", "skip_verify", True),
    ("skip-verify=1", "skip_verify", True),
    ("signPayload=false", "sign_payload", False),
    ("sign-payload=no", "sign_payload", False),
    ("requireContentMD5=false", "require_content_md5", False),
    ("require-content-md5=true", "require_content_md5", True),
    ("concurrency=3", "concurrency", 3),
    ("partSize=8MiB", "part_size", 8 * MIB),
    ("part-size=10MB", "part_size", 10_000_000),
    ("part-size=6291456", "part_size", 6 * MIB),
    ("storageClass=STANDARD_IA", "storage_class", "STANDARD_IA"),
    ("storage-class=glacier_ir", "storage_class", "GLACIER_IR"),
    (f"sseCustomerKey={KEY.replace('+', '%2B')}&sseCustomerAlgorithm=AES256", "sse_customer_key", KEY),
    (f"sse-customer-key={KEY}&sse-customer-key-md5={KEY_MD5.replace('+', '%2B')}", "sse_customer_key", KEY),
    ("sseKmsKeyId=abc", "sse_kms_key_id", "abc"),
    ("endpoint=abc.r2.cloudflarestorage.com", "concurrency", 2),
    ("endpoint=fly.storage.tigris.dev", "require_content_md5", False),
    ("", "sign_payload", True),
    ("", "require_content_md5", None),
    ("", "concurrency", 5),
    ("", "part_size", 5 * MIB),
]


@pytest.mark.parametrize(("query", "name", "expected"), PARAMETERS)
def test_a_parameter_is_honoured(query: str, name: str, expected: object) -> None:
    assert getattr(config(f"s3://b/p?{query}"), name) == expected


REFUSALS = [
    ("regoin=x", "unknown parameter of the URL of an S3 replica 'regoin'; did you mean region?"),
    ("Region=x", "did you mean region?"),
    ("force_path_style=true", "did you mean force-path-style?"),
    ("accessKeyId=x", "unknown parameter"),
    ("forcePathStyle=perhaps", "expected true or false as force_path_style, got 'perhaps'"),
    ("concurrency=0", "a whole number from 1 on"),
    ("concurrency=many", "a whole number from 1 on"),
    ("partSize=1MiB", "at least 5242880 bytes"),
    ("partSize=big", "at least 5242880 bytes"),
    ("storageClass=a b", "a class like STANDARD_IA"),
    ("sseCustomerAlgorithm=AES128", "expected AES256"),
    ("sseCustomerAlgorithm=AES256", "need an sse_customer_key"),
    ("sseCustomerKey=c2hvcnQ=", "32 bytes in base64"),
    (f"sseCustomerKey={KEY}&sseCustomerKeyMD5=AAAA", "not the digest"),
    (f"sseCustomerKey={KEY}&sseKmsKeyId=abc", "exclude each other"),
    (f"sseCustomerKey={KEY}&endpoint=http://s3.example.com", "only over https"),
]


@pytest.mark.parametrize(("query", "text"), REFUSALS)
def test_a_wrong_parameter_is_named(query: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        config(f"s3://b/p?{query}")
    assert text in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["s3://localhost:9000/b/p", "s3:///p", "s3://nyc3.digitaloceanspaces.com/b/p", "s3://s3.filebase.com/p"]
)
def test_a_url_without_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="s3://bucket/path"):
        config(url)


def test_an_arn_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="accesspoint/NAME"):
        address(config("s3://arn:aws:s3::123456789012:accesspoint/global.mrap/p"))


def test_options_go_before_the_url_and_unknown_ones_are_named() -> None:
    assert config("s3://b/p?region=a&partSize=6MiB", region="c", part_size=7 * MIB, timeout_s=2).region == "c"
    assert config("s3://b/p", timeout_s=2).timeout_s == 2.0
    with pytest.raises(UsageError, match="did you mean part_size"):
        config("s3://b/p", partsize=1)
    for wrong in (0, -1, "1", True, float("nan")):
        with pytest.raises(UsageError, match="seconds"):
            config("s3://b/p", timeout_s=wrong)


def test_the_customer_key_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    assert config("s3://b/p", sse_customer_key_path=str(tmp_path / "key")).sse_customer_key == KEY
    with pytest.raises(UsageError, match="cannot read"):
        config("s3://b/p", sse_customer_key_path=str(tmp_path / "none"))


def test_the_environment_counts_where_nothing_else_was_said() -> None:
    environ = {
        "AWS_REGION": "r1",
        "AWS_DEFAULT_REGION": "r2",
        "AWS_ENDPOINT_URL_S3": "http://standard:1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
    }
    got = config("s3://b/p", environ)
    assert (got.region, got.region_is_explicit, got.endpoint, got.path_style) == (
        "r1",
        False,
        "http://standard:1",
        True,
    )
    keys = got.credentials
    assert (keys.access_key_id, keys.secret_access_key, keys.session_token) == ("id", "secret", "token")
    own = {**environ, "LITESTREAM_S3_ENDPOINT": "own:2"}
    assert config("s3://b/p", own).endpoint == "https://own:2"
    assert config("s3://b/p?endpoint=url:3&region=r3", own).endpoint == "https://url:3"
    other = config("s3://x:y@b/p", environ).credentials
    assert (other.access_key_id, other.secret_access_key, other.session_token) == ("x", "y", "")


@pytest.mark.parametrize("url", ["s3://id@b/p", "s3://:secret@b/p"])
def test_half_of_a_pair_of_keys_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="got only the") as raised:
        config(url)
    assert "secret@" not in str(raised.value)


def test_the_repr_shows_no_secret() -> None:
    text = repr(config(f"s3://theid:thesecret@b/p?sseCustomerKey={KEY}", session_token="thetoken"))  # noqa: S106
    assert [secret for secret in ("theid", "thesecret", "thetoken", KEY) if secret in text] == []
