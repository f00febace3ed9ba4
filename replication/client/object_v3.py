"""Files of Litestream 0.3 in a bucket."""

from collections.abc import Callable, Iterator
from typing import Any

from replication.client.object_bucket import Bucket, RequestError
from replication.client.object_requests import list_all
from replication.client.reader import Chunk
from replication.client.v3 import GENERATIONS_DIR, V3File, parse_v3_path
from replication.errors import LitestreamError


class ObjectV3Files:
    """The objects below the path of a replica."""

    def __init__(
        self,
        bucket: Bucket[Any],
        prefix: str,
        get: Callable[[str, str, int, int], Chunk],
        list_error: Callable[[RequestError, str], LitestreamError],
    ) -> None:
        """Take what keys begin with, how the client reads a range, and what it makes of a listing that failed."""
        self._bucket = bucket
        self._prefix = f"{prefix}{GENERATIONS_DIR}"
        self._get = get
        self._list_error = list_error

    def list(self) -> Iterator[V3File]:
        """Yield the files of all generations; one LIST for each 1,000, and one if there are none."""
        try:
            metas = self._bucket.call("read", list_all, self._prefix, None)
        except RequestError as error:
            raise self._list_error(error, self._prefix) from None
        for meta in metas:
            file = parse_v3_path(meta["path"].removeprefix(f"{self._prefix}/"), meta["size"], meta["last_modified"])
            if file is not None:
                yield file

    def read(self, file: V3File, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` (exclusive) of a file."""
        return self._get(f"{self._prefix}/{file.path}", "", start, end).data
