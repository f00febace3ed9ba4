"""The exported names of the Go package `litestream`, with `()` behind functions and methods; what its constants are."""

import re

_TEXT = """
DefaultMonitorInterval DefaultCheckpointInterval DefaultBusyTimeout DefaultMinCheckpointPageN DefaultTruncatePageN
DefaultShutdownSyncTimeout DefaultShutdownSyncInterval CheckpointModePassive CheckpointModeFull CheckpointModeRestart
CheckpointModeTruncate WALHeaderChecksumOffset WALFrameHeaderChecksumOffset WALHeaderSize WALFrameHeaderSize
DefaultPollInterval DefaultCacheSize DefaultSnapshotInterval DefaultSnapshotRetention DefaultRetention
DefaultRetentionCheckInterval DefaultL0Retention DefaultL0RetentionCheckInterval DefaultEstimatedPageIndexSize
DefaultRestoreParallelism DefaultSyncInterval MetaDirSuffix SnapshotLevel

ErrNoSnapshots ErrChecksumMismatch LogWriter LogFlags ErrNoCompaction ErrCompactionTooEarly ErrTxNotAvailable
ErrDBNotReady ErrStopIter

BoolQueryValue() CalcRestorePlan() Checksum() CleanReplicaURLPath() CreateVFSReadReplica() FetchLTXHeader()
FetchPage() FetchPageIndex() FindLTXFiles() IsBackblazeEndpoint() IsCloudflareR2Endpoint() IsDigitalOceanEndpoint()
IsFilebaseEndpoint() IsMinIOEndpoint() IsScalewayEndpoint() IsTigrisEndpoint() IsURL() LTXDir() LTXFilePath()
LTXLevelDir() ParseReplicaURL() ParseReplicaURLWithQuery() RegionFromS3ARN() RegisterReplicaClientFactory()
RemoveVFSReadReplica() ReplicaTypeFromURL() WALChecksum() NewDB() NewReplica() NewReplicaWithClient()
NewReplicaClientFromURL() NewRestoreOptions() NewStore() NewWALReader() NewWALReaderWithOffset()

CompactionLevels CompactionLevels.IsValidLevel() CompactionLevels.Level() CompactionLevels.MaxLevel()
CompactionLevels.NextLevel() CompactionLevels.PrevLevel() CompactionLevels.Validate()

CompactionLevel CompactionLevel.Level CompactionLevel.Interval CompactionLevel.NextCompactionAt()
CompactionLevel.PrevCompactionAt()

DB DB.MinCheckpointPageN DB.TruncatePageN DB.CheckpointInterval DB.MonitorInterval DB.BusyTimeout DB.L0Retention
DB.Replica DB.ShutdownSyncTimeout DB.ShutdownSyncInterval DB.Logger DB.CRC64() DB.Checkpoint() DB.Close() DB.Compact()
DB.DirInfo() DB.EnforceL0RetentionByTime() DB.EnforceRetentionByTXID() DB.EnforceSnapshotRetention() DB.FileInfo()
DB.LTXDir() DB.LTXLevelDir() DB.LTXPath() DB.MaxLTX() DB.MaxLTXFileInfo() DB.MetaPath() DB.Notify() DB.Open()
DB.PageSize() DB.Path() DB.Pos() DB.SQLDB() DB.SetMetaPath() DB.Snapshot() DB.SnapshotReader() DB.Sync() DB.WALPath()

PrevFrameMismatchError PrevFrameMismatchError.Err PrevFrameMismatchError.Error() PrevFrameMismatchError.Unwrap()

ReplicaClient ReplicaClient.Type() ReplicaClient.Init() ReplicaClient.LTXFiles() ReplicaClient.OpenLTXFile()
ReplicaClient.WriteLTXFile() ReplicaClient.DeleteLTXFiles() ReplicaClient.DeleteAll() ReplicaClientFactory

Replica Replica.Client Replica.SyncInterval Replica.MonitorEnabled Replica.CalcRestoreTarget() Replica.CreatedAt()
Replica.DB() Replica.EnforceRetention() Replica.Logger() Replica.MaxLTXFileInfo() Replica.Pos() Replica.Restore()
Replica.SetPos() Replica.Start() Replica.Stop() Replica.Sync() Replica.TimeBounds()

RestoreOptions RestoreOptions.OutputPath RestoreOptions.TXID RestoreOptions.Timestamp RestoreOptions.Parallelism

Store Store.SnapshotInterval Store.SnapshotRetention Store.L0Retention Store.L0RetentionCheckInterval
Store.CompactionMonitorEnabled Store.ShutdownSyncTimeout Store.ShutdownSyncInterval Store.AddDB() Store.Close()
Store.CompactDB() Store.DBs() Store.EnforceSnapshotRetention() Store.Open() Store.RemoveDB() Store.SetL0Retention()
Store.SetShutdownSyncInterval() Store.SetShutdownSyncTimeout() Store.SnapshotLevel()

VFSOptions VFSOptions.Logger VFSOptions.PollInterval VFSOptions.CacheSize

WALReader WALReader.FrameSaltsUntil() WALReader.Offset() WALReader.PageMap() WALReader.PageSize()
WALReader.ReadFrame()
"""
NAMES = tuple(re.findall(r"\S+", _TEXT))

CONSTANTS = {
    # Durations in seconds.
    "DefaultMonitorInterval": 1,
    "DefaultCheckpointInterval": 60,
    "DefaultBusyTimeout": 1,
    "DefaultMinCheckpointPageN": 1000,
    "DefaultTruncatePageN": 121_359,
    "DefaultShutdownSyncTimeout": 30,
    "DefaultShutdownSyncInterval": 0.5,
    "CheckpointModePassive": "PASSIVE",
    "CheckpointModeFull": "FULL",
    "CheckpointModeRestart": "RESTART",
    "CheckpointModeTruncate": "TRUNCATE",
    "WALHeaderChecksumOffset": 24,
    "WALFrameHeaderChecksumOffset": 16,
    "WALHeaderSize": 32,
    "WALFrameHeaderSize": 24,
    "DefaultPollInterval": 1,
    "DefaultCacheSize": 10 * 2**20,
    "DefaultSnapshotInterval": 24 * 3600,
    "DefaultSnapshotRetention": 24 * 3600,
    "DefaultRetention": 24 * 3600,
    "DefaultRetentionCheckInterval": 3600,
    "DefaultL0Retention": 5 * 60,
    "DefaultL0RetentionCheckInterval": 15,
    "DefaultEstimatedPageIndexSize": 32 * 1024,
    "DefaultRestoreParallelism": 8,
    "DefaultSyncInterval": 1,
    "MetaDirSuffix": "-litestream",
    "SnapshotLevel": 9,
}
