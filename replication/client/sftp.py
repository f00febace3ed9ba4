"""Replicas on an SFTP server: `<path>/ltx/<level>/<min>-<max>.ltx`.

A file is written beside its place under a name that no listing shows, dated, synced where the server can, and renamed.
Version 3 of the protocol tells of times in whole seconds: a listing shows the header's time cut to that, and with
`use_metadata` the header of each file is read. The identity is mtime and size; files read from lately stay open, and
readable even when their names are gone.

There is no lease: the protocol has no conditional writes, so two writers are kept apart only by `if_absent`.

What a writer that was killed left half-written is deleted by the next one, at its first write to a level, once nobody
has touched it for so long that its writer cannot be alive.

Source: litestream 0.5.17, sftp/replica_client.go.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from replication.client.base import ReplicaClient
from replication.client.reader import Chunk, UploadHead, open_range_reader, read_fully, read_in_parts, read_upload_head
from replication.client.sftp_config import SFTPConfig
from replication.client.sftp_session import SFTPSession
from replication.clock import SYSTEM_CLOCK, Clock, from_timestamp_ms
from replication.errors import LitestreamError, LTXError, LTXExistsError, UnavailableError, UsageError
from replication.levels import LEVELS
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE, Header
from replication.ltx.name import ltx_dir, ltx_file_path, ltx_level_dir, parse_ltx_name
from replication.position import NO_TXID, TXID

if TYPE_CHECKING:
    from replication.client.sftp_link import RemoteEntry, SFTPLink
    from replication.client.sftp_upload import RemoteUpload

LEFTOVER_AGE_S = 3600.0
"""How long a temporary file is let alone after its last change."""

CHUNK_SIZE = 4 * 2**20  # bytes read or written within one timeout
REMOVALS_AT_ONCE = 64
HEADERS_AT_ONCE = 16

_ABANDON_TIMEOUT_S = 5.0
_TEMPORARY = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.ltx(\.\d+[-.]\d+)?\.tmp")  # ours, and the Go program's


class SFTPReplicaClient(ReplicaClient):
    """A replica in a directory of an SFTP server."""

    type: ClassVar[str] = "sftp"
    accurate_list_times: ClassVar[bool] = False

    def __init__(self, config: SFTPConfig, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Take the settings; nothing is connected yet.

        Raises:
            UsageError: the library is not installed.

        """
        self._config = config
        self._session = SFTPSession(config)
        self._clock = clock
        self._cleaned: set[int] = set()  # levels; only added to

    def __repr__(self) -> str:
        state = "open" if self._session.is_open else "idle"
        return f"<SFTPReplicaClient {self._config.place} user={self._config.user} {state}>"

    @property
    def config(self) -> SFTPConfig:
        """The settings."""
        return self._config

    def init(self) -> None:
        """Connect, and see whether the path, if it is there, is a directory."""
        path = self._config.path
        if self._session.run(lambda link: link.is_directory(path), f"look for {path or 'the home directory'}") is False:
            msg = f"expected a directory for an SFTP replica, got the file {self._config.place}"
            raise UsageError(msg)

    def close(self) -> None:
        """Let go of the connection and of the files that are open over it."""
        self._session.close()

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level from `seek` on; a directory is always listed whole."""
        directory = self._level_dir(level)
        infos: list[FileInfo] = []
        for entry in self._list(directory):
            name = parse_ltx_name(entry.name)
            if name is not None and name.min_txid >= seek:
                infos.append(
                    FileInfo(
                        level=level,
                        min_txid=name.min_txid,
                        max_txid=name.max_txid,
                        size=entry.size,
                        created_at=from_timestamp_ms(entry.mtime_s * 1000),
                        identity=entry.identity,
                    )
                )
        infos.sort(key=lambda info: (info.min_txid, info.max_txid))
        return self._with_metadata(infos) if use_metadata else iter(infos)

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end; one request while the file is open."""
        path = self._file_path(info.level, info.min_txid, info.max_txid)
        return read_in_parts(partial(self._read, path), info.identity, start, end, CHUNK_SIZE)

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader; its first answer pins the file's identity."""
        path = self._file_path(level, min_txid, max_txid)
        return open_range_reader(partial(self._read, path), offset=offset, size=size, chunk_size=CHUNK_SIZE)

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store a file, in chunks, and give it its name when it is whole."""
        path = self._file_path(level, min_txid, max_txid)
        head = read_upload_head(reader)
        self._clean(level)
        what = f"write {path}"
        upload = self._session.run(lambda link: self._begin(link, path), what, missing=UnavailableError)
        try:
            size = self._write_chunks(upload, head, reader, what)
            now_s = int(self._clock.now().timestamp())
            identity = self._session.run(
                lambda _link: upload.finish(size, mtime_ms=head.timestamp_ms, now_s=now_s), what, again=False
            )
            self._name(upload, what, if_absent=if_absent)
        except BaseException:
            self._abandon(upload)
            raise
        return FileInfo(
            level=level,
            min_txid=min_txid,
            max_txid=max_txid,
            size=size,
            created_at=from_timestamp_ms(head.timestamp_ms),
            identity=identity,
        )

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files, many at once."""
        self._remove([self._file_path(info.level, info.min_txid, info.max_txid) for info in infos])

    def delete_all(self) -> None:
        """Delete the LTX files of all levels, what was left half-written, and the directories that are empty then."""
        for level in LEVELS:
            directory = self._level_dir(level)
            self._remove([f"{directory}/{entry.name}" for entry in self._list(directory) if _is_ours(entry.name)])
            self._remove_directory(directory)
        self._remove_directory(ltx_dir(self._config.path))

    async def _begin(self, link: "SFTPLink", path: str) -> "RemoteUpload":
        from replication.client.sftp_upload import RemoteUpload  # noqa: PLC0415 - the library is of few installations

        return await RemoteUpload.begin(link, path, concurrent_writes=self._config.concurrent_writes)

    def _list(self, directory: str) -> "list[RemoteEntry]":
        return self._session.run(lambda link: link.list_files(directory), f"list {directory}")

    def _read(self, path: str, identity: str, start: int, end: int) -> Chunk:
        return self._session.run(lambda link: link.files.read(path, identity, start, end), f"read {path}")

    def _with_metadata(self, infos: list[FileInfo]) -> Iterator[FileInfo]:
        """Yield the files with their headers' times; those gone meanwhile are left out."""
        for first in range(0, len(infos), HEADERS_AT_ONCE):
            batch = infos[first : first + HEADERS_AT_ONCE]
            paths = [self._file_path(info.level, info.min_txid, info.max_txid) for info in batch]
            what = f"read {paths[0]} and the {len(paths) - 1} next"
            starts = self._session.run(partial(_read_headers, paths), what)
            for info, start in zip(batch, starts, strict=True):
                if start is not None:
                    yield _dated(info, start)

    def _write_chunks(self, upload: "RemoteUpload", head: UploadHead, reader: BinaryIO, what: str) -> int:
        """Write what the reader gives, and return its size."""
        size = 0
        data = head.data + read_fully(reader, CHUNK_SIZE - len(head.data))
        while data:
            self._session.run(partial(_write, upload, data, size), what, again=False)
            size += len(data)
            data = read_fully(reader, CHUNK_SIZE)
        return size

    def _name(self, upload: "RemoteUpload", what: str, *, if_absent: bool) -> None:
        """Give an upload its name. It is not done twice: a lost answer may have been a yes."""
        if not if_absent:
            self._session.run(lambda _link: upload.name(), what, again=False, missing=UnavailableError)
        elif not self._session.run(lambda _link: upload.name_if_absent(), what, again=False, missing=UnavailableError):
            msg = f"{upload.path} is there already"
            raise LTXExistsError(msg)

    def _abandon(self, upload: "RemoteUpload") -> None:
        """Delete an upload if its connection is still there; else the next writer does it, later."""
        if upload.link.is_open:
            with suppress(LitestreamError):  # another error is on its way
                self._session.run(
                    lambda _link: upload.abandon(),
                    f"delete {upload.temporary}",
                    again=False,
                    timeout_s=min(self._config.timeout_s, _ABANDON_TIMEOUT_S),
                )

    def _clean(self, level: int) -> None:
        """Delete what writers that are gone left half-written in the directory of a level, once."""
        if level in self._cleaned:
            return
        directory = self._level_dir(level)
        oldest_s = self._clock.now().timestamp() - LEFTOVER_AGE_S
        self._remove(
            [
                f"{directory}/{entry.name}"
                for entry in self._list(directory)
                if _TEMPORARY.fullmatch(entry.name) and entry.touched_s < oldest_s
            ]
        )
        self._cleaned.add(level)

    def _remove(self, paths: list[str]) -> None:
        for first in range(0, len(paths), REMOVALS_AT_ONCE):
            batch = paths[first : first + REMOVALS_AT_ONCE]
            self._session.run(partial(_remove, batch), f"delete {batch[0]}")

    def _remove_directory(self, directory: str) -> None:
        self._session.run(lambda link: link.remove_directory(directory), f"delete {directory}")

    def _level_dir(self, level: int) -> str:
        return ltx_level_dir(self._config.path, level)

    def _file_path(self, level: int, min_txid: TXID, max_txid: TXID) -> str:
        return ltx_file_path(self._config.path, level, min_txid, max_txid)


async def _read_headers(paths: list[str], link: "SFTPLink") -> list[bytes | None]:
    return await link.read_starts(paths, HEADER_SIZE)


async def _remove(paths: list[str], link: "SFTPLink") -> None:
    await link.remove(paths)


async def _write(upload: "RemoteUpload", data: bytes, offset: int, _link: "SFTPLink") -> None:
    await upload.write(data, offset)


def _is_ours(name: str) -> bool:
    return parse_ltx_name(name) is not None or _TEMPORARY.fullmatch(name) is not None


def _dated(info: FileInfo, start: bytes) -> FileInfo:
    """Return a file with its header's time; one without a header keeps the time of the listing."""
    try:
        header = Header.unpack(start)
        header.validate()
    except LTXError:
        return info
    return replace(info, created_at=from_timestamp_ms(header.timestamp_ms))
