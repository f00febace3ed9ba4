"""Litestream for APSW: replicas of SQLite databases, opened in place through APSW, following the primary.

    import litestream

    connection = litestream.connect("s3://bucket/path")
    connection.execute("SELECT ...")

Importing this registers the VFS "litestream" with APSW and costs little more than importing APSW itself: what reading a
replica needs is imported when the first name that needs it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

import apsw

from vfs.functions import add_functions
from vfs.vfs import LitestreamVFS

if TYPE_CHECKING:
    from litestream.api import (
        connect as connect,
    )
    from litestream.api import (
        read_replica as read_replica,
    )
    from litestream.api import (
        register_read_replica as register_read_replica,
    )
    from litestream.api import (
        unregister_read_replica as unregister_read_replica,
    )
    from replication.client.base import ReplicaClient as ReplicaClient
    from replication.client.fetch import (
        DEFAULT_ESTIMATED_PAGE_INDEX_SIZE as DEFAULT_ESTIMATED_PAGE_INDEX_SIZE,
    )
    from replication.client.fetch import (
        fetch_ltx_header as fetch_ltx_header,
    )
    from replication.client.fetch import (
        fetch_page as fetch_page,
    )
    from replication.client.fetch import (
        fetch_page_index as fetch_page_index,
    )
    from replication.client.fetch import (
        find_ltx_files as find_ltx_files,
    )
    from replication.client.file import FileReplicaClient as FileReplicaClient
    from replication.client.memory import MemoryReplicaClient as MemoryReplicaClient
    from replication.client.s3 import S3ReplicaClient as S3ReplicaClient
    from replication.client.url import (
        register_replica_client as register_replica_client,
    )
    from replication.client.url import (
        replica_client as replica_client,
    )
    from replication.errors import (
        ChecksumMismatchError as ChecksumMismatchError,
    )
    from replication.errors import (
        CorruptError as CorruptError,
    )
    from replication.errors import (
        DeniedError as DeniedError,
    )
    from replication.errors import (
        LitestreamError as LitestreamError,
    )
    from replication.errors import (
        LTXError as LTXError,
    )
    from replication.errors import (
        LTXMissingError as LTXMissingError,
    )
    from replication.errors import (
        NoSnapshotsError as NoSnapshotsError,
    )
    from replication.errors import (
        PositionError as PositionError,
    )
    from replication.errors import (
        SnapshotGoneError as SnapshotGoneError,
    )
    from replication.errors import (
        StaleError as StaleError,
    )
    from replication.errors import (
        ThrottledError as ThrottledError,
    )
    from replication.errors import (
        TxNotAvailableError as TxNotAvailableError,
    )
    from replication.errors import (
        UnavailableError as UnavailableError,
    )
    from replication.errors import (
        UsageError as UsageError,
    )
    from replication.levels import SNAPSHOT_LEVEL as SNAPSHOT_LEVEL
    from replication.ltx.file_info import FileInfo as FileInfo
    from replication.ltx.name import ltx_dir as ltx_dir
    from replication.ltx.name import ltx_file_path as ltx_file_path
    from replication.ltx.name import ltx_level_dir as ltx_level_dir
    from replication.position import TXID as TXID
    from replication.position import Pos as Pos
    from replication.position import format_txid as format_txid
    from replication.position import parse_txid as parse_txid
    from replication.restore.points import RestorePoint as RestorePoint
    from replication.restore.source import calc_restore_plan as calc_restore_plan
    from vfs.read_replica import ReadReplica as ReadReplica
    from vfs.uri import DEFAULT_CACHE_SIZE as DEFAULT_CACHE_SIZE
    from vfs.uri import DEFAULT_POLL_INTERVAL_S as DEFAULT_POLL_INTERVAL_S

_MODULES = {
    "litestream.api": (
        "connect",
        "read_replica",
        "register_read_replica",
        "unregister_read_replica",
    ),
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
    "replication.client.url": (
        "register_replica_client",
        "replica_client",
    ),
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
    "replication.ltx.name": (
        "ltx_dir",
        "ltx_file_path",
        "ltx_level_dir",
    ),
    "replication.position": (
        "Pos",
        "TXID",
        "format_txid",
        "parse_txid",
    ),
    "replication.restore.points": ("RestorePoint",),
    "replication.restore.source": ("calc_restore_plan",),
    "vfs.read_replica": ("ReadReplica",),
    "vfs.uri": (
        "DEFAULT_CACHE_SIZE",
        "DEFAULT_POLL_INTERVAL_S",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

VFS = LitestreamVFS()
"""The registered VFS; SQLite reaches it by its name as long as this lives."""

apsw.connection_hooks.append(add_functions)

__all__ = [  # noqa: PLE0604 - names that are imported at their first use
    "VFS",
    *sorted(_HOMES),
]


def __getattr__(name: str) -> object:
    module = _HOMES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
