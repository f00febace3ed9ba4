"""The settings of a NATS replica: `nats://[user:password@]host[:4222]/bucket`.

Of several kinds of credentials the first of this order counts, as in the Go program: a JWT and its seed, a file of both
(`creds`), an NKey, a user and a password, a token. A user in the URL without a password is a token.

Source: litestream 0.5.17, nats/replica_client.go and cmd/litestream/main.go.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from replication.client.kept_files import DEFAULT_KEEP_SIZE, SMALL_FILE_SIZE
from replication.client.url_parse import ReplicaURL
from replication.client.values import SettingNames, Values
from replication.errors import UsageError

API = "$JS.API"  # where JetStream takes requests
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 4222
DEFAULT_TIMEOUT_S = 30.0
DEFAULT_CONNECT_TIMEOUT_S = 10.0
DEFAULT_RECONNECT_WAIT_S = 2.0

SETTINGS = SettingNames(
    "a NATS replica",
    url=("creds", "tls", "root_cas", "client_cert", "client_key", "keep_size"),
    option_only=(
        "username",
        "password",
        "token",
        "jwt",
        "seed",
        "nkey",
        "connect_timeout_s",
        "reconnect_wait_s",
        "timeout_s",
    ),
)

_BUCKET = re.compile(r"[a-zA-Z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsCredentials:
    """One kind of credentials, or none."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    jwt: str = field(default="", repr=False)
    seed: str = field(default="", repr=False)  # alone, or of the JWT
    creds: str = ""  # the path of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsConfig:
    """Where a NATS replica is and how to talk to the server; `repr` shows no secret."""

    host: str  # with the port
    bucket: str
    credentials: NatsCredentials = NatsCredentials()
    tls: bool = False  # required; a server that asks for it gets it anyway
    root_cas: tuple[str, ...] = ()  # paths of files; empty: the system's
    client_cert: str = ""
    client_key: str = ""
    connect_timeout_s: float = DEFAULT_CONNECT_TIMEOUT_S
    reconnect_wait_s: float = DEFAULT_RECONNECT_WAIT_S
    keep_size: int = DEFAULT_KEEP_SIZE  # bytes on disk
    timeout_s: float = DEFAULT_TIMEOUT_S


def nats_config(url: ReplicaURL, options: Mapping[str, object]) -> NatsConfig:
    """Return the settings of a replica.

    Raises:
        UsageError: one is unknown, or wrong, or names a file that is not there.

    """
    values = Values(SETTINGS, url.query, options)
    if not _BUCKET.fullmatch(url.path):
        expected = "nats://host:4222/bucket, with a bucket of letters, digits, _ and -"
        msg = f"expected {expected}, got the bucket {url.path!r}"
        raise UsageError(msg)
    root_cas = _root_cas(values)
    client_cert, client_key = _path(values, "client_cert"), _path(values, "client_key")
    if bool(client_cert) != bool(client_key):
        msg = f"expected client_cert and client_key, got only {'client_cert' if client_cert else 'client_key'}"
        raise UsageError(msg)
    tls = values.boolean("tls")
    if tls is False and (root_cas or client_cert):
        msg = "tls is off, so root_cas, client_cert and client_key cannot be used"
        raise UsageError(msg)
    return NatsConfig(
        host=_host(url.host),
        bucket=url.path,
        credentials=_credentials(url, values),
        tls=bool(tls or root_cas or client_cert),
        root_cas=root_cas,
        client_cert=client_cert,
        client_key=client_key,
        connect_timeout_s=values.seconds("connect_timeout_s") or DEFAULT_CONNECT_TIMEOUT_S,
        reconnect_wait_s=values.seconds("reconnect_wait_s") or DEFAULT_RECONNECT_WAIT_S,
        keep_size=values.size("keep_size", least=SMALL_FILE_SIZE) or DEFAULT_KEEP_SIZE,
        timeout_s=values.seconds("timeout_s") or DEFAULT_TIMEOUT_S,
    )


def _host(host: str) -> str:
    """Return the host with its port."""
    host = host or DEFAULT_HOST
    has_port = ":" in host.rpartition("]")[2]  # an IPv6 address stands in brackets
    return host if has_port else f"{host}:{DEFAULT_PORT}"


def _root_cas(values: Values) -> tuple[str, ...]:
    given = values.any("root_cas")
    if given is None:
        return ()
    paths = [given] if isinstance(given, str) else given
    if not isinstance(paths, Sequence) or not all(isinstance(path, str) for path in paths):
        values.refuse("root_cas", "the path of a file, or a list of such", type(given).__name__)
    return tuple(_readable("root_cas", path) for path in paths)


def _path(values: Values, name: str) -> str:
    path = values.text(name)
    return _readable(name, path) if path else ""


def _readable(name: str, path: str) -> str:
    expanded = Path(path).expanduser()
    try:
        with expanded.open("rb"):
            return str(expanded)
    except OSError as error:
        msg = f"cannot read {name} {path!r}: {error.strerror}"
        raise UsageError(msg) from error


def _credentials(url: ReplicaURL, values: Values) -> NatsCredentials:
    jwt, nkey = values.text("jwt"), values.text("nkey")
    # An NKey is its public half, or the seed itself, from which that follows.
    seed = values.text("seed") or (nkey if nkey.startswith("S") else "")
    if (jwt or nkey) and not seed:
        msg = f"expected {'a jwt' if jwt else 'an nkey'} and its seed, got only {'the jwt' if jwt else 'the nkey'}"
        raise UsageError(msg)
    creds = _path(values, "creds")
    if jwt or (seed and not creds):
        return NatsCredentials(jwt=jwt, seed=seed)
    return NatsCredentials(creds=creds) if creds else _user(url, values)


def _user(url: ReplicaURL, values: Values) -> NatsCredentials:
    username, password = values.text("username"), values.text("password")
    if url.username:
        if not url.password:
            return NatsCredentials(token=url.username)
        username, password = url.username, url.password
    if bool(username) != bool(password):
        msg = f"expected a username and a password, got only the {'username' if username else 'password'}"
        raise UsageError(msg)
    if username:
        return NatsCredentials(username=username, password=password)
    return NatsCredentials(token=values.text("token"))
