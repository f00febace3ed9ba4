"""Replicas in the configuration: where each is, and what its storage has to know.

A replica has a `url`, or else a `type`, a `path` and what else the type needs. What the replica does not say is taken
from the top of the file.

Source: litestream 0.5.17, cmd/litestream/main.go, "ReplicaConfig".
"""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from litestream.config_paths import expand_path
from litestream.config_values import Section
from replication.client.base import ReplicaClient
from replication.client.url import checked_replica_url, client_of_parts
from replication.client.url_parse import (
    ReplicaURL,
    clean_replica_url_path,
    is_url,
    replica_type_from_url,
    unknown_name,
    without_secrets,
)
from replication.errors import UsageError

Warn = Callable[[str], object]
"""Takes what is to be told of a setting that is passed over."""

_COMMON = ("sync-interval", "validation-interval", "max-sync-ltx-files", "auto-recover", "age")
_S3: Mapping[str, Callable[[Section, str], object]] = {
    "access-key-id": Section.text,
    "secret-access-key": Section.text,
    "region": Section.text,
    "endpoint": Section.text,
    "force-path-style": Section.boolean,
    "sign-payload": Section.boolean,
    "require-content-md5": Section.boolean,
    "skip-verify": Section.boolean,
    "storage-class": Section.text,
    "part-size": Section.size,
    "concurrency": Section.whole,
    "sse-customer-algorithm": Section.text,
    "sse-customer-key": Section.text,
    "sse-customer-key-path": Section.text,
    "sse-kms-key-id": Section.text,
}
_ABS: Mapping[str, Callable[[Section, str], object]] = {
    "account-name": Section.text,
    "account-key": Section.text,
    "sas-token": Section.text,
    "endpoint": Section.text,
}
_NATS: Mapping[str, Callable[[Section, str], object]] = {
    "jwt": Section.text,
    "seed": Section.text,
    "creds": Section.text,
    "nkey": Section.text,
    "username": Section.text,
    "password": Section.text,
    "token": Section.text,
    "tls": Section.boolean,
    "root-cas": Section.texts,
    "client-cert": Section.text,
    "client-key": Section.text,
    "reconnect-wait": Section.duration,
    "timeout": Section.duration,
}
_OSS: Mapping[str, Callable[[Section, str], object]] = {
    "access-key-id": Section.text,
    "secret-access-key": Section.text,
    "region": Section.text,
    "endpoint": Section.text,
    "part-size": Section.size,
    "concurrency": Section.whole,
}
_SFTP: Mapping[str, Callable[[Section, str], object]] = {
    "user": Section.text,
    "password": Section.text,
    "key-path": Section.text,
    "concurrent-writes": Section.boolean,
    "host-key": Section.text,
}
_WEBDAV: Mapping[str, Callable[[Section, str], object]] = {
    "webdav-username": Section.text,
    "webdav-password": Section.text,
}
_READERS: Mapping[str, Mapping[str, Callable[[Section, str], object]]] = {
    "abs": _ABS,
    "nats": _NATS,
    "oss": _OSS,
    "s3": _S3,
    "sftp": _SFTP,
    "webdav": _WEBDAV,
}
_OPTION_NAMES = {
    "reconnect-wait": "reconnect_wait_s",
    "timeout": "connect_timeout_s",
    "webdav-username": "username",
    "webdav-password": "password",
}
_BY_TYPE: Mapping[str, tuple[str, ...]] = {
    "file": (),
    "s3": (*_S3, "bucket", "sign-accept-encoding"),
    "gs": ("bucket",),
    "abs": (*_ABS, "bucket"),
    "sftp": (*_SFTP, "host"),
    "webdav": ("webdav-url", *_WEBDAV),
    "nats": (*_NATS, "bucket", "max-reconnects"),
    "oss": (*_OSS, "bucket"),
}  # fmt: skip

SETTINGS = frozenset({*_COMMON, *(name for names in _BY_TYPE.values() for name in names)})
"""What may stand at the top of the file too, for all replicas."""

