"""Replicas in Google Cloud Storage: `<path>/ltx/<level>/<min>-<max>.ltx`.

The header's time is metadata, which a listing shows, so accurate times cost nothing. The identity is the generation:
the number of the object's content, which every new content of that name changes.

Source: litestream 0.5.17, gs/replica_client.go. That program seeks by a longer prefix, and so finds one file at most;
here the server begins the listing at the seek.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import BinaryIO, ClassVar

from replication.client.base import ReplicaClient
from replication.client.gcs_bucket import TIMESTAMP_KEY, GCSBucket, GCSObject
from replication.client.gcs_config import GCSConfig
from replication.client.gcs_lease import GCSLeaseStore
from replication.client.gcs_upload import ABSENT, PART_SIZE, upload
from replication.client.reader import open_range_reader, read_fully, read_in_parts, read_upload_head
from replication.client.s3_time import format_timestamp
from replication.clock import from_timestamp_ms
from replication.errors import LTXExistsError
from replication.levels import LEVELS
from replication.ltx.file_info import FileInfo
from replication.ltx.name import ltx_dir, ltx_file_path, ltx_level_dir, parse_ltx_name
from replication.position import NO_TXID, TXID

DELETES_AT_ONCE = 16
CHUNK_SIZE = 4 * 2**20  # bytes an open file asks for at a time
READ_SIZE = 16 * 2**20  # bytes of one request at most, so that each ends within the timeout


class GCSReplicaClient(ReplicaClient):
    """A replica in a bucket of Google Cloud Storage."""

    type: ClassVar[str] = "gs"
    accurate_list_times: ClassVar[bool] = True

    def __init__(self, config: GCSConfig) -> None:
        """Take the settings; nothing is connected yet.

        Raises:
            UsageError: credentials are needed, and google-auth is not installed.

        """
        self._config = config
        self._bucket = GCSBucket(config)
        self._is_one_page = True  # until a listing of all levels was longer

    def __repr__(self) -> str:
        config = self._config
        return f"<GCSReplicaClient gs://{config.bucket}/{config.path} endpoint={config.endpoint}>"

    @property
    def config(self) -> GCSConfig:
        """The settings."""
        return self._config

    def lease_store(self) -> GCSLeaseStore:
        """Return where the replica's lease is."""
        return GCSLeaseStore(self._bucket)

    def init(self) -> None:
        """Find credentials; nothing is asked of the bucket."""
        self._bucket.open()

    def close(self) -> None:
        """Let go of connections."""
        self._bucket.close()

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:  # noqa: ARG002
        """Yield the files of a level from `seek` on; one request for each 1,000 files."""
        prefix = f"{ltx_level_dir(self._config.path, level)}/"
        infos = _infos(level, prefix, self._bucket.list(prefix, f"{prefix}{seek:016x}" if seek > 0 else prefix))
        return iter([info for info in infos if info.min_txid >= seek])

    def ltx_levels(self) -> dict[int, list[FileInfo]] | None:
        """Return the files of all levels, if one request tells of them: they are 1,000 at most."""
        path = self._config.path
        objects = self._bucket.list_page(f"{ltx_dir(path)}/") if self._is_one_page else None
        if objects is None:
            self._is_one_page = False
            return None
        return {level: _infos(level, f"{ltx_level_dir(path, level)}/", objects) for level in LEVELS}

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end."""
        name = self._name(info.level, info.min_txid, info.max_txid)
        return read_in_parts(partial(self._bucket.get, name), info.identity, start, end, READ_SIZE)

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader; its first answer pins the file's identity."""
        name = self._name(level, min_txid, max_txid)
        return open_range_reader(partial(self._bucket.get, name), offset=offset, size=size, chunk_size=CHUNK_SIZE)

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store a file; large ones in parts, with the same condition."""
        name = self._name(level, min_txid, max_txid)
        head = read_upload_head(reader)
        created_at = from_timestamp_ms(head.timestamp_ms)
        start = head.data + read_fully(reader, PART_SIZE - len(head.data))
        stored = upload(
            self._bucket,
            name,
            start,
            reader if len(start) == PART_SIZE else None,
            metadata={TIMESTAMP_KEY: format_timestamp(created_at)},
            if_generation=ABSENT if if_absent else None,
        )
        if stored is None:
            msg = f"PUT {name}: the object is there already"
            raise LTXExistsError(msg)
        return FileInfo(
            level=level,
            min_txid=min_txid,
            max_txid=max_txid,
            size=stored.size,
            created_at=created_at,
            identity=stored.generation,
        )

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files, 16 at a time."""
        names = [self._name(info.level, info.min_txid, info.max_txid) for info in infos]
        if len(names) == 1:
            self._bucket.delete(names[0])
        elif names:
            with ThreadPoolExecutor(DELETES_AT_ONCE, "litestream-gcs-delete") as pool:
                list(pool.map(self._bucket.delete, names))

    def delete_all(self) -> None:
        """Delete the LTX files of all levels, and nothing else under the path."""
        for level in LEVELS:
            self.delete_ltx_files(self.ltx_files(level))

    def _name(self, level: int, min_txid: TXID, max_txid: TXID) -> str:
        return ltx_file_path(self._config.path, level, min_txid, max_txid)


def _infos(level: int, prefix: str, objects: Iterable[GCSObject]) -> list[FileInfo]:
    """Return the files of a level, sorted; objects with other names are passed over."""
    infos: list[FileInfo] = []
    for found in objects:
        name = parse_ltx_name(found.name.removeprefix(prefix)) if found.name.startswith(prefix) else None
        if name is not None:
            infos.append(
                FileInfo(
                    level=level,
                    min_txid=name.min_txid,
                    max_txid=name.max_txid,
                    size=found.size,
                    created_at=found.created_at,
                    identity=found.generation,
                )
            )
    return sorted(infos, key=lambda info: (info.min_txid, info.max_txid))
