"""The settings of an SFTP replica, from its URL and the caller's options.

The path of a URL is absolute, as for the Go program, unless it begins with `~/`, which stands for the directory that
the server puts a user into. `~/.ssh/config` is not read: a URL means the same for everybody, and that file may name
programs to run.

Source: litestream 0.5.17, sftp/replica_client.go, "NewReplicaClientFromURL".
"""

import getpass
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from replication.client.url_parse import ReplicaURL
from replication.client.values import SettingNames, Values
from replication.errors import UsageError

DEFAULT_PORT = 22
DEFAULT_TIMEOUT_S = 30.0

SETTINGS = SettingNames(
    "an SFTP replica",
    url=("key_path", "host_key", "known_hosts", "insecure_ignore_host_key", "concurrent_writes"),
    option_only=("user", "password", "passphrase", "timeout_s"),
)

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.%\w]+)\]|(?P<name>[^\[\]:/\s]+))(?::(?P<port>[0-9]{1,5}))?")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTPConfig:
    """Where an SFTP replica is and how to reach it; `repr` shows no secret."""

    host: str
    port: int = DEFAULT_PORT
    user: str
    path: str  # absolute, or relative to the user's home directory
    password: str = field(default="", repr=False)
    key_path: str = ""  # empty: the agent's keys and those in ~/.ssh, unless there is a password
    passphrase: str = field(default="", repr=False)  # of keys in files
    host_key: str = ""  # a line such as "ssh-ed25519 AAAA…"
    known_hosts: str = ""  # path; empty: those that ssh reads
    insecure_ignore_host_key: bool = False
    concurrent_writes: bool = True
    timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def server(self) -> str:
        """The server as messages name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{host}" if self.port == DEFAULT_PORT else f"sftp://{host}:{self.port}"

    @property
    def place(self) -> str:
        """The replica as messages name it."""
        return self.server + (self.path if self.path.startswith("/") else f"/~/{self.path}")


def sftp_config(url: ReplicaURL, options: Mapping[str, object]) -> SFTPConfig:
    """Return the settings of a replica.

    Raises:
        UsageError: one is unknown, or wrong.

    """
    values = Values(SETTINGS, url.query, options)
    host, port = _host_and_port(url.host)
    host_key, known_hosts = values.text("host_key"), values.text("known_hosts")
    ignore = bool(values.boolean("insecure_ignore_host_key"))
    if (bool(host_key), bool(known_hosts), ignore).count(True) > 1:
        msg = "host_key, known_hosts and insecure_ignore_host_key exclude each other"
        raise UsageError(msg)
    return SFTPConfig(
        host=host,
        port=port,
        user=url.username or values.text("user") or _login_name(),
        path=_path(url.path),
        password=url.password or _secret(values, "password"),
        key_path=_expanded(values.text("key_path")),
        passphrase=_secret(values, "passphrase"),
        host_key=host_key,
        known_hosts=_expanded(known_hosts),
        insecure_ignore_host_key=ignore,
        concurrent_writes=values.boolean("concurrent_writes") is not False,
        timeout_s=values.seconds("timeout_s") or DEFAULT_TIMEOUT_S,
    )


def _host_and_port(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or DEFAULT_PORT) if found else 0
    if found is None or not 0 < port <= _MAX_PORT:
        msg = f"expected a host, or a host and a port, as in sftp://user@host:22/path, got {text!r}"
        raise UsageError(msg)
    return found["ipv6"] or found["name"], port


def _path(path: str) -> str:
    """Return where the files are for the server: `~/` is not its word for the home directory."""
    first, _, rest = path.partition("/")
    return rest if first == "~" else "/" + path.lstrip("/")


def _secret(values: Values, name: str) -> str:
    """Return a text as it is: spaces may belong to it."""
    value = values.any(name)
    if value is not None and not isinstance(value, str):
        values.refuse(name, "a text", type(value).__name__)
    return value or ""


def _expanded(path: str) -> str:
    return str(Path(path).expanduser()) if path else ""


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        msg = "expected a user, as in sftp://user@host/path: this process has no login name"
        raise UsageError(msg) from error
