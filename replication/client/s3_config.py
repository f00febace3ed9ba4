"""The settings of an S3 replica, from its URL, the caller's options and the environment, in this order of weight.

URL parameters are written as the Go program takes them, `partSize` or `part-size`; options are `part_size`.

Source: litestream 0.5.17, s3/replica_client.go, "NewReplicaClientFromURL".
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replication.client import endpoints
from replication.client.s3_host import parse_s3_host
from replication.client.url_parse import ReplicaURL
from replication.client.values import SettingNames, Values
from replication.errors import UsageError

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_PART_SIZE = 5 * 2**20  # bytes; also the smallest S3 takes
DEFAULT_CONCURRENCY = 5
R2_CONCURRENCY = 2
TIGRIS_HEADERS = (("X-Tigris-Consistent", "true"),)
"""Has Tigris answer from where the bucket lives, so that what was just written is read and listed."""

SETTINGS = SettingNames(
    "an S3 replica",
    url=(
        "endpoint",
        "region",
        "force_path_style",
        "skip_verify",
        "sign_payload",
        "require_content_md5",
        "concurrency",
        "part_size",
        "storage_class",
        "sse_customer_algorithm",
        "sse_customer_key",
        "sse_customer_key_md5",
        "sse_kms_key_id",
        "profile",
        "anonymous",
    ),
    option_only=(
        "sse_customer_key_path",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "boto3_session",
        "timeout_s",
    ),
)

_SSE_KEY_SIZE = 32  # bytes
_STORAGE_CLASS = re.compile(r"[A-Za-z_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Credentials:
    """Keys that were given, or how boto3 shall find some."""

    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    profile: str = ""
    boto3_session: Any = field(default=None, repr=False)
    anonymous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Config:
    """Where an S3 replica is and how to talk to it; `repr` shows no secret."""

    bucket: str
    path: str
    region: str = ""  # empty: boto3's, or the default
    region_is_explicit: bool = False
    endpoint: str = ""  # empty: AWS
    path_style: bool = False
    skip_verify: bool = False
    sign_payload: bool = True
    require_content_md5: bool | None = None
    headers: tuple[tuple[str, str], ...] = ()  # sent with each request
    concurrency: int = DEFAULT_CONCURRENCY
    part_size: int = DEFAULT_PART_SIZE  # bytes
    storage_class: str = ""
    sse_customer_key: str = field(default="", repr=False)  # base64
    sse_kms_key_id: str = ""
    credentials: S3Credentials = S3Credentials()
    timeout_s: float = DEFAULT_TIMEOUT_S


def s3_config(url: ReplicaURL, options: Mapping[str, object], environ: Mapping[str, str]) -> S3Config:
    """Return the settings of a replica.

    Raises:
        UsageError: one is unknown, or wrong, or cannot be honoured.

    """
    values = Values(SETTINGS, url.query, options)
    host = parse_s3_host(url.host)
    if not host.bucket:
        msg = f"expected s3://bucket/path, or s3://bucket.host:port/path, got the host {url.host!r}"
        raise UsageError(msg)
    given = values.text("endpoint") or ("" if host.endpoint else _environment_endpoint(environ))
    endpoint = endpoints.ensure_endpoint_scheme(given or host.endpoint)
    path_style = values.boolean("force_path_style")
    if path_style is None:
        path_style = _prefers_path_style(host.bucket, endpoint, default=bool(given) or host.path_style)
    region = values.text("region") or host.region
    return S3Config(
        bucket=host.bucket,
        path=url.path,
        region=region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "",
        region_is_explicit=bool(region),
        endpoint=endpoint,
        path_style=path_style,
        skip_verify=bool(values.boolean("skip_verify")),
        sign_payload=values.boolean("sign_payload") is not False,
        require_content_md5=_require_content_md5(values, endpoint),
        headers=TIGRIS_HEADERS if endpoints.is_tigris_endpoint(endpoint) else (),
        concurrency=values.whole("concurrency", least=1) or _default_concurrency(endpoint),
        part_size=values.size("part_size", least=DEFAULT_PART_SIZE) or DEFAULT_PART_SIZE,
        storage_class=_storage_class(values),
        sse_customer_key=_sse_customer_key(values, endpoint),
        sse_kms_key_id=_sse_kms_key_id(values),
        credentials=_credentials(url, values, environ),
        timeout_s=values.seconds("timeout_s") or DEFAULT_TIMEOUT_S,
    )


def _environment_endpoint(environ: Mapping[str, str]) -> str:
    names = ("LITESTREAM_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return next((environ[name] for name in names if environ.get(name)), "")


def _prefers_path_style(bucket: str, endpoint: str, *, default: bool) -> bool:
    """Say whether the bucket goes into the path when nobody says so."""
    if bucket.lower().startswith("arn:"):
        return False
    wants = (
        endpoints.is_filebase_endpoint,
        endpoints.is_backblaze_endpoint,
        endpoints.is_minio_endpoint,
        endpoints.is_supabase_endpoint,
    )
    # A certificate for *.s3.amazonaws.com does not cover a bucket whose name has dots.
    return default or "." in bucket or any(want(endpoint) for want in wants)


def _require_content_md5(values: Values, endpoint: str) -> bool | None:
    required = values.boolean("require_content_md5")
    return False if required is None and endpoints.is_tigris_endpoint(endpoint) else required


def _default_concurrency(endpoint: str) -> int:
    return R2_CONCURRENCY if endpoints.is_cloudflare_r2_endpoint(endpoint) else DEFAULT_CONCURRENCY


def _storage_class(values: Values) -> str:
    text = values.text("storage_class")
    if text and _STORAGE_CLASS.fullmatch(text) is None:
        values.refuse("storage_class", "a class like STANDARD_IA", text)
    return text.upper()


def _sse_customer_key(values: Values, endpoint: str) -> str:
    """Return the key to encrypt with, checked, in base64; empty for none."""
    algorithm = values.text("sse_customer_algorithm")
    if algorithm not in {"", "AES256"}:
        values.refuse("sse_customer_algorithm", "AES256", algorithm)
    key = values.text("sse_customer_key")
    if path := values.text("sse_customer_key_path"):
        if key:
            msg = "sse_customer_key and sse_customer_key_path exclude each other"
            raise UsageError(msg)
        key = values.file("sse_customer_key_path", path)
    digest = values.text("sse_customer_key_md5")
    if not key:
        if algorithm or digest:
            msg = "sse_customer_algorithm and sse_customer_key_md5 need an sse_customer_key"
            raise UsageError(msg)
        return ""
    try:
        raw = base64.b64decode(key, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != _SSE_KEY_SIZE:  # the message must not show what was given
        msg = f"expected as sse_customer_key {_SSE_KEY_SIZE} bytes in base64, got something else"
        raise UsageError(msg)
    expected = base64.b64encode(hashlib.md5(raw, usedforsecurity=False).digest()).decode()
    if digest not in {"", expected}:
        msg = "sse_customer_key_md5 is not the digest of sse_customer_key"
        raise UsageError(msg)
    if endpoint.startswith("http://") and not endpoints.is_local_endpoint(endpoint):
        msg = f"an sse_customer_key may travel only over https, or to a private address, not to {endpoint}"
        raise UsageError(msg)
    return key


def _sse_kms_key_id(values: Values) -> str:
    key_id = values.text("sse_kms_key_id")
    if key_id and (values.text("sse_customer_key") or values.text("sse_customer_key_path")):
        msg = "sse_kms_key_id and sse_customer_key exclude each other"
        raise UsageError(msg)
    return key_id


def _credentials(url: ReplicaURL, values: Values, environ: Mapping[str, str]) -> S3Credentials:
    """Return the credentials that were given; the environment counts when nothing else was."""
    if values.boolean("anonymous"):
        return S3Credentials(anonymous=True)
    key_id = url.username or values.text("access_key_id")
    secret = url.password or values.text("secret_access_key")
    token = values.text("session_token")
    profile, session = values.text("profile"), values.any("boto3_session")
    if not (key_id or secret or profile or session is not None):
        key_id = environ.get("AWS_ACCESS_KEY_ID") or environ.get("LITESTREAM_ACCESS_KEY_ID") or ""
        secret = environ.get("AWS_SECRET_ACCESS_KEY") or environ.get("LITESTREAM_SECRET_ACCESS_KEY") or ""
        token = token or environ.get("AWS_SESSION_TOKEN", "")
    if bool(key_id) != bool(secret):
        msg = f"expected an access key id and a secret access key, got only {'the id' if key_id else 'the secret'}"
        raise UsageError(msg)
    return S3Credentials(
        access_key_id=key_id, secret_access_key=secret, session_token=token, profile=profile, boto3_session=session
    )
