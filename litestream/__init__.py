"""Litestream for APSW: replicas of SQLite databases, opened in place through APSW, following the primary.

    import litestream

    connection = litestream.connect("s3://bucket/path")
    connection.execute("SELECT ...")

Importing this registers the VFS "litestream" with APSW and costs little more than importing APSW itself: the public
names (`exports.py`, their types in `__init__.pyi`) and what they need are imported when the first of them is used.
"""

import apsw

from litestream.vfs_entry import LitestreamVFS, add_functions

VFS = LitestreamVFS()
"""The registered VFS; SQLite reaches it by its name as long as this lives."""

apsw.connection_hooks.append(add_functions)


def __getattr__(name: str) -> object:
    from litestream.exports import HOMES  # noqa: PLC0415 - keeps the import cheap

    if name == "__all__":
        return sorted(["VFS", *HOMES])
    if name not in HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(__import__(HOMES[name], fromlist=[name]), name)
    return value


def __dir__() -> list[str]:
    from litestream.exports import HOMES  # noqa: PLC0415

    return sorted({*globals(), *HOMES})
