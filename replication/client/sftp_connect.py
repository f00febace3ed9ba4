"""Opening a connection to an SFTP server: its host key is checked, then the user signs in.

The host key must be the one that was given, or stand in the files that ssh reads too; what is unknown or has changed is
refused. Of the credentials only those that were given are tried; with none, the agent's keys, then those in ~/.ssh.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncssh

from replication.client.sftp_config import DEFAULT_PORT, SFTPConfig
from replication.errors import DeniedError, UsageError

KEEPALIVE_INTERVAL_S = 15.0
"""How long a connection may be silent before the server is asked whether it is there; it answers or is given up."""

_KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
# After those of the keys that are known: so a key of another kind is seen, and not just missed.
_HOST_KEY_ALGORITHMS = "+ssh-ed25519,ecdsa-sha2-*,rsa-sha2-256,rsa-sha2-512"
_NOTHING = ((), (), ())


class _HostKeyWatch(asyncssh.SSHClient):
    """Remembers the host key that was refused."""

    def __init__(self) -> None:
        self.refused = ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Refuse a key that is not known, after a look at it."""
        del host, addr, port
        self.refused = f"{key.get_algorithm()} {key.get_fingerprint()}"
        return False


async def connect(config: SFTPConfig) -> asyncssh.SSHClientConnection:
    """Return a connection of a user who has signed in.

    Raises:
        UsageError: a file with keys cannot be read, or the host key that was given is none.
        DeniedError: the server's host key is not known, or another one is.
        OSError, asyncssh.Error: as `asyncssh.connect`.

    """
    known_hosts = await asyncio.to_thread(_known_hosts, config)
    watch = _HostKeyWatch()
    try:
        return await asyncssh.connect(
            config.host,
            config.port,
            config=None,
            username=config.user,
            password=config.password or None,
            passphrase=config.passphrase or None,
            known_hosts=known_hosts,
            server_host_key_algs=_HOST_KEY_ALGORITHMS,
            client_factory=lambda: watch,
            keepalive_interval=KEEPALIVE_INTERVAL_S,
            gss_host=None,
            **_credentials(config),
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise DeniedError(_refusal(config, known_hosts, watch.refused)) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise UsageError(_unusable_key(config, error)) from error
    except OSError as error:
        if config.key_path and error.filename == config.key_path:
            msg = f"cannot read key_path {config.key_path!r}: {error.strerror}"
            raise UsageError(msg) from error
        raise


def _credentials(config: SFTPConfig) -> dict[str, Any]:
    """Return what to sign in with; keys nobody named are not offered, for servers count the attempts."""
    if config.key_path:
        return {"client_keys": [config.key_path], "agent_path": None}
    return {"client_keys": None} if config.password else {}


def _known_hosts(config: SFTPConfig) -> Any:  # noqa: ANN401 - one of the many kinds that asyncssh takes
    """Return the host keys to trust, or None for any."""
    if config.insecure_ignore_host_key:
        return None
    try:
        if config.host_key:
            return [asyncssh.import_public_key(config.host_key)], [], []
        if config.known_hosts:
            return asyncssh.read_known_hosts(config.known_hosts)
        paths = [str(path) for name in _KNOWN_HOSTS if (path := Path(name).expanduser()).is_file()]
        return asyncssh.read_known_hosts(paths) if paths else _NOTHING
    except (asyncssh.KeyImportError, ValueError) as error:
        what = "host_key" if config.host_key else config.known_hosts or "a file of known hosts"
        msg = f"expected in {what} lines such as `ssh-ed25519 AAAA…`, got something else"
        raise UsageError(msg) from error
    except OSError as error:
        msg = f"cannot read the known hosts in {error.filename}: {error.strerror}"
        raise UsageError(msg) from error


def _refusal(config: SFTPConfig, known_hosts: Any, refused: str) -> str:  # noqa: ANN401 - as above
    """Return what to say of a host key that is not trusted, and how to trust it."""
    shown = f" {refused}" if refused else ""
    if config.host_key:
        return f"the host key{shown} of {config.server} is not the host_key that was given"
    where = config.known_hosts or _KNOWN_HOSTS[0]
    if _is_known(config, known_hosts):
        return (
            f"the host key{shown} of {config.server} is not the one in {where}: it has changed, or this is another "
            "server; if the new key is right, replace the old one there"
        )
    return (
        f"the host key{shown} of {config.server} is not known: if it is right, add it to {where}, for example with "
        f"ssh-keyscan -p {config.port} {config.host}, or give it as host_key; insecureIgnoreHostKey=true takes any key"
    )


def _is_known(config: SFTPConfig, known_hosts: Any) -> bool:  # noqa: ANN401 - as above
    if not isinstance(known_hosts, asyncssh.SSHKnownHosts):
        return False
    port = config.port if config.port != DEFAULT_PORT else None
    keys: Sequence[object] = known_hosts.match(config.host, "", port)[0]
    return bool(keys)


def _unusable_key(config: SFTPConfig, error: Exception) -> str:
    what = f"key_path {config.key_path!r}" if config.key_path else "a key in ~/.ssh"
    if "passphrase" in str(error).lower() or isinstance(error, asyncssh.KeyEncryptionError):
        return (
            f"cannot use {what}: it needs another passphrase"
            if config.passphrase
            else (f"cannot use {what}: it is encrypted; give the option passphrase, or use an agent")
        )
    return f"cannot use {what}: it holds no private key that asyncssh reads"
