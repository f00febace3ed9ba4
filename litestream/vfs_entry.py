"""The VFS named "litestream": opens replicas; whatever else SQLite wants goes to the default VFS.

Importing this module must stay cheap: all that reading a replica needs, the package `vfs` with it, is imported when the
first one is opened.
"""

import apsw

VFS_NAME = "litestream"
MAX_NAME_SIZE = 4096  # bytes; a name may be a URL
_COMPANIONS = ("-journal", "-wal", "-shm")


class LitestreamVFS(apsw.VFS):
    """Opens `file:NAME?vfs=litestream`."""

    def __init__(self) -> None:
        """Register with SQLite, beside the default VFS."""
        super().__init__(VFS_NAME, "", maxpathname=MAX_NAME_SIZE)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open a replica if SQLite asks for a database, else a temporary file."""
        if not flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return super().xOpen(name, flags)
        from vfs.open import open_file  # noqa: PLC0415 - keeps the import cheap

        file = open_file(name)
        flags[1] = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB
        return file  # type: ignore[return-value]  # APSW takes any object with the methods it calls

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        """Return the name as it is: it names a replica, not a path."""
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        """Say that a replica has no journal and no WAL beside it."""
        return not pathname.endswith(_COMPANIONS) and super().xAccess(pathname, flags)


def add_functions(connection: apsw.Connection) -> None:
    """Give a connection the SQL functions; called for each one that is opened."""
    from vfs.functions import add_functions  # noqa: PLC0415 - keeps the import cheap

    add_functions(connection)
