"""A call of ours for each method of the Go package's DB, Replica, Store and WALReader, and what the call gives."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import litestream
from litestream import DB, TXID, Pos, Replica, Store, WALReader
from replication.ltx.checksum import crc64_iso
from tests.support.go_api_calls import LEVEL, Call
from tests.support.go_api_parts import Parts
from tests.support.live_db import image

FAR = datetime(9000, 1, 1, tzinfo=UTC)


def crc(parts: Parts) -> object:
    found, pos = parts.db.crc64()
    return found == crc64_iso(image(parts.connection)), pos == parts.db.pos()


def checkpoint(parts: Parts) -> object:
    before = len(parts.wal)
    parts.db.checkpoint(litestream.CHECKPOINT_MODE_TRUNCATE)
    return before > len(parts.wal)


def open_and_close(parts: Parts) -> object:
    db = parts.other_db()
    db.open()
    before = repr(db)
    db.close()
    return "open" in before, "closed" in repr(db), db.pos().txid


def level_0_after(enforce: Callable[[Parts], object]) -> Callable[[Parts], object]:
    """Return a call that enforces, and gives the number of files before and after."""

    def call(parts: Parts) -> object:
        parts.commit_and_upload()
        parts.db.compact(1)
        before = parts.files()
        enforce(parts)
        return before, parts.files()

    return call


def compact(parts: Parts) -> object:
    parts.commit_and_upload()
    info = parts.db.compact(1)
    return info.level, info.max_txid


def compact_in_store(parts: Parts) -> object:
    parts.commit_and_upload()
    info = parts.store.compact_db(parts.db, LEVEL)
    return info.level, info.max_txid


def enforce_by_time(parts: Parts) -> None:
    parts.db.l0_retention_s = 0.0
    parts.db.enforce_l0_retention_by_time()


def two_snapshots(parts: Parts) -> None:
    parts.db.snapshot()
    parts.commit_and_upload()
    parts.db.snapshot()


def enforce_snapshots(parts: Parts) -> object:
    two_snapshots(parts)
    return parts.db.enforce_snapshot_retention(FAR), parts.files(9)


def notify(parts: Parts) -> object:
    event = parts.db.notify()
    before = event.is_set()
    parts.commit()
    parts.db.sync()
    return before, event.is_set()


def set_meta_path(parts: Parts) -> object:
    db = DB(parts.directory / "other.db")
    db.set_meta_path(parts.directory / "meta")
    return db.meta_path == parts.directory / "meta"


def read_snapshot(parts: Parts) -> object:
    pos, reader = parts.db.snapshot_reader()
    with reader:
        return pos.txid, reader.read(4)


def sync(parts: Parts) -> object:
    parts.commit()
    return parts.db.sync().txid


def new_replica(parts: Parts) -> object:
    replica = Replica(parts.db, parts.client)
    return replica.db is parts.db, replica.client is parts.client


def restore_target(parts: Parts) -> object:
    bounds = parts.replica.time_bounds()
    assert bounds is not None
    return parts.replica.calc_restore_target(bounds.created_at) == bounds.updated_at


def enforce_replica(parts: Parts) -> object:
    parts.commit_and_upload()
    parts.db.compact(1)
    deleted = parts.replica.enforce_retention(litestream.RetentionPolicy(l0_retention_s=0.0))
    return [info.max_txid for info in deleted]


def restore_replica(parts: Parts) -> object:
    output = parts.directory / "restored.db"
    return parts.replica.restore(output).output == output, output.exists()


def set_pos(parts: Parts) -> object:
    parts.replica.set_pos(Pos(TXID(7)))
    changed = parts.replica.pos()
    parts.replica.set_pos(Pos())
    return changed, parts.replica.sync()


def start_and_stop(parts: Parts) -> object:
    replica = Replica(parts.db, parts.client, sync_interval_s=0.01, lease=False)
    replica.start()
    before = repr(replica)
    replica.stop()
    return "monitored" in before, "idle" in repr(replica)


def sync_replica(parts: Parts) -> object:
    parts.commit()
    parts.db.sync()
    return parts.replica.sync().txid, parts.files()


def bounds(parts: Parts) -> object:
    found = parts.replica.time_bounds()
    return found == litestream.TimeBounds(parts.newest.created_at, parts.newest.created_at)


def add_and_remove(parts: Parts) -> object:
    db = parts.other_db()
    parts.store.add_db(db)
    added = [one.path.name for one in parts.store.dbs()]
    parts.store.remove_db(db.path)
    return added, [one.path.name for one in parts.store.dbs()]


def open_store(parts: Parts) -> object:
    store = Store([parts.other_db()], [litestream.CompactionLevel(0), LEVEL])
    store.open()
    before = repr(store)
    store.close()
    return before, repr(store)


def enforce_store(parts: Parts) -> object:
    two_snapshots(parts)
    parts.store.snapshot_retention_s = -timedelta(days=1).total_seconds()
    return [info.level for info in parts.store.enforce_snapshot_retention(parts.db)]


def new_values(parts: Parts) -> object:
    store = parts.store
    store.set_l0_retention(7.0)
    store.set_shutdown_sync_interval(0.25)
    store.set_shutdown_sync_timeout(3.0)
    return store.l0_retention_s, parts.db.shutdown_sync_interval_s, parts.db.shutdown_sync_timeout_s


def reader(parts: Parts) -> WALReader:
    return WALReader(parts.read_at)


def reader_at_the_end(parts: Parts) -> object:
    first = reader(parts)
    first.page_map()
    later = WALReader.at(parts.read_at, first.next_offset, salts=first.salts, sums=first.sums)
    parts.commit()
    frame = later.read_frame()
    return frame is not None, isinstance(frame, litestream.WALFrame)


def first_frame(parts: Parts) -> object:
    wal = reader(parts)
    frame = wal.read_frame()
    assert frame is not None
    return wal.offset, len(frame.data), frame.pgno > 0


def page_map(parts: Parts) -> object:
    found = reader(parts).page_map()
    return isinstance(found, litestream.PageMap), 1 in found, found.max_offset == len(parts.wal)


def meta(parts: Parts) -> Path:
    return parts.directory / ".app.db-litestream"


DBS: Mapping[str, Call] = {
    "NewDB()": (lambda p: DB(p.directory / "new.db").path.name, "new.db"),
    "DB.CRC64()": (crc, (True, True)),
    "DB.Checkpoint()": (checkpoint, True),
    "DB.Close()": (open_and_close, (True, True, 1)),
    "DB.Compact()": (compact, (1, 2)),
    "DB.DirInfo()": (lambda p: p.db.dir_info is not None and p.db.dir_info.st_ino == p.directory.stat().st_ino, True),
    "DB.EnforceL0RetentionByTime()": (level_0_after(enforce_by_time), (2, 1)),
    "DB.EnforceRetentionByTXID()": (level_0_after(lambda p: p.db.enforce_retention_by_txid(0, TXID(9))), (2, 1)),
    "DB.EnforceSnapshotRetention()": (enforce_snapshots, (2, 1)),
    "DB.FileInfo()": (lambda p: p.db.file_info is not None and p.db.file_info.st_ino == p.db.path.stat().st_ino, True),
    "DB.LTXDir()": (lambda p: p.db.ltx_dir == meta(p) / "ltx", True),
    "DB.LTXLevelDir()": (lambda p: p.db.ltx_level_dir(0) == meta(p) / "ltx" / "0", True),
    "DB.LTXPath()": (lambda p: p.db.ltx_path(0, TXID(1), TXID(1)).exists(), True),
    "DB.MaxLTX()": (lambda p: p.db.max_ltx(), (1, 1)),
    "DB.MaxLTXFileInfo()": (lambda p: p.db.max_ltx_file_info(0) == p.newest, True),
    "DB.MetaPath()": (lambda p: p.db.meta_path == meta(p), True),
    "DB.Notify()": (notify, (False, True)),
    "DB.Open()": (open_and_close, (True, True, 1)),
    "DB.PageSize()": (lambda p: p.db.page_size, 4096),
    "DB.Path()": (lambda p: p.db.path == p.directory / "app.db", True),
    "DB.Pos()": (lambda p: p.db.pos(), Pos(TXID(1))),
    "DB.SQLDB()": (lambda p: p.db.sqldb is not None and p.db.sqldb.execute("SELECT count(*) FROM item").get, 10),
    "DB.SetMetaPath()": (set_meta_path, True),
    "DB.Snapshot()": (lambda p: (p.db.snapshot().level, p.files(9)), (9, 1)),
    "DB.SnapshotReader()": (read_snapshot, (1, b"LTX1")),
    "DB.Sync()": (sync, 2),
    "DB.WALPath()": (lambda p: p.db.wal_path == p.directory / "app.db-wal", True),
}

REPLICAS: Mapping[str, Call] = {
    "NewReplica()": (new_replica, (True, True)),
    "NewReplicaWithClient()": (new_replica, (True, True)),
    "Replica.CalcRestoreTarget()": (restore_target, True),
    "Replica.CreatedAt()": (lambda p: p.replica.created_at() == p.newest.created_at, True),
    "Replica.DB()": (lambda p: p.replica.db is p.db, True),
    "Replica.EnforceRetention()": (enforce_replica, [1]),
    "Replica.Logger()": (lambda p: p.replica.logger is p.db.logger, True),
    "Replica.MaxLTXFileInfo()": (lambda p: p.replica.max_ltx_file_info(0) == p.newest, True),
    "Replica.Pos()": (lambda p: p.replica.pos(), Pos(TXID(1))),
    "Replica.Restore()": (restore_replica, (True, True)),
    "Replica.SetPos()": (set_pos, (Pos(TXID(7)), Pos(TXID(1)))),
    "Replica.Start()": (start_and_stop, (True, True)),
    "Replica.Stop()": (start_and_stop, (True, True)),
    "Replica.Sync()": (sync_replica, (2, 2)),
    "Replica.TimeBounds()": (bounds, True),
}

STORES: Mapping[str, Call] = {
    "NewStore()": (lambda p: Store([p.db], [litestream.CompactionLevel(0), LEVEL]).levels.max_level(), 1),
    "Store.AddDB()": (add_and_remove, (["app.db", "other.db"], ["app.db"])),
    "Store.Close()": (open_store, ("<Store open dbs=1 levels=1>", "<Store closed dbs=1 levels=1>")),
    "Store.CompactDB()": (compact_in_store, (1, 2)),
    "Store.DBs()": (lambda p: p.store.dbs() == [p.db], True),
    "Store.EnforceSnapshotRetention()": (enforce_store, [9]),
    "Store.Open()": (open_store, ("<Store open dbs=1 levels=1>", "<Store closed dbs=1 levels=1>")),
    "Store.RemoveDB()": (add_and_remove, (["app.db", "other.db"], ["app.db"])),
    "Store.SetL0Retention()": (new_values, (7.0, 0.25, 3.0)),
    "Store.SetShutdownSyncInterval()": (new_values, (7.0, 0.25, 3.0)),
    "Store.SetShutdownSyncTimeout()": (new_values, (7.0, 0.25, 3.0)),
    "Store.SnapshotLevel()": (lambda p: p.store.snapshot_level(), litestream.CompactionLevel(9, 24 * 3600.0)),
}

WALS: Mapping[str, Call] = {
    "NewWALReader()": (lambda p: reader(p).next_offset, litestream.WAL_HEADER_SIZE),
    "NewWALReaderWithOffset()": (reader_at_the_end, (True, True)),
    "WALReader.FrameSaltsUntil()": (lambda p: reader(p).salts in reader(p).frame_salts_until((0, 0)), True),
    "WALReader.Offset()": (first_frame, (litestream.WAL_HEADER_SIZE, 4096, True)),
    "WALReader.PageMap()": (page_map, (True, True, True)),
    "WALReader.PageSize()": (lambda p: reader(p).page_size, 4096),
    "WALReader.ReadFrame()": (first_frame, (litestream.WAL_HEADER_SIZE, 4096, True)),
}
