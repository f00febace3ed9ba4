"""The settings of an Azure replica, from its URL, the caller's options and the environment, in this order of weight.

Of the credentials that one of these gives, a SAS token goes before an account key; where none gives any, an identity
signs in.

Source: litestream 0.5.17, abs/replica_client.go, "NewReplicaClientFromURL" and "Init".
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from replication.client.endpoints import ensure_endpoint_scheme
from replication.client.url_parse import ReplicaURL
from replication.client.values import SettingNames, Values
from replication.errors import UsageError

DEFAULT_TIMEOUT_S = 30.0

SETTINGS = SettingNames(
    "an Azure replica",
    url=("endpoint",),
    option_only=("account_name", "account_key", "sas_token", "timeout_s"),
)

_ACCOUNT_NAMES = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
_ACCOUNT_KEYS = (
    "LITESTREAM_AZURE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_KEY",
)
_SAS_TOKENS = ("LITESTREAM_AZURE_SAS_TOKEN", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureConfig:
    """Where an Azure replica is and how to talk to it; `repr` shows no secret.

    The endpoint is that of the account, before the container. Without a key and a token an identity signs in.
    """

    container: str
    path: str
    account_name: str
    endpoint: str
    account_key: str = field(default="", repr=False)  # base64
    sas_token: str = field(default="", repr=False)  # percent-encoded, without a question mark
    timeout_s: float = DEFAULT_TIMEOUT_S


def azure_config(url: ReplicaURL, options: Mapping[str, object], environ: Mapping[str, str]) -> AzureConfig:
    """Return the settings of a replica.

    Raises:
        UsageError: one is unknown, wrong or missing.

    """
    values = Values(SETTINGS, url.query, options)
    if not url.host:
        msg = "expected abs://account@container/path, got a URL without a container"
        raise UsageError(msg)
    account = url.username or values.text("account_name") or _first(environ, _ACCOUNT_NAMES)
    if not account:
        msg = (
            f"expected the storage account of container {url.host}: abs://account@{url.host}/path, "
            "or account_name, or AZURE_STORAGE_ACCOUNT_NAME"
        )
        raise UsageError(msg)
    token, key = values.text("sas_token"), url.password or values.text("account_key")
    if not (token or key):
        token, key = _first(environ, _SAS_TOKENS), _first(environ, _ACCOUNT_KEYS)
    return AzureConfig(
        container=url.host,
        path=url.path,
        account_name=account,
        endpoint=_endpoint(values, account),
        account_key="" if token else _checked_key(key),
        sas_token=_checked_token(token),
        timeout_s=values.seconds("timeout_s") or DEFAULT_TIMEOUT_S,
    )


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _endpoint(values: Values, account: str) -> str:
    given = values.text("endpoint")
    if "?" in given or "@" in given:  # not shown: it may be a SAS token
        msg = "expected an endpoint like https://account.blob.core.windows.net, got one with a user or a query"
        raise UsageError(msg)
    return ensure_endpoint_scheme(given).rstrip("/") or f"https://{account}.blob.core.windows.net"


def _checked_key(key: str) -> str:
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        msg = "expected an account key in base64, got something else"
        raise UsageError(msg) from None
    return key


def _checked_token(token: str) -> str:
    token = token.removeprefix("?")
    if token and not any(part.startswith("sig=") for part in token.split("&")):
        msg = "expected a SAS token like sv=...&sig=..., got something else"
        raise UsageError(msg)
    return token
