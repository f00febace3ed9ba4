"""Servers, one of each kind for all tests here, and replicas in them that the real program reaches too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replication.client.url import replica_client
from tests.client.places import Place
from tests.support.litestream_program import FileReplica, S3Replica
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, SECRET_ACCESS_KEY, S3Server


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_server(s3_process: S3Server) -> Iterator[S3Server]:
    """The server, without log, delay and faults; objects of earlier tests stay, so take a path of your own."""
    s3_process.reset()
    yield s3_process
    s3_process.reset()


@pytest.fixture
def file_place(tmp_path: Path) -> Place:
    replica = FileReplica(tmp_path / "replica")
    return Place(replica, replica_client(replica.url))


@pytest.fixture
def s3_place(s3_server: S3Server, tmp_path: Path) -> Place:
    path = f"interop/{tmp_path.name}"
    replica = S3Replica(
        endpoint=s3_server.endpoint,
        bucket=DEFAULT_BUCKET,
        path=path,
        access_key_id=ACCESS_KEY_ID,
        secret_access_key=SECRET_ACCESS_KEY,
    )
    return Place(replica, replica_client(s3_server.url(path)), program_knows_times=False)
