"""Litestream for APSW: replicas of SQLite databases, opened in place through APSW, following the primary.

    import litestream

    connection = litestream.connect("s3://bucket/path")
    connection.execute("SELECT ...")

Importing this registers the VFS "litestream" with APSW and costs little more than importing APSW itself: what reading a
replica needs is imported when the first name that needs it is used. The types of those names stand in `__init__.pyi`.
"""

import apsw

from vfs.vfs import LitestreamVFS, add_functions

_MODULES = {
    "litestream.api": ("connect", "read_replica", "register_read_replica", "unregister_read_replica"),
    "litestream.restore_api": ("restore",),
    "replication.client.base": ("ReplicaClient",),
    "replication.client.fetch": (
        "DEFAULT_ESTIMATED_PAGE_INDEX_SIZE",
        "fetch_ltx_header",
        "fetch_page",
        "fetch_page_index",
        "find_ltx_files",
    ),
    "replication.client.file": ("FileReplicaClient",),
    "replication.client.memory": ("MemoryReplicaClient",),
    "replication.client.s3": ("S3ReplicaClient",),
    "replication.client.url": ("register_replica_client", "replica_client"),
    "replication.errors": (
        "ChecksumMismatchError",
        "CorruptError",
        "DeniedError",
        "LTXError",
        "LTXMissingError",
        "LitestreamError",
        "NoSnapshotsError",
        "PositionError",
        "SnapshotGoneError",
        "StaleError",
        "ThrottledError",
        "TxNotAvailableError",
        "UnavailableError",
        "UsageError",
    ),
    "replication.levels": ("SNAPSHOT_LEVEL",),
    "replication.ltx.file_info": ("FileInfo",),
    "replication.ltx.name": ("ltx_dir", "ltx_file_path", "ltx_level_dir"),
    "replication.position": ("Pos", "TXID", "format_txid", "parse_txid"),
    "replication.restore.options": ("DEFAULT_RESTORE_PARALLELISM", "RestoreResult"),
    "replication.restore.points": ("RestorePoint",),
    "replication.restore.source": ("calc_restore_plan",),
    "vfs.read_replica": ("ReadReplica",),
    "vfs.uri": ("DEFAULT_CACHE_SIZE", "DEFAULT_POLL_INTERVAL_S"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

VFS = LitestreamVFS()
"""The registered VFS; SQLite reaches it by its name as long as this lives."""

apsw.connection_hooks.append(add_functions)

__all__ = ["VFS", *sorted(_HOMES)]  # noqa: PLE0604 - names that are imported at their first use


def __getattr__(name: str) -> object:
    module = _HOMES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(__import__(module, fromlist=[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
