"""Replicas in an object store of NATS JetStream: `ltx/<level>/<min>-<max>.ltx` in the bucket.

The header's time is a header of the object, which a listing shows; the identity is the object's random id. A listing is
of the whole bucket, so calls at the same time share one. No part of a file can be read, so a file is fetched whole,
once, and kept while there is room.

Source: litestream 0.5.17, nats/replica_client.go.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, ClassVar
from weakref import WeakSet

from replication.client.base import ReplicaClient
from replication.client.kept_files import KeptFile, KeptFiles
from replication.client.nats_config import NatsConfig
from replication.client.nats_lease import NatsLeaseStore
from replication.client.nats_meta import CHUNK_SIZE, ObjectMeta
from replication.client.nats_objects import CHUNKS_AT_ONCE, NatsBucket, ObjectUpload, publish_object
from replication.client.nats_session import NatsSession
from replication.client.nats_watch import NatsWatch
from replication.client.reader import Chunk, open_range_reader, read_fully, read_upload_head
from replication.client.s3_time import format_timestamp, parse_timestamp
from replication.client.shared_call import SharedCall
from replication.clock import from_timestamp_ms
from replication.errors import LitestreamError, LTXError, LTXExistsError, LTXMissingError
from replication.forking import after_fork_in_child
from replication.levels import LEVELS, check_level
from replication.log import LOGGER
from replication.ltx.file_info import EPOCH, FileInfo
from replication.ltx.name import ltx_file_path, parse_ltx_name
from replication.parallel import in_parallel
from replication.position import NO_TXID, TXID

TIMESTAMP_HEADER = "Litestream-Timestamp"


class NatsReplicaClient(ReplicaClient):
    """A replica in a bucket of NATS JetStream."""

    type: ClassVar[str] = "nats"
    accurate_list_times: ClassVar[bool] = True

    def __init__(self, config: NatsConfig) -> None:
        """Take the settings; nothing is connected yet."""
        self._config = config
        self._session = NatsSession(config)
        self._bucket = NatsBucket(self._session)
        self._kept = KeptFiles(config.keep_size)
        self._list = SharedCall(self._bucket.list)
        _all.add(self)

    def __repr__(self) -> str:
        state = "open" if self._session.is_open else "idle"
        kept = f"kept={self._kept.memory_size + self._kept.disk_size}"
        return f"<NatsReplicaClient nats://{self._config.host}/{self._config.bucket} {kept} {state}>"

    @property
    def config(self) -> NatsConfig:
        """The settings."""
        return self._config

    @property
    def kept_files(self) -> KeptFiles:
        """The files that were fetched."""
        return self._kept

    def lease_store(self) -> NatsLeaseStore:
        """Return where the replica's lease is."""
        return NatsLeaseStore(self._bucket)

    def watch(self, on_change: Callable[[], None]) -> NatsWatch:
        """Call `on_change` soon after a file has appeared, from a thread of its own, until the watch is closed.

        It is called too when the server can be heard again after a while, for something may have come meanwhile.
        """
        return NatsWatch(self._config, on_change)

    def init(self) -> None:
        """Connect, and see whether the bucket is there."""
        self._bucket.check()

    def close(self) -> None:
        """Let go of the connection and of the files that were kept."""
        self._session.close()
        self._kept.clear()

    def after_fork(self) -> None:
        """Start anew in a forked child: a thread of the parent may have been in the midst of a listing."""
        self._list = SharedCall(self._bucket.list)

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level from `seek` on; their times are always the headers'."""
        del use_metadata  # the times are the headers'
        return iter([info for info in _infos(level, self._list()) if info.min_txid >= seek])

    def ltx_levels(self) -> dict[int, list[FileInfo]]:
        """Return the files of all levels, with one listing, however many they are."""
        metas = self._list()
        return {level: _infos(level, metas) for level in LEVELS}

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end."""
        _, kept = self._file(info.level, info.min_txid, info.max_txid, info.identity)
        return kept.read(start, kept.size if end is None else end)

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader, which holds the file whether it is kept or not."""
        identity, kept = self._file(level, min_txid, max_txid, "")
        return open_range_reader(
            lambda _identity, start, end: Chunk(kept.read(start, end), identity), offset=offset, size=size
        )

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store a file; it appears when its last chunk is stored."""
        name = ltx_file_path("", level, min_txid, max_txid)
        head = read_upload_head(reader)
        created_at = from_timestamp_ms(head.timestamp_ms)
        upload = ObjectUpload(self._bucket, name)
        try:
            self._write_chunks(upload, head.data, reader, if_absent=if_absent)
        except BaseException:
            self._abandon(upload)
            raise
        meta = upload.meta({TIMESTAMP_HEADER: [format_timestamp(created_at)]})
        if not publish_object(self._bucket, meta, if_absent=if_absent):
            self._abandon(upload)
            raise _exists(name)
        return FileInfo(
            level=level,
            min_txid=min_txid,
            max_txid=max_txid,
            size=meta.size,
            created_at=created_at,
            identity=meta.nuid,
        )

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files, 16 at a time."""
        names = [ltx_file_path("", info.level, info.min_txid, info.max_txid) for info in infos]

        def delete(name: str) -> None:
            meta = self._bucket.find(name)
            if meta is not None:
                self._bucket.delete(meta)

        in_parallel([lambda name=name: delete(name) for name in names])  # type: ignore[misc]  # mypy 2.4: lambda defaults

    def delete_all(self) -> None:
        """Delete the LTX files of all levels, and nothing else in the bucket."""
        metas = [meta for meta in self._list() if _is_ltx(meta.name)]
        in_parallel([lambda meta=meta: self._bucket.delete(meta) for meta in metas])  # type: ignore[misc]  # as above

    def _file(self, level: int, min_txid: TXID, max_txid: TXID, identity: str) -> tuple[str, KeptFile]:
        """Return the identity and the content of a file, fetched if it is not kept."""
        kept = self._kept.get(identity) if identity else None
        if kept is not None:
            return identity, kept
        name = ltx_file_path("", level, min_txid, max_txid)
        meta = self._bucket.find(name)
        if meta is None or meta.is_deleted:
            msg = f"{name} is not in the replica"
            raise LTXMissingError(msg)
        if identity and meta.nuid != identity:
            raise _replaced(name)

        def fetch(write: Callable[[bytes], object]) -> None:
            if self._bucket.read(meta, write):
                return
            now = self._bucket.find(name)
            if now is None or now.nuid != meta.nuid or now.is_deleted:
                raise _replaced(name)
            msg = f"expected {meta.size} bytes with the digest that the object store has of them, got others"
            raise LTXError(msg, level=level, min_txid=min_txid, max_txid=max_txid)

        return meta.nuid, self._kept.fetch(meta.nuid, meta.size, fetch)

    def _write_chunks(self, upload: ObjectUpload, head: bytes, reader: BinaryIO, *, if_absent: bool) -> None:
        first = head + read_fully(reader, CHUNK_SIZE - len(head))
        chunks = [first]
        is_small = len(first) < CHUNK_SIZE
        if if_absent and not is_small:  # a large one is not uploaded in vain
            meta = self._bucket.find(upload.name)
            if meta is not None and not meta.is_deleted:
                raise _exists(upload.name)
        while not is_small and (chunk := read_fully(reader, CHUNK_SIZE)):
            chunks.append(chunk)
            if len(chunks) == CHUNKS_AT_ONCE:
                upload.write(chunks)
                chunks = []
        if chunks:
            upload.write(chunks)

    def _abandon(self, upload: ObjectUpload) -> None:
        """Remove what has been uploaded in vain, if the server can be reached."""
        try:
            self._bucket.purge_chunks(upload.nuid)
        except LitestreamError:  # what went wrong before it is the error to raise
            LOGGER.debug("chunks %s of %s stay in the bucket", upload.nuid, upload.name)


