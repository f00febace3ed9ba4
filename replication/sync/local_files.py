"""The local directory of level-0 files: `<meta>/ltx/0/<txid>-<txid>.ltx`, one TXID each.

A file is written under a name that ends in `.tmp`, synced, renamed, and the directory synced: a name that can be seen
is whole, and lasts. The newest name is the position of the database. New directories get mode and owner of the
directory the database is in, files those of the database.

Source: litestream 0.5.17, db.go.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from replication.errors import ConflictError, DeniedError, LitestreamError, LTXError, UnavailableError
from replication.ltx.header import HEADER_SIZE, Header
from replication.ltx.name import LTXName, format_ltx_name, ltx_level_dir, parse_ltx_name
from replication.ltx.trailer import TRAILER_SIZE, Trailer
from replication.position import NO_TXID, TXID

TEMPORARY_SUFFIX = ".tmp"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_PERMISSIONS = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A level-0 file: its header, and the checksum that tells it from another of the same name."""

    header: Header
    file_checksum: int

    @property
    def txid(self) -> TXID:
        """Its one TXID."""
        return self.header.max_txid


@contextmanager
def local_errors(path: Path) -> Iterator[None]:
    """Give what the operating system says of local state one of our classes."""
    try:
        yield
    except LitestreamError:
        raise  # what SQLite or a storage said while a local file was open
    except PermissionError as error:
        msg = f"no permission for {error.filename or path}: {error.strerror}"
        raise DeniedError(msg) from error
    except OSError as error:
        reason = "no space left on the device" if error.errno in _FULL else error.strerror or str(error)
        msg = f"local state {error.filename or path}: {reason}"
        raise UnavailableError(msg) from error


class LocalFiles:
    """The level-0 files below a meta directory."""

    def __init__(self, meta_path: str, database: str) -> None:
        self._meta = Path(meta_path)
        self._database = Path(database)
        self.directory = Path(ltx_level_dir(meta_path, 0))

    def make_directories(self) -> None:
        """Make the directories that are missing."""
        with local_errors(self._meta):
            self._make_directory(self.directory)

    def prepare(self) -> None:
        """Make the directories, and remove what a crash left half-written."""
        self.make_directories()
        with local_errors(self._meta):
            for path in self._meta.rglob(f"*{TEMPORARY_SUFFIX}"):
                path.unlink(missing_ok=True)

    def names(self) -> list[LTXName]:
        """Return the names of all files, ascending."""
        with local_errors(self.directory):
            try:
                entries = [path.name for path in self.directory.iterdir()]
            except FileNotFoundError:
                return []
        found = [name for entry in entries if (name := parse_ltx_name(entry)) is not None]
        return sorted(found, key=lambda name: (name.max_txid, name.min_txid))

    def max_txid(self) -> TXID:
        """Return the newest TXID, 0 if there is none."""
        names = self.names()
        return names[-1].max_txid if names else NO_TXID

    def path(self, txid: int) -> Path:
        """Return where the file of a TXID is, or would be."""
        return self.directory / format_ltx_name(txid, txid)

    def newest(self) -> LocalFile | None:
        """Return the newest file, or None if there is none.

        Raises:
            LTXError: it is no LTX file.

        """
        txid = self.max_txid()
        return self.read(txid) if txid else None

    def read(self, txid: int) -> LocalFile | None:
        """Return the file of a TXID, or None if it is not there; its pages are not read.

        Raises:
            LTXError: it is no LTX file, or of other TXIDs.

        """
        path = self.path(txid)
        with local_errors(path):
            try:
                with path.open("rb") as file:
                    head = file.read(HEADER_SIZE)
                    file.seek(max(0, os.fstat(file.fileno()).st_size - TRAILER_SIZE))
                    tail = file.read()
            except FileNotFoundError:
                return None
        header = Header.unpack(head)
        header.validate()
        if (header.min_txid, header.max_txid) != (txid, txid):
            msg = f"expected the TXID {txid:016x} in {path}, got {header.min_txid:016x} to {header.max_txid:016x}"
            raise LTXError(msg)
        return LocalFile(header, Trailer.unpack(tail).file_checksum)

    @contextmanager
    def create(self, txid: int) -> Iterator[BinaryIO]:
        """Open the file of a new TXID for writing; it appears, synced, when the block ends without an error.

        Raises:
            ConflictError: it is there already, so another process replicates the same database.
            UnavailableError: no space, and the like; nothing is left of it.

        """
        path = self.path(txid)
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        with local_errors(path):
            self._make_directory(self.directory)
            if path.exists():
                msg = f"expected that {path} is not there yet: does another process replicate {self._database}?"
                raise ConflictError(msg)
            try:
                with temporary.open("wb") as file:
                    yield file
                    file.flush()
                    inherit(file.fileno(), self._database)
                    os.fsync(file.fileno())
                temporary.replace(path)
                self._last(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def delete_before(self, txid: int) -> None:
        """Delete the files that end before a TXID."""
        with local_errors(self.directory):
            for name in self.names():
                if name.max_txid < txid:
                    (self.directory / str(name)).unlink(missing_ok=True)

    def _last(self, path: Path) -> None:
        """Make the name last, or take it back."""
        try:
            sync_directory(path.parent)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _make_directory(self, directory: Path) -> None:
        if directory.is_dir():
            return
        if not directory.parent.is_dir():
            self._make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            inherit(descriptor, self._database.parent)
        finally:
            os.close(descriptor)
        sync_directory(directory.parent)


def inherit(descriptor: int, model: Path) -> None:
    """Take over mode and owner of another file, as far as we may."""
    found = model.stat()
    os.fchmod(descriptor, found.st_mode & _PERMISSIONS)
    ours = os.fstat(descriptor)
    if (ours.st_uid, ours.st_gid) != (found.st_uid, found.st_gid):
        with suppress(PermissionError):
            os.fchown(descriptor, found.st_uid, found.st_gid)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory last."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
