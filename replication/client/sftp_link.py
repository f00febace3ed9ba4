"""One connection to an SFTP server, and what is done over it; all of it runs on the loop."""

import asyncio
import posixpath
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncssh

from replication.client.sftp_config import SFTPConfig
from replication.client.sftp_connect import connect
from replication.client.sftp_errors import EXISTS, MISSING, BrokenAnswerError
from replication.client.sftp_files import RemoteFiles, identity_of

MAX_NAMES = 1_000_000
"""How many names a directory may hold; more are not taken in."""


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A regular file as a directory lists it; times are in whole seconds since 1970."""

    name: str
    size: int
    mtime_s: int
    touched_s: int  # the later of its two times
    identity: str


class SFTPLink:
    """A connection, and the files that are open over it."""

    def __init__(self, connection: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient) -> None:
        """Take a connection that was just made."""
        self._connection = connection
        self.sftp = sftp
        self.files = RemoteFiles(sftp)

    @classmethod
    async def open(cls, config: SFTPConfig) -> "SFTPLink":
        """Connect.

        Raises:
            UsageError, DeniedError, OSError, asyncssh.Error: as `connect`.

        """
        connection = await connect(config)
        try:
            return cls(connection, await connection.start_sftp_client())
        except BaseException:
            connection.abort()
            raise

    @property
    def is_open(self) -> bool:
        """Whether the connection is there, as far as known."""
        return not self._connection.is_closed()

    async def close(self) -> None:
        """End the connection, and tell the server."""
        self._connection.close()
        await self._connection.wait_closed()

    def abort(self) -> None:
        """End the connection at once."""
        self._connection.abort()

    async def list_files(self, directory: str) -> list[RemoteEntry]:
        """Return the regular files in a directory, in no order; nothing if there is no such directory."""
        entries: list[RemoteEntry] = []
        with suppress(*MISSING):
            count = 0
            async for found in self.sftp.scandir(directory.encode()):
                count += 1
                if count > MAX_NAMES:
                    msg = f"more than {MAX_NAMES} names"
                    raise BrokenAnswerError(msg)
                entry = _entry(found)
                if entry is not None:
                    entries.append(entry)
        return entries

    async def is_directory(self, path: str) -> bool | None:
        """Say whether something is a directory; None if nothing is there."""
        try:
            attributes = await self.sftp.stat(path or ".")
        except MISSING:
            return None
        return stat.S_ISDIR(attributes.permissions or stat.S_IFDIR)

    async def exists(self, path: str) -> bool:
        """Say whether a name is taken."""
        try:
            await self.sftp.lstat(path)
        except MISSING:
            return False
        return True

    async def make_directories(self, path: str) -> None:
        """Make a directory and those above it that are missing."""
        try:
            await self.sftp.mkdir(path)
        except MISSING:
            parent = posixpath.dirname(path)
            if not parent or parent == path:
                raise
            await self.make_directories(parent)
            with suppress(*EXISTS):  # made by another writer meanwhile
                await self.sftp.mkdir(path)
        except EXISTS:
            if not await self.is_directory(path):
                raise

    async def remove(self, paths: Sequence[str]) -> None:
        """Delete files at once; those already gone are no error."""
        results = await asyncio.gather(*map(self._remove, paths), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def remove_directory(self, path: str) -> None:
        """Delete a directory, or leave it: if others have put something into it, or it is not ours to delete."""
        with suppress(*MISSING, *EXISTS, asyncssh.SFTPDirNotEmpty, asyncssh.SFTPPermissionDenied):
            await self.sftp.rmdir(path)

    async def read_starts(self, paths: Sequence[str], size: int) -> list[bytes | None]:
        """Return the first bytes of files, None for those that are not there; all are asked for at once."""

        async def read_start(path: str) -> bytes | None:
            try:
                return await self.files.read_start(path, size)
            except MISSING:
                return None

        return await asyncio.gather(*map(read_start, paths))

    async def _remove(self, path: str) -> None:
        self.files.let_go(path)
        with suppress(*MISSING):
            await self.sftp.remove(path)


def _entry(found: asyncssh.SFTPName) -> RemoteEntry | None:
    """Return an entry of a directory, None for what is no regular file; its name may be anything."""
    attributes = found.attrs
    if not stat.S_ISREG(attributes.permissions or stat.S_IFREG):
        return None
    name = found.filename if isinstance(found.filename, str) else found.filename.decode("ascii", "replace")
    mtime_s = attributes.mtime or 0
    return RemoteEntry(
        name=name,
        size=attributes.size or 0,
        mtime_s=mtime_s,
        touched_s=max(mtime_s, attributes.atime or 0),
        identity=identity_of(attributes),
    )
