"""From a URL to a replica client: a table of schemes, which other packages may add to.

What a scheme needs is imported when its first client is made: a process that reads files pays nothing for S3.
"""

import os
import threading
from collections.abc import Callable, Mapping

from replication.client.base import ReplicaClient
from replication.client.url_parse import ReplicaURL, is_url, parse_replica_url, unknown_name, without_secrets
from replication.errors import UsageError

ReplicaClientFactory = Callable[[ReplicaURL, Mapping[str, object]], ReplicaClient]
"""Makes a client of a URL's parts and the caller's options, or raises UsageError."""

_lock = threading.Lock()
_factories: dict[str, ReplicaClientFactory] = {}  # guarded by _lock


def register_replica_client(scheme: str, factory: ReplicaClientFactory) -> None:
    """Let `factory` make the clients of a scheme from now on."""
    with _lock:
        _factories[scheme] = factory


def replica_client(url: str, **options: object) -> ReplicaClient:
    """Return a client for the replica at a URL; it connects at its first use.

    `timeout_s` bounds how long a call may take where the storage is remote; further options are the storage's own.

    Raises:
        UsageError: there is no client for such a URL, or it does not know a parameter or an option.

    """
    return client_of_parts(checked_replica_url(url), options)


def checked_replica_url(url: str) -> ReplicaURL:
    """Return the parts of a replica URL; for a path the error says which URL is meant.

    Raises:
        UsageError: it is none.

    """
    if not is_url(url):
        hint = f"file://{url}" if url.startswith("/") and "@" not in url else "file:///absolute/path"
        msg = f"expected a replica URL, got {without_secrets(url)!r}; did you mean {hint}?"
        raise UsageError(msg)
    return parse_replica_url(url)


def client_of_parts(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    """Return a client for the replica at a URL of which the parts are known; it connects at its first use.

    Raises:
        UsageError: there is no client for such a URL, or it does not know a parameter or an option.

    """
    with _lock:
        factory = _factories.get(url.scheme)
        known = sorted(_factories)
    if factory is not None:
        return factory(url, options)
    msg = f"unknown replica scheme {url.scheme}://; known are {_join(known)}"
    raise UsageError(msg)


def _join(schemes: list[str]) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes)


def _file_client(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    from replication.client.file import FileReplicaClient  # noqa: PLC0415

    for name in options:
        if name != "timeout_s":  # a local file system answers, or hangs: nothing to bound
            raise UsageError(unknown_name("option of a file replica", name, ["timeout_s"]))
    return FileReplicaClient(url.path)


def _gcs_client(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    from replication.client.gcs import GCSReplicaClient  # noqa: PLC0415
    from replication.client.gcs_config import gcs_config  # noqa: PLC0415
    from replication.client.retry import RetryingClient, RetryPolicy  # noqa: PLC0415

    config = gcs_config(url, options, os.environ)
    return RetryingClient(GCSReplicaClient(config), RetryPolicy(timeout_s=config.timeout_s))


def _s3_client(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    from replication.client.retry import RetryingClient, RetryPolicy  # noqa: PLC0415
    from replication.client.s3 import S3ReplicaClient  # noqa: PLC0415
    from replication.client.s3_config import s3_config  # noqa: PLC0415

    config = s3_config(url, options, os.environ)
    return RetryingClient(S3ReplicaClient(config), RetryPolicy(timeout_s=config.timeout_s))


def _nats_client(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    from replication.client.nats import NatsReplicaClient  # noqa: PLC0415
    from replication.client.nats_config import nats_config  # noqa: PLC0415
    from replication.client.retry import RetryingClient, RetryPolicy  # noqa: PLC0415

    config = nats_config(url, options)
    return RetryingClient(NatsReplicaClient(config), RetryPolicy(timeout_s=config.timeout_s))


def _azure_client(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    from replication.client.azure import AzureReplicaClient  # noqa: PLC0415
    from replication.client.azure_config import azure_config  # noqa: PLC0415
    from replication.client.retry import RetryingClient, RetryPolicy  # noqa: PLC0415

    config = azure_config(url, options, os.environ)
    return RetryingClient(AzureReplicaClient(config), RetryPolicy(timeout_s=config.timeout_s))


def _oss_client(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    from replication.client.oss import OSSReplicaClient  # noqa: PLC0415
    from replication.client.oss_config import oss_config  # noqa: PLC0415
    from replication.client.retry import RetryingClient, RetryPolicy  # noqa: PLC0415

    config = oss_config(url, options, os.environ)
    return RetryingClient(OSSReplicaClient(config), RetryPolicy(timeout_s=config.timeout_s))


def _sftp_client(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    from replication.client.retry import RetryingClient, RetryPolicy  # noqa: PLC0415
    from replication.client.sftp import SFTPReplicaClient  # noqa: PLC0415
    from replication.client.sftp_config import sftp_config  # noqa: PLC0415

    config = sftp_config(url, options)
    return RetryingClient(SFTPReplicaClient(config), RetryPolicy(timeout_s=config.timeout_s))


def _webdav_client(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    from replication.client.retry import RetryingClient, RetryPolicy  # noqa: PLC0415
    from replication.client.web_config import webdav_config  # noqa: PLC0415
    from replication.client.webdav import WebDAVReplicaClient  # noqa: PLC0415

    config = webdav_config(url, options)
    return RetryingClient(WebDAVReplicaClient(config), RetryPolicy(timeout_s=config.timeout_s))


def _http_client(url: ReplicaURL, options: Mapping[str, object]) -> ReplicaClient:
    from replication.client.http_files import HTTPReplicaClient  # noqa: PLC0415
    from replication.client.retry import RetryingClient, RetryPolicy  # noqa: PLC0415
    from replication.client.web_config import http_config  # noqa: PLC0415

    config = http_config(url, options)
    return RetryingClient(HTTPReplicaClient(config), RetryPolicy(timeout_s=config.timeout_s))


register_replica_client("abs", _azure_client)
register_replica_client("file", _file_client)
register_replica_client("gs", _gcs_client)
register_replica_client("nats", _nats_client)
register_replica_client("http", _http_client)
register_replica_client("https", _http_client)
register_replica_client("oss", _oss_client)
register_replica_client("s3", _s3_client)
register_replica_client("sftp", _sftp_client)
register_replica_client("webdav", _webdav_client)
register_replica_client("webdavs", _webdav_client)
