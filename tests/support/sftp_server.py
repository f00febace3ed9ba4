"""SFTP servers on loopback for tests: OpenSSH with a key, and asyncssh's own, with a password.

    with OpenSSHServer(directory) as server:
        client = replica_client(server.url("app"))

OpenSSH shows the directory `files` as the user's home.
"""

import asyncio
import getpass
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

import asyncssh
import pytest

from tests.support.servers import ServerProcess, find_server, free_port

USER = getpass.getuser()
PASSWORD = "pass/word of the+tests"  # noqa: S105 - a loopback server's
PRIVSEP_DIRECTORY = Path("/run/sshd")
_STOP_TIMEOUT_S = 10.0
_REQUESTS = {
    "close", "fsetstat", "fstat", "fsync", "link", "lstat", "mkdir", "open", "posix_rename", "read", "remove", "rename",
    "rmdir", "scandir", "setstat", "stat", "write",
}  # fmt: skip


class OpenSSHServer(ServerProcess):
    """sshd as an ordinary process; it lets in the tests' user by the key in `key_path`.

    `flags` are those of its sftp-server: `-R` lets nobody write.
    """

    def __init__(self, directory: Path, *, subsystem: str = "sftp", flags: str = "") -> None:
        program = find_server("sshd")
        _make_privsep_directory()
        self.files = directory / "files"
        self.files.mkdir()
        self.key_path = make_key(directory / "user_key")
        host_key_path = make_key(directory / "host_key")
        self.host_key = host_key_path.with_suffix(".pub").read_text().strip()
        port = free_port()
        config = directory / "sshd_config"
        lines = {
            "ListenAddress": "127.0.0.1",
            "Port": port,
            "HostKey": host_key_path,
            "AuthorizedKeysFile": self.key_path.with_suffix(".pub"),
            "PidFile": "none",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "StrictModes": "no",
            "UsePAM": "no",
            "MaxStartups": 100,
            "Subsystem": f"{subsystem} internal-sftp {flags} -d {self.files}",
        }
        config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        super().__init__([program, "-D", "-e", "-f", str(config)], port=port, log_path=directory / "sshd.log")

    @property
    def known_hosts_line(self) -> str:
        return f"[127.0.0.1]:{self.port} {self.host_key}\n"

    def url(self, path: str, *, port: int | None = None) -> str:
        """Return a replica URL for a path in the home directory; a relay may listen at another port."""
        return self.url_with(path, port=port, keyPath=str(self.key_path), hostKey=self.host_key)

    def url_with(self, path: str, *, port: int | None = None, **query: str) -> str:
        """Return a replica URL with these parameters only."""
        return f"sftp://{USER}@127.0.0.1:{port or self.port}/~/{path}?{urlencode(query)}"


class LoggedFiles(asyncssh.SFTPServer):
    """Answers the requests of one connection from a directory, and notes their names in the server's log."""

    def __init__(self, channel: "asyncssh.SSHServerChannel[bytes]", server: "AsyncSSHServer") -> None:
        super().__init__(channel, chroot=os.fsencode(server.files))
        self._log = server.log

    def __getattribute__(self, name: str) -> object:
        if name in _REQUESTS:
            self._log.append(name)
        return super().__getattribute__(name)


class PlainFiles(LoggedFiles):
    """Knows the protocol and none of its extensions, and replaces nothing at a rename."""

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        self._refuse(oldpath, newpath)

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        self._refuse(oldpath, newpath)

    def fsync(self, file_obj: object) -> None:
        self._refuse(file_obj)

    def _refuse(self, *_arguments: object) -> None:
        msg = "an extension"
        raise asyncssh.SFTPOpUnsupported(msg)


class AsyncSSHServer:
    """asyncssh's server on a thread of its own; `files` is the root and the user's home."""

    def __init__(self, directory: Path, files_class: type[LoggedFiles] = LoggedFiles) -> None:
        self.port = free_port()
        self.files = directory / "files"
        self.files.mkdir()
        self.log: list[str] = []
        self._files_class = files_class
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="asyncssh-server", daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self.host_key = self._key.export_public_key().decode().strip()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_STOP_TIMEOUT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STOP_TIMEOUT_S)
        assert not self._thread.is_alive()

    def url(self, path: str, password: str = PASSWORD) -> str:
        query = urlencode({"hostKey": self.host_key})
        return f"sftp://tester:{quote(password, safe='')}@127.0.0.1:{self.port}/~/{path}?{query}"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=lambda: _PasswordServer(self._connections),
            server_host_keys=[self._key],
            sftp_factory=lambda channel: self._files_class(channel, self),
            gss_host=None,
        )
        async with server:
            self._ready.set()
            await self._stop.wait()
        for connection in list(self._connections):
            connection.abort()
            await connection.wait_closed()


class _PasswordServer(asyncssh.SSHServer):
    def __init__(self, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connections.add(conn)

    def begin_auth(self, username: str) -> bool:
        del username
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("tester", PASSWORD)


def make_key(path: Path, algorithm: str = "ssh-ed25519", passphrase: str | None = None) -> Path:
    """Write a private key to `path` and its public one beside it; return the path."""
    key = asyncssh.generate_private_key(algorithm)
    key.write_private_key(path, passphrase=passphrase)
    key.write_public_key(path.with_suffix(".pub"))
    path.chmod(0o600)
    return path


def _make_privsep_directory() -> None:
    """Make what sshd asks for when root starts it; where that cannot be, the test is skipped, and in CI fails."""
    if os.geteuid() != 0:
        return
    try:
        PRIVSEP_DIRECTORY.mkdir(exist_ok=True)
    except OSError as error:
        reason = f"needs {PRIVSEP_DIRECTORY} for sshd, which cannot be made here: {error.strerror}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
