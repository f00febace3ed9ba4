"""Files of Litestream 0.3 in a bucket."""

from collections.abc import Callable, Iterator

from replication.client.reader import Chunk
from replication.client.s3_requests import list_all
from replication.client.s3_store import S3Bucket, S3RequestError
from replication.client.v3 import GENERATIONS_DIR, V3File, parse_v3_path
from replication.errors import LitestreamError


class S3V3Files:
    """The objects below the path of an S3 replica."""

    def __init__(
        self,
        bucket: S3Bucket,
        path: str,
        get: Callable[[str, str, int, int], Chunk],
        list_error: Callable[[S3RequestError, str], LitestreamError],
    ) -> None:
        """Take how the client reads a range of a key, and what it makes of a listing that failed."""
        self._bucket = bucket
        self._prefix = f"{path}/{GENERATIONS_DIR}"
        self._get = get
        self._list_error = list_error

    def list(self) -> Iterator[V3File]:
        """Yield the files of all generations; one LIST for each 1,000, and one if there are none."""
        try:
            metas = self._bucket.call("read", list_all, self._prefix, None)
        except S3RequestError as error:
            raise self._list_error(error, self._prefix) from None
        for meta in metas:
            file = parse_v3_path(meta["path"].removeprefix(f"{self._prefix}/"), meta["size"], meta["last_modified"])
            if file is not None:
                yield file

    def read(self, file: V3File, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file."""
        return self._get(f"{self._prefix}/{file.path}", "", start, end).data
