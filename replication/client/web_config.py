"""The settings of a replica on a web server: WebDAV, or HTTP that is only read; from its URL and the caller's options.

What an option says goes before the URL. All parameters of the URL have to be known: a server that is reached by a
signed URL, with a query, has a signature for one file, not for a replica.

Source: litestream 0.5.17, webdav/replica_client.go, "NewReplicaClientFromURL".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from replication.client.url_parse import ReplicaURL, clean_replica_url_path
from replication.client.values import SettingNames, Values
from replication.errors import UsageError

DEFAULT_TIMEOUT_S = 30.0

WEBDAV_SETTINGS = SettingNames(
    "a WebDAV replica", url=("skip_verify",), option_only=("username", "password", "timeout_s")
)
HTTP_SETTINGS = SettingNames(
    "an HTTP replica", url=("skip_verify",), option_only=("username", "password", "token", "timeout_s")
)

_WEB_SCHEMES = {"webdav": "http", "webdavs": "https"}  # others are their own
_PATH_SAFE = "/!$&'()*+,;=:@~"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Where a replica on a web server is and how to talk to it; `repr` shows no secret."""

    scheme: str  # http or https
    host: str  # may have a port
    path: str  # without slashes at its ends
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    skip_verify: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def auth(self) -> tuple[str, str] | None:
        """The user and the password, if there is a user."""
        return (self.username, self.password) if self.username else None

    def url(self, path: str) -> str:
        """Return the URL of a path on the server.

        >>> WebConfig(scheme="http", host="host:8080", path="").url("a b/ltx")
        'http://host:8080/a%20b/ltx'
        """
        return f"{self.scheme}://{self.host}/{quote(path, safe=_PATH_SAFE)}"


def webdav_config(url: ReplicaURL, options: Mapping[str, object]) -> WebConfig:
    """Return the settings of a WebDAV replica.

    Raises:
        UsageError: one is unknown, wrong or missing.

    """
    return _config(url, Values(WEBDAV_SETTINGS, url.query, options), token="")


def http_config(url: ReplicaURL, options: Mapping[str, object]) -> WebConfig:
    """Return the settings of a replica that is read by HTTP.

    Raises:
        UsageError: one is unknown, wrong or missing.

    """
    values = Values(HTTP_SETTINGS, url.query, options)
    return _config(url, values, token=values.text("token"))


def _config(url: ReplicaURL, values: Values, *, token: str) -> WebConfig:
    if not url.host:
        msg = f"expected {url.scheme}://host/path, got a URL without a host"
        raise UsageError(msg)
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        msg = "expected a token of ASCII letters, digits and signs, got something else"
        raise UsageError(msg)  # which is not shown
    config = WebConfig(
        scheme=_WEB_SCHEMES.get(url.scheme, url.scheme),
        host=url.host,
        path=clean_replica_url_path(url.path),
        username=values.text("username") or url.username,
        password=values.text("password") or url.password,
        token=token,
        skip_verify=bool(values.boolean("skip_verify")),
        timeout_s=values.seconds("timeout_s") or DEFAULT_TIMEOUT_S,
    )
    if token and config.username:
        msg = "a token and a user exclude each other"
        raise UsageError(msg)
    if ":" in config.username:
        msg = "expected a user without a colon, which ends the name of a user in HTTP"
        raise UsageError(msg)
    if config.password and not config.username:
        msg = "expected a user and a password, got only the password"
        raise UsageError(msg)
    return config