_WEB = ("http", "https", "webdav")
_WRITABLE = {"http": "webdav", "https": "webdavs"}
_OWN = ("type", "url", "path", "name")
_MOVED = {
    "retention": "since Litestream 0.5 this is snapshot.retention, at the top of the file or of a database",
    "snapshot-interval": "since Litestream 0.5 this is snapshot.interval, at the top of the file or of a database",
}
_WITHOUT_EFFECT = {
    "name": "names of replicas have no effect since Litestream 0.5",
    "validation-interval": "it has no effect; validation.interval, at the top of the file, has",
    "retention-check-interval": "it has no effect since Litestream 0.5",
    "max-sync-ltx-files": "it has no effect here: files are uploaded in batches of their own size",
    "max-reconnects": "it has no effect here: each call that needs a connection tries to make one",
    "sign-accept-encoding": "it has no effect here: that header is never signed",
}
_NO_AGE = "age encryption is not supported, as in Litestream 0.5: the replica would not be encrypted"
_AUTO_RECOVER = "it has no effect here: local state that is lost or broken is always made again from the replica"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaConfig:
    """One replica; `repr` shows no secret.

    `type` is the Go program's word for the storage; `where` is its place in the file, for errors. Without a
    `sync_interval_s` the default holds.
    """

    type: str
    where: str
    url: ReplicaURL
    options: Mapping[str, object] = field(default_factory=dict, repr=False)
    sync_interval_s: float | None = None

    def client(self) -> ReplicaClient:
        """Return a new client; it connects at its first use.

        Raises:
            UsageError: the storage is not supported yet, or a setting is wrong; the message has its place.

        """
        try:
            return client_of_parts(self.url, self.options)
        except UsageError as error:
            msg = f"{self.where}: {error}"
            raise UsageError(msg) from error

    def below(self, relative: str) -> "ReplicaConfig":
        """Return the replica in a directory below this one."""
        return replace(self, url=replace(self.url, path=posixpath.join(self.url.path, relative)))

    def described(self) -> dict[str, str]:
        """Return what the log says of the place; no secret is among it."""
        if self.type == "file":
            return {"path": self.url.path}
        if self.type == "nats":
            return {"host": self.url.host, "bucket": self.url.path}
        shown = {"host" if self.type in {"sftp", *_WEB} else "bucket": self.url.host, "path": self.url.path}
        for name in ("region", "endpoint"):
            value = self.options.get(name) or self.url.query.get(name)
            if value:
                shown[name] = without_secrets(str(value))
        return shown

    def destination(self) -> tuple[object, ...]:
        """Return what two replicas must not have in common."""
        endpoint = self.options.get("endpoint") or self.url.query.get("endpoint")
        return self.type, self.url.host, self.url.path, endpoint


def replica_of_url(url: str) -> ReplicaConfig:
    """Return the replica at a URL that was given on the command line.

    Raises:
        UsageError: it is none.

    """
    parsed = checked_replica_url(url)
    return ReplicaConfig(type=replica_type_from_url(url), where=without_secrets(url), url=parsed)


def read_replica(section: Section, defaults: Section, warn: Warn) -> ReplicaConfig:
    """Return what a replica's settings say.

    Raises:
        UsageError: one is unknown, wrong or missing, or cannot be honoured.

    """
    _check_names(section)
    replica_type = _type(section, warn)
    allowed = {*_OWN, *_COMMON, *_BY_TYPE[replica_type], *_WITHOUT_EFFECT}
    for key in section.given():
        if key in _WITHOUT_EFFECT:
            warn(f"{section.where(key)}: {_WITHOUT_EFFECT[key]}")
        elif key not in allowed:
            warn(f"{section.where(key)}: it has no effect on a replica of type {replica_type}")
    for part in (section, defaults):
        if part.section("age").given():
            part.fail(_NO_AGE, "age")
    if section.boolean("auto-recover"):
        warn(f"{section.where('auto-recover')}: {_AUTO_RECOVER}")
    interval_key = "sync-interval"
    return ReplicaConfig(
        type=replica_type,
        where=section.where(),
        url=_url(section, defaults, replica_type),
        options=_options(section, defaults, replica_type),
        sync_interval_s=_holder(section, defaults, interval_key).duration(interval_key, above_s=0.0),
    )


def _check_names(section: Section) -> None:
    for key in section.given():
        if key in _MOVED:
            section.fail(_MOVED[key], key)
    section.check_names({*SETTINGS, *_OWN, *_WITHOUT_EFFECT})
    if not section.given():
        section.fail("expected the url of a replica, or its type and path")


