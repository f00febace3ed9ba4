from litestream.api import connect, read_replica, register_read_replica, unregister_read_replica
from litestream.replicate_api import replicate
from litestream.restore_api import restore
from litestream.vfs_entry import LitestreamVFS
from replication.checkpoint import (
    CHECKPOINT_MODE_FULL,
    CHECKPOINT_MODE_PASSIVE,
    CHECKPOINT_MODE_RESTART,
    CHECKPOINT_MODE_TRUNCATE,
)
from replication.client.azure import AzureReplicaClient
from replication.client.base import ReplicaClient
from replication.client.endpoints import (
    ensure_endpoint_scheme,
    is_backblaze_endpoint,
    is_cloudflare_r2_endpoint,
    is_digital_ocean_endpoint,
    is_filebase_endpoint,
    is_google_cloud_storage_endpoint,
    is_hetzner_endpoint,
    is_local_endpoint,
    is_minio_endpoint,
    is_scaleway_endpoint,
    is_supabase_endpoint,
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
from replication.client.gcs import GCSReplicaClient
from replication.client.http_files import HTTPReplicaClient
from replication.client.memory import MemoryReplicaClient
from replication.client.nats import NatsReplicaClient
from replication.client.oss import OSSReplicaClient
from replication.client.s3 import S3ReplicaClient
from replication.client.sftp import SFTPReplicaClient
from replication.client.url import ReplicaClientFactory, register_replica_client, replica_client
from replication.client.url_parse import (
    ReplicaURL,
    bool_query_value,
    clean_replica_url_path,
    is_url,
    parse_replica_url,
    region_from_s3_arn,
    replica_type_from_url,
)
from replication.client.webdav import WebDAVReplicaClient
from replication.compaction_levels import (
    DEFAULT_COMPACTION_LEVELS,
    DEFAULT_L0_RETENTION_CHECK_INTERVAL_S,
    DEFAULT_L0_RETENTION_S,
    DEFAULT_RETENTION_CHECK_INTERVAL_S,
    DEFAULT_RETENTION_S,
    DEFAULT_SNAPSHOT_INTERVAL_S,
    DEFAULT_SNAPSHOT_RETENTION_S,
    CompactionLevel,
    CompactionLevels,
)
from replication.db import (
    DB,
    DEFAULT_CHECKPOINT_INTERVAL_S,
    DEFAULT_MIN_CHECKPOINT_PAGE_N,
    DEFAULT_MONITOR_INTERVAL_S,
    DEFAULT_TRUNCATE_PAGE_N,
)
from replication.db_paths import META_DIR_SUFFIX
from replication.db_state import DEFAULT_BUSY_TIMEOUT_S
from replication.errors import (
    ChecksumMismatchError,
    CompactionTooEarlyError,
    ConflictError,
    CorruptError,
    DBNotReadyError,
    DeniedError,
    LeaseError,
    LeaseHeldError,
    LeaseLostError,
    LitestreamError,
    LocalStateHeldError,
    LTXError,
    LTXExistsError,
    LTXMissingError,
    NoCompactionError,
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
from replication.lease import Lease
from replication.levels import SNAPSHOT_LEVEL
from replication.log import ROOT_LOGGER
from replication.ltx.file_info import FileInfo
from replication.ltx.index import PageIndex
from replication.ltx.name import ltx_dir, ltx_file_path, ltx_level_dir
from replication.position import TXID, Pos, format_txid, parse_txid
from replication.replica import DEFAULT_SYNC_INTERVAL_S, Replica
from replication.replica_files import TimeBounds
from replication.restore.options import DEFAULT_RESTORE_PARALLELISM, RestoreResult
from replication.restore.points import RestorePoint
from replication.restore.source import calc_restore_plan
from replication.retention import RetentionPolicy
from replication.shutdown import DEFAULT_SHUTDOWN_SYNC_INTERVAL_S, DEFAULT_SHUTDOWN_SYNC_TIMEOUT_S
from replication.store import Store
from replication.wal.checksum import checksum, wal_checksum
from replication.wal.frame import WAL_FRAME_HEADER_CHECKSUM_OFFSET, WAL_FRAME_HEADER_SIZE, WALFrame
from replication.wal.header import WAL_HEADER_CHECKSUM_OFFSET, WAL_HEADER_SIZE
from replication.wal.page_map import PageMap
from replication.wal.reader import WALReader
from vfs.read_replica import ReadReplica
from vfs.uri import DEFAULT_CACHE_SIZE, DEFAULT_POLL_INTERVAL_S

VFS: LitestreamVFS

__all__ = [
    "CHECKPOINT_MODE_FULL",
    "CHECKPOINT_MODE_PASSIVE",
    "CHECKPOINT_MODE_RESTART",
    "CHECKPOINT_MODE_TRUNCATE",
    "DB",
    "DEFAULT_BUSY_TIMEOUT_S",
    "DEFAULT_CACHE_SIZE",
    "DEFAULT_CHECKPOINT_INTERVAL_S",
    "DEFAULT_COMPACTION_LEVELS",
    "DEFAULT_ESTIMATED_PAGE_INDEX_SIZE",
    "DEFAULT_L0_RETENTION_CHECK_INTERVAL_S",
    "DEFAULT_L0_RETENTION_S",
    "DEFAULT_MIN_CHECKPOINT_PAGE_N",
    "DEFAULT_MONITOR_INTERVAL_S",
    "DEFAULT_POLL_INTERVAL_S",
    "DEFAULT_RESTORE_PARALLELISM",
    "DEFAULT_RETENTION_CHECK_INTERVAL_S",
    "DEFAULT_RETENTION_S",
    "DEFAULT_SHUTDOWN_SYNC_INTERVAL_S",
    "DEFAULT_SHUTDOWN_SYNC_TIMEOUT_S",
    "DEFAULT_SNAPSHOT_INTERVAL_S",
    "DEFAULT_SNAPSHOT_RETENTION_S",
    "DEFAULT_SYNC_INTERVAL_S",
    "DEFAULT_TRUNCATE_PAGE_N",
    "META_DIR_SUFFIX",
    "ROOT_LOGGER",
    "SNAPSHOT_LEVEL",
    "TXID",
    "VFS",
    "WAL_FRAME_HEADER_CHECKSUM_OFFSET",
    "WAL_FRAME_HEADER_SIZE",
    "WAL_HEADER_CHECKSUM_OFFSET",
    "WAL_HEADER_SIZE",
    "AzureReplicaClient",
    "ChecksumMismatchError",
    "CompactionLevel",
    "CompactionLevels",
    "CompactionTooEarlyError",
    "ConflictError",
    "CorruptError",
    "DBNotReadyError",
    "DeniedError",
    "FileInfo",
    "FileReplicaClient",
    "GCSReplicaClient",
    "HTTPReplicaClient",
    "LTXError",
    "LTXExistsError",
    "LTXMissingError",
    "Lease",
    "LeaseError",
    "LeaseHeldError",
    "LeaseLostError",
    "LitestreamError",
    "LocalStateHeldError",
    "MemoryReplicaClient",
    "NatsReplicaClient",
    "NoCompactionError",
    "NoSnapshotsError",
    "OSSReplicaClient",
    "PageIndex",
    "PageMap",
    "Pos",
    "PositionError",
    "PrevFrameMismatchError",
    "ReadReplica",
    "Replica",
    "ReplicaClient",
    "ReplicaClientFactory",
    "ReplicaURL",
    "RestorePoint",
    "RestoreResult",
    "RetentionPolicy",
    "S3ReplicaClient",
    "SFTPReplicaClient",
    "SnapshotGoneError",
    "StaleError",
    "Store",
    "ThrottledError",
    "TimeBounds",
    "TxNotAvailableError",
    "UnavailableError",
    "UsageError",
    "WALError",
    "WALFrame",
    "WALReader",
    "WebDAVReplicaClient",
    "bool_query_value",
    "calc_restore_plan",
    "checksum",
    "clean_replica_url_path",
    "connect",
    "ensure_endpoint_scheme",
    "fetch_ltx_header",
    "fetch_page",
    "fetch_page_index",
    "find_ltx_files",
    "format_txid",
    "is_backblaze_endpoint",
    "is_cloudflare_r2_endpoint",
    "is_digital_ocean_endpoint",
    "is_filebase_endpoint",
    "is_google_cloud_storage_endpoint",
    "is_hetzner_endpoint",
    "is_local_endpoint",
    "is_minio_endpoint",
    "is_scaleway_endpoint",
    "is_supabase_endpoint",
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
    "replicate",
    "restore",
    "unregister_read_replica",
    "wal_checksum",
]
