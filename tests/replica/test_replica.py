"""What a replica says of itself, and what it restores and deletes."""

from datetime import timedelta
from pathlib import Path

import pytest

from replication.client.memory import MemoryReplicaClient
from replication.client.url import replica_client
from replication.compaction import compact_level
from replication.errors import TxNotAvailableError, UsageError
from replication.position import TXID, Pos
from replication.replica import Replica
from replication.replica_files import TimeBounds
from replication.retention import RetentionPolicy
from tests.replica.test_sync import write
from tests.support.local_database import LocalStandIn
from tests.support.primary import FIRST, StepClock, masked


@pytest.fixture
def replica(db: LocalStandIn) -> Replica:
    write(db, 4)
    clock: StepClock = db.primary.clock
    replica = Replica(db, MemoryReplicaClient(), clock=clock)
    replica.sync()
    return replica


def test_its_text_is_its_state(db: LocalStandIn) -> None:
    write(db, 2)
    replica = Replica(db, MemoryReplicaClient(), sync_interval_s=60)
    assert repr(replica) == "<Replica app.db txid=unknown idle <MemoryReplicaClient files=0 bytes=0>>"
    replica.sync()
    replica.start()
    assert repr(replica).startswith("<Replica app.db txid=0000000000000002 monitored <MemoryReplicaClient files=2")
    replica.stop()
    assert " idle " in repr(replica)


def test_its_text_has_no_secrets(db: LocalStandIn) -> None:
    secret = "hush"  # noqa: S105 - that is the point
    client = replica_client("s3://bucket/path?endpoint=http://localhost:1", access_key_id="k", secret_access_key=secret)
    assert secret not in repr(Replica(db, client))


def test_it_has_the_times_of_its_files(db: LocalStandIn, replica: Replica) -> None:
    bounds = TimeBounds(db.primary.instants[1], db.primary.instants[4])
    assert replica.time_bounds() == bounds
    assert replica.created_at() == bounds.created_at
    assert replica.calc_restore_target() == replica.calc_restore_target(bounds.created_at) == bounds.updated_at
    for outside in (bounds.created_at - timedelta(seconds=1), bounds.updated_at + timedelta(seconds=1)):
        with pytest.raises(TxNotAvailableError):
            replica.calc_restore_target(outside)
    with pytest.raises(UsageError):
        replica.calc_restore_target(bounds.created_at.replace(tzinfo=None))


def test_an_empty_one_has_no_times(db: LocalStandIn) -> None:
    replica = Replica(db, MemoryReplicaClient())
    assert replica.time_bounds() is None
    assert replica.created_at() is None
    assert replica.calc_restore_target() is None
    assert replica.max_ltx_file_info(0) is None
    with pytest.raises(TxNotAvailableError, match="no files"):
        replica.calc_restore_target(FIRST)


def test_it_knows_the_newest_file_of_each_level(replica: Replica) -> None:
    compact_level(replica.client, 1)
    newest = [replica.max_ltx_file_info(level) for level in (0, 1, 2, 9)]
    assert [None if info is None else (info.level, info.min_txid, info.max_txid) for info in newest] == [
        *((0, 4, 4), (1, 2, 4), None, (9, 1, 1))
    ]


def test_it_restores_the_database_where_it_was_or_elsewhere(db: LocalStandIn, replica: Replica, tmp_path: Path) -> None:
    assert replica.restore().output == db.path
    assert masked(db.path.read_bytes()) == masked(db.images[4].data)
    with pytest.raises(UsageError):
        replica.restore()
    replica.restore(tmp_path / "old.db", txid=TXID(2))
    replica.restore(tmp_path / "then.db", timestamp=db.primary.instants[3])
    for name in ("old.db", "then.db"):
        assert masked((tmp_path / name).read_bytes()) == masked(db.images[2].data)


def test_it_deletes_what_it_need_not_hold_and_leaves_local_files(db: LocalStandIn, replica: Replica) -> None:
    compact_level(replica.client, 1)
    assert replica.enforce_retention() == ()
    db.primary.clock.advance(600)
    assert replica.enforce_retention(RetentionPolicy(delete_remote=False)) == ()
    assert [info.max_txid for info in replica.enforce_retention()] == [1, 2, 3]
    assert len(list(db.client.ltx_files(0))) == 4
    write(db, 1)
    assert replica.sync().txid == 5


def test_a_position_can_be_set_and_forgotten(db: LocalStandIn, replica: Replica) -> None:
    replica.set_pos(Pos(TXID(2)))
    assert replica.pos().txid == 2
    replica.set_pos(Pos())
    assert replica.pos().is_zero()
    assert replica.sync() == db.pos()
    assert replica.db is db
    assert replica.logger is db.logger
