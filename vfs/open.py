"""From a file name and its URI parameters to an open file."""

import os
from dataclasses import replace
from pathlib import Path

import apsw

from replication.client.url import replica_client
from replication.client.url_parse import is_url, shown_name
from replication.errors import LitestreamError, UsageError
from vfs.codes import open_error
from vfs.file import ReplicaFile
from vfs.names import READ_REPLICAS
from vfs.read_replica import ReadReplica
from vfs.uri import Options, parse_parameters, prefetch_size

URL_VARIABLE = "LITESTREAM_REPLICA_URL"


def open_file(filename: str | apsw.URIFilename | None) -> ReplicaFile:
    """Return the file of a replica, loaded, and standing where `time` or `txid` say.

    Raises:
        apsw.Error: it cannot be opened; the message says why, and our error is its cause.

    """
    try:
        name, parameters = _split(filename)
        registered = READ_REPLICAS.find(name)
        options = parse_parameters(parameters, registered.options if registered else Options())
        replica = _reserve(name, registered, options)
    except LitestreamError as error:
        raise open_error(error) from error
    try:
        return _open(replica, options)
    except UsageError as error:
        raise open_error(error) from error  # names what is wrong
    except LitestreamError as error:
        raise open_error(error, replica.place) from error


def _open(replica: ReadReplica, options: Options) -> ReplicaFile:
    use = replica.new_use()
    try:
        target = None
        if options.txid is not None:
            target = use.traveller.at_txid(options.txid, use.replica.waiter())
        elif options.time is not None:
            target = use.traveller.at_text(options.time, use.replica.waiter())
        return ReplicaFile(use, target, prefetch_size(options.prefetch))
    except BaseException:
        use.release()
        raise


def _split(filename: str | apsw.URIFilename | None) -> tuple[str, dict[str, str]]:
    if filename is None:
        msg = "expected the name of a replica, got none"
        raise UsageError(msg)
    if isinstance(filename, str):
        return filename, {}
    return filename.filename(), {key: filename.uri_parameter(key) or "" for key in filename.parameters}


def _reserve(name: str, registered: ReadReplica | None, options: Options) -> ReadReplica:
    shared = replace(options, time=None, txid=None, replica_url=None)
    if options.replica_url is None and registered is not None:
        if shared == registered.options and registered.reserve():
            return registered
        return READ_REPLICAS.reserve(name, registered.source, options, registered.logger, exact=False)
    url = options.replica_url or os.environ.get(URL_VARIABLE)
    if not url:
        hint = f"register it, add replica_url=... to the URI, or set {URL_VARIABLE}"
        if name.startswith("file:"):
            hint = "it looks like a URI, so open it with the flag SQLITE_OPEN_URI"
        elif is_url(name):
            hint = "it looks like a replica's URL, which litestream.connect() opens"
        elif Path(name).is_absolute():
            hint = f"a file beside the replica (ATTACH, VACUUM INTO) needs a URI that says so, 'file:{name}?vfs=unix'"
        msg = f"no read replica named {shown_name(name)!r} is registered: {hint}"
        raise UsageError(msg)
    if options.replica_url is None:
        try:
            replica_client(url).close()
        except UsageError as error:
            msg = f"{URL_VARIABLE}: {error}"
            raise UsageError(msg) from error
    return READ_REPLICAS.reserve(url, url, options, None, exact=False)