def _level_prefix(level: int) -> str:
    return f"ltx/{check_level(level)}/"


def _is_ltx(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == len(("ltx", "level", "name")) and parts[0] == "ltx" and parse_ltx_name(parts[2]) is not None


def _infos(level: int, metas: Iterable[ObjectMeta]) -> list[FileInfo]:
    """Return the files of a level, sorted."""
    prefix = _level_prefix(level)
    infos = [info for meta in metas if meta.name.startswith(prefix) and (info := _info(level, prefix, meta))]
    return sorted(infos, key=lambda info: (info.min_txid, info.max_txid))


def _info(level: int, prefix: str, meta: ObjectMeta) -> FileInfo | None:
    """Return what a listing says of an object, or None if it is no LTX file."""
    name = parse_ltx_name(meta.name.removeprefix(prefix))
    if name is None:
        return None
    texts = meta.headers.get(TIMESTAMP_HEADER) or ""
    text = texts if isinstance(texts, str) else str(texts[0])
    return FileInfo(
        level=level,
        min_txid=name.min_txid,
        max_txid=name.max_txid,
        size=meta.size,
        created_at=parse_timestamp(text) or meta.stored_at or EPOCH,
        identity=meta.nuid,
    )


def _exists(name: str) -> LTXExistsError:
    return LTXExistsError(f"{name} is in the replica already")


def _replaced(name: str) -> LTXMissingError:
    return LTXMissingError(f"{name}: the file was deleted, or replaced by another one")


_all: WeakSet[NatsReplicaClient] = WeakSet()


def _after_fork() -> None:
    for client in _all:
        client.after_fork()


after_fork_in_child(_after_fork)
