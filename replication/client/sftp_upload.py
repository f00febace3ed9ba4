"""One upload to an SFTP server, in steps that run on the loop: a name nobody lists, its content, and then its own name.

The temporary file's mtime becomes the header's time, and its atime stays the time of the upload, so that nobody takes
a file that is just about to get its name for a leftover of long ago.
"""

import asyncio
import os
import posixpath
import secrets
from contextlib import suppress
from dataclasses import dataclass

import asyncssh

from replication.client.sftp_errors import EXISTS, MISSING, BrokenAnswerError
from replication.client.sftp_files import identity_of
from replication.client.sftp_link import SFTPLink

SYNC_SIZE = 64 * 2**20
"""After so many bytes of a large file they are synced: a server does nothing else meanwhile, so it must not last."""

_MAX_TIME_S = 2**32 - 1  # what version 3 of the protocol can say
_NO_LINKS = (asyncssh.SFTPOpUnsupported, asyncssh.SFTPPermissionDenied, *EXISTS)


@dataclass(frozen=True, slots=True)
class RemoteUpload:
    """A temporary file that is being written; it belongs to the connection it was opened over."""

    link: SFTPLink
    path: str
    temporary: str
    file: asyncssh.SFTPClientFile

    @classmethod
    async def begin(cls, link: SFTPLink, path: str, *, concurrent_writes: bool) -> "RemoteUpload":
        """Open a temporary file beside `path`; the directory is made if it is missing."""
        # Process ids are not enough: those of other machines write there too.
        temporary = f"{path}.{os.getpid()}-{secrets.randbits(63)}.tmp"
        try:
            file = await _create(link, temporary, concurrent_writes=concurrent_writes)
        except MISSING:
            await link.make_directories(posixpath.dirname(path))
            file = await _create(link, temporary, concurrent_writes=concurrent_writes)
        return cls(link, path, temporary, file)

    async def write(self, data: bytes, offset: int) -> None:
        """Write a part, its blocks at once."""
        await self.file.write(data, offset)
        if offset // SYNC_SIZE != (offset + len(data)) // SYNC_SIZE:
            await self._sync()

    async def finish(self, size: int, *, mtime_ms: int, now_s: int) -> str:
        """Date the file, make it last and close it; return its identity."""
        mtime_s = min(max(mtime_ms // 1000, 0), _MAX_TIME_S)
        # A server works off the requests for one file in their order, so nothing is gained by waiting in between.
        *_, attributes, _ = await asyncio.gather(
            self.file.setstat(asyncssh.SFTPAttrs(atime=now_s, mtime=mtime_s)),
            self._sync(),
            self.file.stat(),
            self.file.close(),
        )
        if attributes.size != size:
            msg = f"{size} bytes were written, and {attributes.size} are stored"
            raise BrokenAnswerError(msg)
        return identity_of(attributes)

    async def name(self) -> None:
        """Give the file its name, whoever has it now."""
        self.link.files.let_go(self.path)
        try:
            await self.link.sftp.posix_rename(self.temporary, self.path)
        except asyncssh.SFTPOpUnsupported:
            await self._replace()

    async def name_if_absent(self) -> bool:
        """Give the file its name, and say whether that was free.

        Making a link fails where the name is taken. Servers and file systems without links are asked before.
        """
        try:
            await self.link.sftp.link(self.temporary, self.path)
        except _NO_LINKS:
            if await self.link.exists(self.path):
                return False
            try:
                await self.link.sftp.rename(self.temporary, self.path)
            except EXISTS:
                if await self.link.exists(self.path):
                    return False
                raise
        else:
            await self.link.remove([self.temporary])
        return True

    async def abandon(self) -> None:
        """Delete what was written."""
        with suppress(asyncssh.Error, OSError):  # closed already, or with the connection
            await self.file.close()
        await self.link.remove([self.temporary])

    async def _sync(self) -> None:
        with suppress(asyncssh.SFTPOpUnsupported):  # then it is as lasting as the server makes it
            await self.file.fsync()

    async def _replace(self) -> None:
        """Rename, where that fails on a name that is taken; for a moment, the name is nobody's."""
        try:
            await self.link.sftp.rename(self.temporary, self.path)
        except EXISTS:
            await self.link.remove([self.path])
            await self.link.sftp.rename(self.temporary, self.path)


async def _create(link: SFTPLink, path: str, *, concurrent_writes: bool) -> asyncssh.SFTPClientFile:
    return await link.sftp.open(
        path,
        asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL,
        encoding=None,
        max_requests=-1 if concurrent_writes else 1,
    )
