"""Files of an SFTP server that stay open for a while, so that reading a page is one request.

All of this runs on the loop. A file is opened once however many readers want it, and its attributes are looked at right
after that, through the handle: what is read later comes from that very file, whatever happens to its name. A handle is
closed when it is let go of and nobody reads from it any more.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from replication.client.reader import Chunk
from replication.client.sftp_errors import BrokenAnswerError
from replication.errors import LTXMissingError

MAX_OPEN_FILES = 32
MAX_REQUESTS = 64
"""How many reads may wait for their answers at a time, over all files."""

_MAX_BLOCK_SIZE = 2**18  # bytes of one request; a server may allow less

_Key = tuple[str, str]  # path and identity


def identity_of(attributes: asyncssh.SFTPAttrs) -> str:
    """Return what changes with a file's content, as far as version 3 of the protocol tells."""
    return f"{attributes.mtime or 0:x}-{attributes.size or 0:x}"


@dataclass(frozen=True, slots=True)
class _OpenFile:
    """A handle, and what the server says of its file."""

    file: asyncssh.SFTPClientFile
    size: int
    identity: str


@dataclass(slots=True)
class _Entry:
    """A file that is open or just being opened."""

    opening: "asyncio.Task[_OpenFile]"
    user_count: int = 0
    is_let_go: bool = False


@dataclass(slots=True)
class RemoteFiles:
    """The files last read from over one connection."""

    sftp: asyncssh.SFTPClient
    _entries: "OrderedDict[_Key, _Entry]" = field(default_factory=OrderedDict)
    _requests: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_REQUESTS))
    _closing: set["asyncio.Task[None]"] = field(default_factory=set)

    async def read(self, path: str, identity: str, start: int, end: int | None) -> Chunk:
        """Return bytes `start` to `end` (exclusive) of a file, cut short at its end; None is the end.

        Raises:
            LTXMissingError: the file has another identity than the one wanted, if one is.
            asyncssh.Error, BrokenAnswerError: the request failed, or got a wrong answer.

        """
        entry = self._entry(path, identity)
        entry.user_count += 1
        try:
            # Others may wait for it too, when this one is broken off.
            opened = await asyncio.shield(entry.opening)
            if not identity:
                self._keep((path, opened.identity), entry)
            data = await self._read(opened, start, opened.size if end is None else min(end, opened.size))
        except BaseException:
            self._let_go(entry)
            raise
        finally:
            entry.user_count -= 1
            self._close_unused(entry)
        return Chunk(data, opened.identity)

    async def read_start(self, path: str, size: int) -> bytes:
        """Return the first bytes of a file that is not kept open."""
        file = await self.sftp.open(path, asyncssh.FXF_READ, encoding=None)
        try:
            async with self._requests:
                data: bytes = await file.read(size, 0)
        finally:
            self._later(_close_file(file))
        return data[:size]

    def let_go(self, path: str) -> None:
        """Keep no file of that path open."""
        for key in [key for key in self._entries if key[0] == path]:
            self._let_go(self._entries[key])

    def _entry(self, path: str, identity: str) -> _Entry:
        """Return the open file wanted; one whose identity is not known is always opened anew."""
        key = (path, identity)
        if identity and (known := self._entries.get(key)) is not None:
            self._entries.move_to_end(key)
            return known
        entry = _Entry(asyncio.create_task(self._open(path, identity)))
        if identity:
            self._keep(key, entry)
        return entry

    def _keep(self, key: _Key, entry: _Entry) -> None:
        replaced = self._entries.get(key)
        if replaced is entry:
            return
        if replaced is not None:
            self._let_go(replaced)
        self._entries[key] = entry
        while len(self._entries) > MAX_OPEN_FILES:
            self._let_go(next(iter(self._entries.values())))

    def _let_go(self, entry: _Entry) -> None:
        entry.is_let_go = True
        for key in [key for key, kept in self._entries.items() if kept is entry]:
            del self._entries[key]
        self._close_unused(entry)

    def _close_unused(self, entry: _Entry) -> None:
        if entry.is_let_go and not entry.user_count:
            self._later(_close(entry.opening))

    def _later(self, closing: Coroutine[Any, Any, None]) -> None:
        """Do it beside what goes on: nobody waits for a handle to be closed."""
        task = asyncio.create_task(closing)
        self._closing.add(task)  # a task that nobody holds may vanish
        task.add_done_callback(self._closing.discard)

    async def _open(self, path: str, identity: str) -> _OpenFile:
        file = await self.sftp.open(path, asyncssh.FXF_READ, encoding=None)
        try:
            return _checked(file, path, await file.stat(), identity)
        except BaseException:
            await _close_file(file)
            raise

    async def _read(self, opened: _OpenFile, start: int, end: int) -> bytes:
        """Return a range, its blocks asked for at once."""
        size = max(1, min(opened.file.read_len, _MAX_BLOCK_SIZE))
        blocks = [self._read_block(opened.file, offset, min(size, end - offset)) for offset in range(start, end, size)]
        parts = await asyncio.gather(*blocks)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _read_block(self, file: asyncssh.SFTPClientFile, offset: int, size: int) -> bytes:
        async with self._requests:
            data: bytes = await file.read(size, offset)
        if len(data) != size:  # the file's size is known, and its content never changes
            msg = f"expected {size} bytes at {offset}, got {len(data)}"
            raise BrokenAnswerError(msg)
        return data


def _checked(file: asyncssh.SFTPClientFile, path: str, attributes: asyncssh.SFTPAttrs, identity: str) -> _OpenFile:
    """Return an open file; one of another identity is not the file that was wanted."""
    if attributes.size is None:
        msg = f"no size in the attributes of {path}"
        raise BrokenAnswerError(msg)
    opened = _OpenFile(file, attributes.size, identity_of(attributes))
    if identity not in {"", opened.identity}:
        msg = f"{path} was replaced by another file since it was listed"
        raise LTXMissingError(msg)
    return opened


async def _close(opening: "Awaitable[_OpenFile]") -> None:
    with suppress(Exception):  # told to those who wanted to read
        await _close_file((await opening).file)


async def _close_file(file: asyncssh.SFTPClientFile) -> None:
    with suppress(asyncssh.Error, OSError):  # the server closes it when the connection ends
        await file.close()
