"""Servers, one of each kind for all tests here, and replicas in them that the real program reaches too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replication.client import http_session
from replication.client.url import replica_client
from tests.client.places import Place
from tests.support import azure_server as azure
from tests.support.azure_server import AzureServer
from tests.support.gcs_server import DEFAULT_BUCKET as GCS_BUCKET
from tests.support.gcs_server import GCSServer
from tests.support.litestream_program import ConfiguredReplica, FileReplica, S3Replica
from tests.support.nats_server import NatsServer
from tests.support.s3_server import ACCESS_KEY_ID, DEFAULT_BUCKET, SECRET_ACCESS_KEY, S3Server, oss_url
from tests.support.sftp_server import USER, OpenSSHServer
from tests.support.web_servers import NginxServer, WebDAVServer


@pytest.fixture(autouse=True)
def close_web_connections() -> Iterator[None]:
    """Close connections that a failure, kept with its frames, would keep: their sockets may be collected first."""
    yield
    for session in list(http_session._sessions):
        session.close()


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


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def nats_place(nats_server: NatsServer, tmp_path: Path) -> Place:
    bucket = nats_server.create_bucket(f"interop-{tmp_path.name}")
    replica = ConfiguredReplica(settings={"type": "nats", "url": nats_server.url(bucket)})
    return Place(replica, replica_client(nats_server.url(bucket)))


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


@pytest.fixture(scope="session")
def abs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """The server; blobs of earlier tests stay, so take a path of your own."""
    with AzureServer(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def abs_place(abs_server: AzureServer, tmp_path: Path) -> Place:
    path = f"interop/{tmp_path.name}"
    settings = {
        "type": "abs",
        "account-name": azure.ACCOUNT,
        "account-key": azure.ACCOUNT_KEY,
        "endpoint": abs_server.endpoint,
        "bucket": azure.DEFAULT_CONTAINER,
        "path": path,
    }
    return Place(ConfiguredReplica(settings=settings), replica_client(abs_server.url(path)))


@pytest.fixture
def oss_place(s3_server: S3Server, tmp_path: Path) -> Place:
    path = f"interop/{tmp_path.name}"
    settings = {
        "type": "oss",
        "access-key-id": ACCESS_KEY_ID,
        "secret-access-key": SECRET_ACCESS_KEY,
        "endpoint": s3_server.endpoint,
        "bucket": DEFAULT_BUCKET,
        "path": path,
    }
    return Place(
        ConfiguredReplica(settings=settings), replica_client(oss_url(s3_server, path)), program_knows_times=False
    )


@pytest.fixture(scope="session")
def gs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSServer]:
    """The server; objects of earlier tests stay, so take a path of your own."""
    with GCSServer(tmp_path_factory.mktemp("gcs") / "log") as server:
        yield server


@pytest.fixture
def gs_place(gs_server: GCSServer, tmp_path: Path) -> Iterator[Place]:
    path = f"interop/{tmp_path.name}"
    settings = {"type": "gs", "bucket": GCS_BUCKET, "path": path}
    environment = {"STORAGE_EMULATOR_HOST": gs_server.emulator_host}
    client = replica_client(gs_server.url(path))
    yield Place(ConfiguredReplica(settings=settings, environment=environment), client)
    client.close()


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSHServer]:
    """The server; files of earlier tests stay, so take a path of your own."""
    with OpenSSHServer(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDAVServer]:
    """The server; files of earlier tests stay, so take a path of your own."""
    with WebDAVServer(tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture(scope="session")
def nginx_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxServer]:
    """The server; files of earlier tests stay, so take a path of your own."""
    with NginxServer(tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture
def sftp_place(sftp_server: OpenSSHServer, tmp_path: Path) -> Iterator[Place]:
    path = f"interop/{tmp_path.name}"
    settings = {
        "type": "sftp",
        "host": f"127.0.0.1:{sftp_server.port}",
        "user": USER,
        "key-path": str(sftp_server.key_path),
        "host-key": sftp_server.host_key,
        "path": path,
    }
    client = replica_client(sftp_server.url(path))
    yield Place(ConfiguredReplica(settings=settings), client)
    client.close()


@pytest.fixture
def webdav_place(webdav_server: WebDAVServer, tmp_path: Path) -> Place:
    path = f"interop/{tmp_path.name}"
    settings = {"type": "webdav", "webdav-url": f"http://127.0.0.1:{webdav_server.port}", "path": path}
    return Place(
        ConfiguredReplica(settings=settings), replica_client(webdav_server.url(path)), program_knows_times=False
    )
