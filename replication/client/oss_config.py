"""The settings of a replica in Alibaba Cloud OSS, from its URL, the caller's options and the environment.

OSS is reached by its S3 API, so the settings become those of a replica in S3.

Source: litestream 0.5.17, oss/replica_client.go, "NewReplicaClientFromURL" and "ParseHost".
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from replication.client.endpoints import ensure_endpoint_scheme
from replication.client.s3_config import (
    DEFAULT_CONCURRENCY,
    DEFAULT_PART_SIZE,
    DEFAULT_TIMEOUT_S,
    S3Config,
    S3Credentials,
)
from replication.client.url_parse import ReplicaURL
from replication.client.values import SettingNames, Values
from replication.errors import UsageError

DEFAULT_REGION = "cn-hangzhou"

SETTINGS = SettingNames(
    "an OSS replica",
    url=("endpoint", "region", "concurrency", "part_size"),
    option_only=("access_key_id", "secret_access_key", "session_token", "timeout_s"),
)

_HOST = re.compile(r"(?P<bucket>.+)\.oss-(?P<region>[a-z0-9-]+?)(?P<internal>-internal)?\.aliyuncs\.com")
_KEYS = (
    ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"),
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"),
)


def oss_config(url: ReplicaURL, options: Mapping[str, object], environ: Mapping[str, str]) -> S3Config:
    """Return the settings of a replica.

    Raises:
        UsageError: one is unknown, wrong or missing.

    """
    values = Values(SETTINGS, url.query, options)
    if not url.host:
        msg = "expected oss://bucket/path, got a URL without a bucket"
        raise UsageError(msg)
    found = _HOST.fullmatch(url.host)
    region = values.text("region") or (found["region"] if found else DEFAULT_REGION)
    internal = found["internal"] or "" if found else ""
    endpoint = ensure_endpoint_scheme(values.text("endpoint")) or f"https://oss-{region}{internal}.aliyuncs.com"
    return S3Config(
        bucket=found["bucket"] if found else url.host,
        path=url.path,
        region=region,
        region_is_explicit=True,  # it stands in the endpoint, so there is no moving to another one
        endpoint=endpoint,
        path_style=_is_address(endpoint),
        concurrency=values.whole("concurrency", least=1) or DEFAULT_CONCURRENCY,
        part_size=values.size("part_size", least=DEFAULT_PART_SIZE) or DEFAULT_PART_SIZE,
        credentials=_credentials(url, values, environ),
        timeout_s=values.seconds("timeout_s") or DEFAULT_TIMEOUT_S,
    )


def _is_address(endpoint: str) -> bool:
    """Say whether the host is an IP address, which no bucket's name can stand before; OSS itself has none such."""
    try:
        ipaddress.ip_address(urlsplit(endpoint).hostname or "")
    except ValueError:
        return False
    return True


def _credentials(url: ReplicaURL, values: Values, environ: Mapping[str, str]) -> S3Credentials:
    """Return the keys that were given, else those of the environment; there may be none."""
    key_id = url.username or values.text("access_key_id")
    secret = url.password or values.text("secret_access_key")
    token = values.text("session_token")
    for id_name, secret_name, token_name in _KEYS:
        if not (key_id or secret):
            key_id, secret = environ.get(id_name, ""), environ.get(secret_name, "")
            token = token or environ.get(token_name, "")
    if bool(key_id) != bool(secret):
        msg = f"expected an access key id and a secret access key, got only {'the id' if key_id else 'the secret'}"
        raise UsageError(msg)
    return S3Credentials(access_key_id=key_id, secret_access_key=secret, session_token=token)