def _type(section: Section, warn: Warn) -> str:
    """Return the type of a replica; its URL has the last word."""
    of_url = replica_type_from_url(section.text("url"))
    given = section.text("type")
    if of_url and given and of_url != given:
        warn(f"{section.where('type')}: the url says {of_url}, so {given} has no effect")
    found = of_url or given or "file"
    if found in _WRITABLE:
        section.fail(f"a replica at {found}:// can only be read; to write by WebDAV, use {_WRITABLE[found]}://", "url")
    if found not in _BY_TYPE:
        key = "url" if of_url else "type"
        section.fail(f"{unknown_name('replica type', found, _BY_TYPE)}; known are {', '.join(_BY_TYPE)}", key)
    return found


def _holder(section: Section, defaults: Section, key: str) -> Section:
    """Return the section that says what a setting is: the replica's, or the top of the file."""
    return section if key in section else defaults


def _url(section: Section, defaults: Section, replica_type: str) -> ReplicaURL:
    """Return where a replica is."""
    if is_url(section.text("path")):
        section.fail(f"expected a path, got a URL; did you mean url: {without_secrets(section.text('path'))}?", "path")
    if "url" in section:
        return _given_url(section, _holder(section, defaults, "bucket"))
    path = section.text("path")
    if replica_type == "file":
        if not path:
            section.fail("expected the path of a file replica, or its url")
        return ReplicaURL("file", path=str(expand_path(path)))
    if replica_type == "sftp":
        # Here a path is relative to the user's home directory, unlike in a URL.
        return ReplicaURL("sftp", host=_host(section, defaults), path=posixpath.normpath(posixpath.join("~", path)))
    if replica_type == "webdav":
        return _webdav_url(_holder(section, defaults, "webdav-url"), path)
    return _bucket_url(section, _holder(section, defaults, "bucket").text("bucket"), replica_type)


def _bucket_url(section: Section, bucket: str, replica_type: str) -> ReplicaURL:
    path = section.text("path")
    if replica_type == "nats":
        return ReplicaURL("nats", path=bucket)  # the bucket is where others have a path, and there is none in it
    if replica_type in {"abs", "oss", "s3"} and not bucket:
        section.fail(f"expected the bucket of an {replica_type} replica, or its url")
    if replica_type == "abs":
        path = clean_replica_url_path(path)
    if replica_type in {"oss", "s3"} and path != clean_replica_url_path(path):
        # The real program keeps such slashes in the names of the objects, where no client of ours finds them.
        expected = "a path such as app/db, without slashes at its ends or doubled ones"
        section.fail(f"expected {expected}, got {path!r}", "path")
    return ReplicaURL(replica_type, host=bucket, path=path)


def _host(section: Section, defaults: Section) -> str:
    host = _holder(section, defaults, "host").text("host")
    if not host:
        section.fail("expected the host of an sftp replica, or its url")
    return host


def _given_url(section: Section, of_bucket: Section) -> ReplicaURL:
    try:
        url = checked_replica_url(section.text("url"))
    except UsageError as error:
        section.fail(str(error), "url")
    if url.scheme == "nats" and not url.path:
        return replace(url, path=of_bucket.text("bucket"))  # the URL may name the server only
    for key in ("path", "bucket", "host", "webdav-url"):
        if key in section:
            section.fail(f"a replica with a url has its {key} in there, so it cannot have another one", key)
    return replace(url, path=str(expand_path(url.path))) if url.scheme == "file" else url


def _webdav_url(section: Section, path: str) -> ReplicaURL:
    """Return where a replica is on the server that `webdav-url` names, by http or https."""
    key = "webdav-url"
    if not section.text(key):
        section.fail("expected the webdav-url of a webdav replica, or its url")
    try:
        url = checked_replica_url(section.text(key))
    except UsageError as error:
        section.fail(str(error), key)
    if url.scheme not in _WRITABLE or url.query:
        section.fail("expected a URL like https://host/path", key)
    return replace(url, scheme=_WRITABLE[url.scheme], path=clean_replica_url_path(f"{url.path}/{path}"))


def _options(section: Section, defaults: Section, replica_type: str) -> dict[str, object]:
    """Return what the type's settings say, under the names of the client's options."""
    options: dict[str, object] = {}
    for key, read in _READERS.get(replica_type, {}).items():
        value = read(_holder(section, defaults, key), key)
        if value not in (None, "", []):
            options[_OPTION_NAMES.get(key, key.replace("-", "_"))] = value
    if path := options.get("sse_customer_key_path"):
        options["sse_customer_key_path"] = str(Path(str(path)).expanduser())
    return options
