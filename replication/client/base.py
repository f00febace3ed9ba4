"""The contract of a replica client: how the rest of the library reaches the files of one replica.

Rules every client keeps, and the conformance suite checks:
- A listing is sorted by (min_txid, max_txid) and holds only well-formed names; a level nobody wrote is empty.
- A file becomes visible whole or not at all, with its size and, where the store can, its header's time.
- Levels are separate, deleting what is missing is no error, and nothing outside the replica's prefix is touched.
- Every failure is one of the classes in `replication.errors`, and no message or `repr` holds a secret.
- A client may be used from any thread.

Source: litestream 0.5.17, replica_client.go.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, ClassVar

from replication.client.reader import identity_of
from replication.clock import from_timestamp_ms
from replication.ltx.file_info import FileInfo
from replication.ltx.header import HEADER_SIZE, Header
from replication.position import NO_TXID, TXID


class ReplicaClient(ABC):
    """Access to the files of one replica."""

    type: ClassVar[str]
    """The scheme that names this kind of client: "file", "s3", ..."""

    accurate_list_times: ClassVar[bool]
    """Whether a plain listing already gives the header's times, so that `use_metadata` costs nothing."""

    is_local: ClassVar[bool] = False
    """Whether calls never wait for a network, so that a reader may make them on its own thread."""

    @abstractmethod
    def init(self) -> None:
        """Connect and check the configuration; a second call does nothing.

        Raises:
            UsageError, DeniedError, UnavailableError: the configuration cannot work, or not now.

        """

    @abstractmethod
    def ltx_files(self, level: int, seek: TXID = NO_TXID, *, use_metadata: bool = False) -> Iterator[FileInfo]:
        """Yield the files of a level with `min_txid >= seek`, sorted by (min_txid, max_txid).

        With `use_metadata`, `created_at` is the header's time even where that costs a request for each file.

        Raises:
            UsageError: there is no such level, or no such bucket.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """

    def ltx_levels(self) -> Mapping[int, Sequence[FileInfo]] | None:
        """Return the files of all levels, each sorted as `ltx_files` gives them, where one listing can tell.

        None is for stores that list a level at a time, and for replicas of too many files, of which it is found out
        once, so that it can always be asked first.

        Raises:
            UsageError, DeniedError, UnavailableError: as `ltx_files`.

        """
        return None

    @abstractmethod
    def read_ltx(self, info: FileInfo, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes `start` (inclusive) to `end` (exclusive) of a file, or to its end.

        A range past the end is cut short, not an error. Of `info` only level, TXIDs and, unless it is empty, the
        identity count: a file that has another identity by now is missing.

        Raises:
            LTXMissingError: the file is not in the replica.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """

    @abstractmethod
    def open_ltx_file(self, level: int, min_txid: TXID, max_txid: TXID, offset: int = 0, size: int = 0) -> BinaryIO:
        """Return a reader of `size` bytes from `offset` on; size 0 means to the end of the file.

        Raises:
            LTXMissingError: the file is not in the replica.
            DeniedError, UnavailableError: the storage refused, or did not answer; reads may raise them too.

        """

    def read_named(self, level: int, min_txid: TXID, max_txid: TXID, limit: int) -> tuple[FileInfo, bytes]:
        """Return the first `limit` bytes of a file that was not listed, and what a listing would say of it.

        Of a file that is longer than that, the size is not told: it is that of the bytes.

        Raises:
            LTXMissingError: there is no file of that name.
            LTXError: it does not begin as an LTX file.
            DeniedError, UnavailableError: the storage refused, or did not answer.

        """
        with self.open_ltx_file(level, min_txid, max_txid, 0, limit) as reader:
            data = reader.read()
            identity = identity_of(reader)
        header = Header.unpack(data[:HEADER_SIZE])
        info = FileInfo(
            level=level,
            min_txid=min_txid,
            max_txid=max_txid,
            size=len(data),
            created_at=from_timestamp_ms(header.timestamp_ms),
            identity=identity,
        )
        return info, data

    @abstractmethod
    def write_ltx_file(
        self, level: int, min_txid: TXID, max_txid: TXID, reader: BinaryIO, *, if_absent: bool = False
    ) -> FileInfo:
        """Store what `reader` gives, to its end, under that name, and return what a listing would say of it.

        The first 100 bytes must be an LTX header: the stored time comes from it. With `if_absent`, a file of that name
        stays as it is; stores that cannot check that themselves are asked before, so that two writers at once may
        both write.

        Raises:
            LTXError: the first bytes are no LTX header.
            LTXExistsError: with `if_absent`, the name is taken.
            DeniedError, UnavailableError: the storage refused, or did not answer; nothing is visible then.

        """

    @abstractmethod
    def delete_ltx_files(self, infos: Iterable[FileInfo]) -> None:
        """Delete files; those already gone are no error.

        Raises:
            DeniedError, UnavailableError: the storage refused, or did not answer; some may be deleted.

        """

    @abstractmethod
    def delete_all(self) -> None:
        """Delete every file of the replica.

        Raises:
            DeniedError, UnavailableError: the storage refused, or did not answer; some may be deleted.

        """

    def close(self) -> None:  # noqa: B027 - a client without connections has nothing to do
        """Let go of connections; the client may be used again afterwards."""
