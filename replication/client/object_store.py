"""Replicas in a bucket of an object store: what S3, Azure and OSS have in common.

The header's time is metadata, which a listing does not show: it costs a HEAD for each file. The identity is the ETag.
A file of more than one part is uploaded in parts and appears when the last is there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from replication.client.base import ReplicaClient
from replication.client.object_bucket import Bucket, RequestError
from replication.client.object_delete import ObjectDeleter
from replication.client.object_requests import (
    Upload,
    get_range,
    head_metadata,
    identity_of,
    is_listed,
    list_all,
    list_page,
)
from replication.client.object_traits import Traits
from replication.client.object_v3 import ObjectV3Files
from replication.client.reader import Chunk, open_range_reader, read_in_parts, read_upload_head
from replication.client.s3_time import format_timestamp, parse_timestamp
from replication.client.v3 import V3Files
from replication.clock import from_timestamp_ms
from replication.errors import DeniedError, LitestreamError, LTXExistsError, LTXMissingError, UsageError
from replication.levels import LEVELS, check_level
from replication.ltx.file_info import FileInfo
from replication.ltx.name import format_ltx_name, parse_ltx_name
from replication.position import NO_TXID, TXID

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta, PutResult

CONTENT_TYPE = "application/octet-stream"
HEADS_AT_ONCE = 16
CHUNK_SIZE = 4 * 2**20  # bytes an open file asks for at a time
READ_SIZE = 16 * 2**20  # bytes of one request at most, so that each ends within the timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings:
    """How files are uploaded: bytes of a part, parts at once, and what is stored with every object."""

    part_size: int
    concurrency: int
    attributes: Mapping[str, str] = field(default_factory=dict)


class ObjectStoreClient(ReplicaClient):
    """A replica in a bucket."""

    accurate_list_times: ClassVar[bool] = False
    traits: ClassVar[Traits]

    def __init__(self, bucket: Bucket[Any], path: str, upload: UploadSettings, *, deletes_one_by_one: bool) -> None:
        """Take the bucket and the path within it; nothing is connected yet."""
        self._bucket = bucket
        self._prefix = f"{path}/" if path else ""
        self._upload = upload
        self._has_conditions = self.traits.has_conditions  # until the server says that it knows none
        self._is_one_page = True  # until a listing of all levels was longer
        self._deleter = ObjectDeleter(bucket, permission=self.traits.permissions.delete, one_by_one=deletes_one_by_one)

    @property
    def v3_files(self) -> V3Files:
        """The files of Litestream 0.3 that lie there too."""
        return ObjectV3Files(self._bucket, self._prefix, self._get, self._list_error)

    def init(self) -> None:
        """Find credentials; no request is sent."""
        self._bucket.open()

    def close(self) -> None:
        """Let go of connections."""
        self._bucket.close()

    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level from `seek` on; one LIST for each 1,000 files, on Azure 5,000."""
        prefix = self._level_prefix(level)
        infos = self._list(level, prefix, f"{prefix}/{seek:016x}" if seek > 0 else None)
        infos = [info for info in infos if info.min_txid >= seek]
        if use_metadata and infos:
            infos = self._with_metadata(infos)
        infos.sort(key=lambda info: (info.min_txid, info.max_txid))
        return iter(infos)

    def ltx_levels(self) -> dict[int, list[FileInfo]] | None:
        """Return the files of all levels, if they and what else lies below the path are 1,000 at most: one LIST."""
        if not self._is_one_page:
            return None
        prefix = self._level_prefix(0).rpartition("/")[0]
        try:
            metas = self._bucket.call("read", list_page, prefix)
        except RequestError as error:
            raise self._list_error(error, prefix) from None
        if metas is None:
            self._is_one_page = False
            return None
        found = {level: self._infos(level, self._level_prefix(level), metas) for level in LEVELS}
        for infos in found.values():
            infos.sort(key=lambda info: (info.min_txid, info.max_txid))
        return found

    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file, or to its end."""
        key = self._key(info.level, info.min_txid, info.max_txid)
        return read_in_parts(partial(self._get, key), info.identity, start, end, READ_SIZE)

    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader; its first answer pins the file's identity."""
        key = self._key(level, min_txid, max_txid)
        return open_range_reader(partial(self._get, key), offset=offset, size=size, chunk_size=CHUNK_SIZE)

    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store a file; large ones in parts, for which no condition can be given."""
        key = self._key(level, min_txid, max_txid)
        head = read_upload_head(reader)
        created_at = from_timestamp_ms(head.timestamp_ms)
        attributes = {
            self.traits.timestamp_key: format_timestamp(created_at),
            "Content-Type": CONTENT_TYPE,
            **self._upload.attributes,
        }
        upload = Upload(head.data, reader, self._upload.part_size)
        put = partial(self._put, key, upload, attributes)
        if if_absent:
            result = self._put_if_absent(put, key) if upload.is_small else None
            if result is None:
                self._check_absent(level, min_txid, max_txid)
                result = put()
        else:
            result = put()
        return FileInfo(
            level=level,
            min_txid=min_txid,
            max_txid=max_txid,
            size=upload.size,
            created_at=created_at,
            identity=identity_of(result["e_tag"]),
        )

    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files, many with a request where the server can."""
        self._deleter.delete([self._key(info.level, info.min_txid, info.max_txid) for info in infos])

    def delete_all(self) -> None:
        """Delete the LTX files of all levels, and nothing else under the path."""
        for level in LEVELS:
            self.delete_ltx_files(self._list(level, self._level_prefix(level), None))

    def _put(
        self, key: str, upload: Upload, attributes: "Attributes", mode: Literal["create", "overwrite"] = "overwrite"
    ) -> "PutResult":
        import obstore  # noqa: PLC0415 - native, loaded at first use

        try:
            return self._bucket.call(
                "write" if upload.is_small else "parts",
                obstore.put,
                key,
                upload.start if upload.is_small else upload,
                attributes=attributes,
                use_multipart=not upload.is_small,
                chunk_size=self._upload.part_size,
                max_concurrency=self._upload.concurrency,
                mode=mode,
            )
        except RequestError as error:
            if mode == "create":
                raise
            raise self._bucket.error(error.failure, f"PUT {key}", self.traits.permissions.write) from None

    def _put_if_absent(self, put: "Callable[..., PutResult]", key: str) -> "PutResult | None":
        """Upload a small file, or return None if the server knows no such condition."""
        if not self._has_conditions:
            return None
        try:
            return put(mode="create")
        except RequestError as error:
            failure = error.failure
            if failure.is_taken:
                raise _exists(key) from None
            if not failure.is_not_implemented:
                raise self._bucket.error(failure, f"PUT {key}", self.traits.permissions.write) from None
            self._has_conditions = False
            return None

    def _check_absent(self, level: int, min_txid: TXID, max_txid: TXID) -> None:
        for info in self.ltx_files(level, min_txid):
            if (info.min_txid, info.max_txid) == (min_txid, max_txid):
                raise _exists(self._key(level, min_txid, max_txid))

    def _level_prefix(self, level: int) -> str:
        return self._prefix + self.traits.level_format.format(level=check_level(level))

    def _key(self, level: int, min_txid: TXID, max_txid: TXID) -> str:
        return f"{self._level_prefix(level)}/{format_ltx_name(min_txid, max_txid)}"

    def _list(self, level: int, prefix: str, offset: str | None) -> list[FileInfo]:
        """Return the files under a prefix; objects with other names are passed over."""
        try:
            metas = self._bucket.call("read", list_all, prefix, offset)
        except RequestError as error:
            raise self._list_error(error, prefix) from None
        return self._infos(level, prefix, metas)

    @staticmethod
    def _infos(level: int, prefix: str, metas: "list[ObjectMeta]") -> list[FileInfo]:
        infos: list[FileInfo] = []
        for meta in metas:
            name = parse_ltx_name(meta["path"].removeprefix(f"{prefix}/"))
            if name is not None:
                infos.append(
                    FileInfo(
                        level=level,
                        min_txid=name.min_txid,
                        max_txid=name.max_txid,
                        size=meta["size"],
                        created_at=meta["last_modified"],
                        identity=identity_of(meta["e_tag"]),
                    )
                )
        return infos

    def _list_error(self, error: RequestError, prefix: str) -> LitestreamError:
        bucket, traits = self._bucket, self.traits
        if error.failure.is_missing:  # a listing finds nothing, it does not miss anything: this is another server
            return UsageError(f"LIST {prefix}: the server at {bucket.server} does not speak {traits.protocol} (404)")
        return bucket.error(error.failure, f"LIST {prefix}", f"{traits.permissions.list} on {bucket.name}")

    def _with_metadata(self, infos: list[FileInfo]) -> list[FileInfo]:
        """Return the files with their headers' times; those gone meanwhile are left out."""
        with ThreadPoolExecutor(HEADS_AT_ONCE, f"litestream-{self.type}-head") as pool:
            return [info for info in pool.map(self._dated, infos) if info is not None]

    def _dated(self, info: FileInfo) -> FileInfo | None:
        key = self._key(info.level, info.min_txid, info.max_txid)
        try:
            found = parse_timestamp(self._bucket.call("read", head_metadata, key, self.traits.timestamp_key))
        except RequestError as error:
            if error.failure.is_missing:
                return None
            raise self._read_error(error, f"HEAD {key}", key) from None
        return info if found is None else replace(info, created_at=found)

    def _get(self, key: str, identity: str, start: int, end: int) -> Chunk:
        """Return a range, cut short at the end of the file; nothing when it begins past it."""
        try:
            return self._bucket.call("read", get_range, key, identity, start, end)
        except RequestError as error:
            if error.failure.range_is_past_the_end:
                return Chunk(b"", identity)
            raise self._read_error(error, f"GET {key}", key) from None

    def _read_error(self, error: RequestError, what: str, key: str) -> LitestreamError:
        """Return the error of a GET; where a 403 can also mean that the object is missing, ask once.

        S3 says 403 instead of 404 to those who may not list. Who may list, and is told 403, may not read.
        """
        mapped = self._bucket.error(error.failure, what, self.traits.permissions.read)
        if not (self.traits.hides_missing and error.failure.is_forbidden and isinstance(mapped, DeniedError)):
            return mapped
        try:
            is_there = self._bucket.call("read", is_listed, key)
        except RequestError as second:
            if second.failure.is_forbidden:
                msg = f"{mapped}, and {self.traits.permissions.list} to tell a missing object from a forbidden one"
                return DeniedError(msg)
            return mapped
        return mapped if is_there else LTXMissingError(f"{what}: no such object")


def _exists(key: str) -> LTXExistsError:
    return LTXExistsError(f"PUT {key}: the object is there already")
