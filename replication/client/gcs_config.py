"""The settings of a replica in Google Cloud Storage, from its URL, the caller's options and the environment.

`STORAGE_EMULATOR_HOST` names a server to use instead of Google's, without credentials, as the Go program takes it.

Source: litestream 0.5.17, gs/replica_client.go.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from replication.client.endpoints import is_local_endpoint
from replication.client.url_parse import ReplicaURL
from replication.client.values import SettingNames, Values
from replication.errors import UsageError

DEFAULT_ENDPOINT = "https://storage.googleapis.com"
DEFAULT_TIMEOUT_S = 30.0
EMULATOR_VARIABLE = "STORAGE_EMULATOR_HOST"

SETTINGS = SettingNames(
    "a Google Cloud Storage replica",
    url=("endpoint", "anonymous"),
    option_only=("credentials_path", "timeout_s"),
)

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]+")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class GCSConfig:
    """Where a replica in Google Cloud Storage is and how to talk to it; it holds no secret.

    An emulator may not know conditions: what it cannot be trusted to check is asked for before.
    """

    bucket: str
    path: str
    endpoint: str = DEFAULT_ENDPOINT
    is_emulator: bool = False
    anonymous: bool = False
    credentials_path: str = ""  # empty: what Google's own rules find
    timeout_s: float = DEFAULT_TIMEOUT_S


def gcs_config(url: ReplicaURL, options: Mapping[str, object], environ: Mapping[str, str]) -> GCSConfig:
    """Return the settings of a replica.

    Raises:
        UsageError: one is unknown, or wrong, or cannot be honoured.

    """
    values = Values(SETTINGS, url.query, options)
    if url.username or url.password:
        msg = "credentials of Google Cloud Storage do not go into the URL: set credentials_path, or sign in with gcloud"
        raise UsageError(msg)
    if _BUCKET.fullmatch(url.host) is None:
        msg = f"expected gs://bucket/path, got the bucket {url.host!r}"
        raise UsageError(msg)
    given = values.text("endpoint")
    emulator = "" if given else environ.get(EMULATOR_VARIABLE, "")
    endpoint = _endpoint(values, given, "https") if given else ""
    if emulator:
        endpoint = _endpoint(values, emulator, "http")
    config = GCSConfig(
        bucket=url.host,
        path=_clean(url.path),
        endpoint=endpoint or DEFAULT_ENDPOINT,
        is_emulator=bool(emulator),
        anonymous=bool(emulator) or bool(values.boolean("anonymous")),
        credentials_path=values.text("credentials_path"),
        timeout_s=values.seconds("timeout_s") or DEFAULT_TIMEOUT_S,
    )
    if config.endpoint.startswith("http://") and not config.anonymous and not is_local_endpoint(config.endpoint):
        msg = f"credentials may travel only over https, or to a private address, not to {config.endpoint}"
        raise UsageError(msg)
    return config


def _endpoint(values: Values, text: str, scheme: str) -> str:
    """Return a server as a URL without a slash at its end; without a scheme a private address is reached by http."""
    if "://" not in text:
        text = f"{'http' if is_local_endpoint(text) else scheme}://{text}"
    text = text.rstrip("/")
    if _ENDPOINT.fullmatch(text) is None:
        values.refuse("endpoint", "a server like https://storage.googleapis.com, or host:port", text)
    return text


def _clean(path: str) -> str:
    """Return a path as Go's path.Join leaves it: a slash at its begin stays."""
    if not path:
        return ""
    return ("/" if path.startswith("/") else "") + posixpath.normpath("//" + path).lstrip("/")
