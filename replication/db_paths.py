"""Where a primary, its WAL and its local state lie.

    app.db, app.db-wal                            the database
    .app.db-litestream/ltx/0/<txid>-<txid>.ltx    level-0 files; the newest is the position
    .app.db-litestream/sums                       the checksum of every page at the newest file
    .app.db-litestream/position                   where in the WAL it ends
    .app.db-litestream/lock                       held by who replicates with this local state
    .app.db-litestream/id                         tells this local state from any other

The last four are ours; the Go program leaves them alone.

Source: litestream 0.5.17, db.go.
"""

import os
from pathlib import Path

from replication.errors import UsageError
from replication.ltx.name import LTX_DIR, ltx_file_path, ltx_level_dir
from replication.position import TXID

META_DIR_SUFFIX = "-litestream"


class DBPaths:
    """The paths of one database."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the database; it need not exist yet.

        Raises:
            UsageError: the path is empty.

        """
        if not os.fspath(path):
            msg = "expected the path of a database, got nothing"
            raise UsageError(msg)
        self._path = Path(path).absolute()
        self._meta_path = self._path.with_name(f".{self._path.name}{META_DIR_SUFFIX}")

    @property
    def path(self) -> Path:
        """Where the database is."""
        return self._path

    @property
    def wal_path(self) -> Path:
        """Where its WAL is."""
        return Path(f"{self._path}-wal")

    @property
    def meta_path(self) -> Path:
        """The directory of the local state."""
        return self._meta_path

    @property
    def ltx_dir(self) -> Path:
        """The directory of the levels of local files."""
        return self._meta_path / LTX_DIR

    def ltx_level_dir(self, level: int) -> Path:
        """Return the directory of the local files of a level; there are files of level 0 only."""
        return Path(ltx_level_dir(str(self._meta_path), level))

    def ltx_path(self, level: int, min_txid: TXID, max_txid: TXID) -> Path:
        """Return where the local file of that name is, or would be."""
        return Path(ltx_file_path(str(self._meta_path), level, min_txid, max_txid))
