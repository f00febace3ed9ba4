"""A replica in S3: synced, compacted and cleaned by us, read by the real program; and what that costs in requests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replication.client.url import replica_client
from replication.compaction import compact_level
from replication.errors import ConflictError
from replication.position import TXID, Pos
from replication.replica import Replica
from replication.retention import RetentionPolicy
from tests.replica.test_sync import foreign_file, write
from tests.support import litestream_program
from tests.support.litestream_program import S3Replica
from tests.support.local_database import LocalStandIn
from tests.support.primary import masked
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, SECRET_ACCESS_KEY, S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.mark.interop
def test_the_real_program_reads_what_we_wrote_and_compacted(db: LocalStandIn, server: S3Server, tmp_path: Path) -> None:
    write(db, 5)
    client = replica_client(server.url("compacted"))
    replica = Replica(db, client)
    assert replica.sync() == Pos(TXID(5))
    compact_level(client, 1)
    compact_level(client, 2)
    write(db, 2)
    replica.sync()
    deleted = replica.enforce_retention(RetentionPolicy(l0_retention_s=-60))  # the server's clock is the real one
    assert [info.max_txid for info in deleted] == [1, 2, 3, 4, 5]
    place = S3Replica(
        endpoint=server.endpoint,
        bucket=DEFAULT_BUCKET,
        path="compacted",
        access_key_id=ACCESS_KEY_ID,
        secret_access_key=SECRET_ACCESS_KEY,
    )
    for txid in (1, 5, 6, 7):
        output = tmp_path / f"{txid}.db"
        litestream_program.restore(place, output, txid=txid, integrity_check="full")
        assert masked(output.read_bytes()) == masked(db.images[txid].data)
    client.close()


def test_a_sync_costs_a_put_for_each_file_and_nothing_when_idle(db: LocalStandIn, server: S3Server) -> None:
    write(db, 2)
    client = replica_client(server.url("costs"))
    replica = Replica(db, client)
    replica.sync()
    server.reset()
    write(db, 3)
    replica.sync()
    replica.sync()
    assert [entry.method for entry in server.requests()] == ["PUT", "PUT", "PUT"]
    client.close()


def test_another_writers_file_is_not_written_over(db: LocalStandIn, server: S3Server) -> None:
    write(db, 2)
    client = replica_client(server.url("conflict"))
    replica = Replica(db, client)
    replica.sync()
    client.write_ltx_file(0, TXID(3), TXID(3), foreign_file(3))
    write(db, 1)
    with pytest.raises(ConflictError):
        replica.sync()
    client.close()
