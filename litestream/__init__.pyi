from litestream.api import connect, read_replica, register_read_replica, unregister_read_replica
from litestream.restore_api import restore
from litestream.vfs_entry import LitestreamVFS
from replication.client.base import ReplicaClient
from replication.client.fetch import (
    DEFAULT_ESTIMATED_PAGE_INDEX_SIZE,
    fetch_ltx_header,
    fetch_page,
    fetch_page_index,
    find_ltx_files,
)
from replication.client.file import FileReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.s3 import S3ReplicaClient
from replication.client.url import register_replica_client, replica_client
from replication.errors import (
    ChecksumMismatchError,
    CorruptError,
    DeniedError,
    LitestreamError,
    LTXError,
    LTXMissingError,
    NoSnapshotsError,
    PositionError,
    SnapshotGoneError,
    StaleError,
    ThrottledError,
    TxNotAvailableError,
    UnavailableError,
    UsageError,
)
from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.file_info import FileInfo
from replication.ltx.name import ltx_dir, ltx_file_path, ltx_level_dir
from replication.position import TXID, Pos, format_txid, parse_txid
from replication.restore.options import DEFAULT_RESTORE_PARALLELISM, RestoreResult
from replication.restore.points import RestorePoint
from replication.restore.source import calc_restore_plan
from vfs.read_replica import ReadReplica
from vfs.uri import DEFAULT_CACHE_SIZE, DEFAULT_POLL_INTERVAL_S

VFS: LitestreamVFS

__all__ = [
    "DEFAULT_CACHE_SIZE",
    "DEFAULT_ESTIMATED_PAGE_INDEX_SIZE",
    "DEFAULT_POLL_INTERVAL_S",
    "DEFAULT_RESTORE_PARALLELISM",
    "SNAPSHOT_LEVEL",
    "TXID",
    "VFS",
    "ChecksumMismatchError",
    "CorruptError",
    "DeniedError",
    "FileInfo",
    "FileReplicaClient",
    "LTXError",
    "LTXMissingError",
    "LitestreamError",
    "MemoryReplicaClient",
    "NoSnapshotsError",
    "Pos",
    "PositionError",
    "ReadReplica",
    "ReplicaClient",
    "RestorePoint",
    "RestoreResult",
    "S3ReplicaClient",
    "SnapshotGoneError",
    "StaleError",
    "ThrottledError",
    "TxNotAvailableError",
    "UnavailableError",
    "UsageError",
    "calc_restore_plan",
    "connect",
    "fetch_ltx_header",
    "fetch_page",
    "fetch_page_index",
    "find_ltx_files",
    "format_txid",
    "ltx_dir",
    "ltx_file_path",
    "ltx_level_dir",
    "parse_txid",
    "read_replica",
    "register_read_replica",
    "register_replica_client",
    "replica_client",
    "restore",
    "unregister_read_replica",
]
