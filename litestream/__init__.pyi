from litestream.api import connect, read_replica, register_read_replica, unregister_read_replica
from litestream.restore_api import restore
from litestream.vfs_entry import LitestreamVFS
from replication.client.base import ReplicaClient
from replication.client.endpoints import (
    is_backblaze_endpoint,
    is_cloudflare_r2_endpoint,
    is_digital_ocean_endpoint,
    is_filebase_endpoint,
    is_minio_endpoint,
    is_scaleway_endpoint,
    is_tigris_endpoint,
)
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
from replication.client.url_parse import (
    ReplicaURL,
    bool_query_value,
    clean_replica_url_path,
    is_url,
    parse_replica_url,
    region_from_s3_arn,
    replica_type_from_url,
)
from replication.errors import (
    ChecksumMismatchError,
    CorruptError,
    DeniedError,
    LitestreamError,
    LTXError,
    LTXMissingError,
    NoSnapshotsError,
    PositionError,
    PrevFrameMismatchError,
    SnapshotGoneError,
    StaleError,
    ThrottledError,
    TxNotAvailableError,
    UnavailableError,
    UsageError,
    WALError,
)
from replication.levels import SNAPSHOT_LEVEL
from replication.ltx.file_info import FileInfo
from replication.ltx.name import ltx_dir, ltx_file_path, ltx_level_dir
from replication.position import TXID, Pos, format_txid, parse_txid
from replication.restore.options import DEFAULT_RESTORE_PARALLELISM, RestoreResult
from replication.restore.points import RestorePoint
from replication.restore.source import calc_restore_plan
from replication.wal.checksum import checksum, wal_checksum
from replication.wal.frame import WAL_FRAME_HEADER_CHECKSUM_OFFSET, WAL_FRAME_HEADER_SIZE
from replication.wal.header import WAL_HEADER_CHECKSUM_OFFSET, WAL_HEADER_SIZE
from replication.wal.reader import WALReader
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
    "WAL_FRAME_HEADER_CHECKSUM_OFFSET",
    "WAL_FRAME_HEADER_SIZE",
    "WAL_HEADER_CHECKSUM_OFFSET",
    "WAL_HEADER_SIZE",
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
    "PrevFrameMismatchError",
    "ReadReplica",
    "ReplicaClient",
    "ReplicaURL",
    "RestorePoint",
    "RestoreResult",
    "S3ReplicaClient",
    "SnapshotGoneError",
    "StaleError",
    "ThrottledError",
    "TxNotAvailableError",
    "UnavailableError",
    "UsageError",
    "WALError",
    "WALReader",
    "bool_query_value",
    "calc_restore_plan",
    "checksum",
    "clean_replica_url_path",
    "connect",
    "fetch_ltx_header",
    "fetch_page",
    "fetch_page_index",
    "find_ltx_files",
    "format_txid",
    "is_backblaze_endpoint",
    "is_cloudflare_r2_endpoint",
    "is_digital_ocean_endpoint",
    "is_filebase_endpoint",
    "is_minio_endpoint",
    "is_scaleway_endpoint",
    "is_tigris_endpoint",
    "is_url",
    "ltx_dir",
    "ltx_file_path",
    "ltx_level_dir",
    "parse_replica_url",
    "parse_txid",
    "read_replica",
    "region_from_s3_arn",
    "register_read_replica",
    "register_replica_client",
    "replica_client",
    "replica_type_from_url",
    "restore",
    "unregister_read_replica",
    "wal_checksum",
]
