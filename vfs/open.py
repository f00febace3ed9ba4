"""From a file name and its URI parameters to an open file."""

import os
from dataclasses import replace

import apsw

from replication.errors import LitestreamError, UsageError
from vfs.codes import open_error
from vfs.file import ReplicaFile
from vfs.names import READ_REPLICAS
from vfs.read_replica import ReadReplica
from vfs.uri import Options, parse_parameters

URL_VARIABLE = "LITESTREAM_REPLICA_URL"


def open_file(filename: str | apsw.URIFilename | None) -> ReplicaFile:
    """Return the file of a replica, loaded, and standing where `time` or `txid` say.

    Raises:
        apsw.Error: it cannot be opened; the message says why, and our error is its cause.

    """
    try:
        return _open(filename)
    except LitestreamError as error:
        raise open_error(error) from error


def _open(filename: str | apsw.URIFilename | None) -> ReplicaFile:
    name, parameters = _split(filename)
    registered = READ_REPLICAS.find(name)
    options = parse_parameters(parameters, registered.options if registered else Options())
    replica = _reserve(name, registered, options)
    use = replica.new_use()
    try:
        target = None
        if options.txid is not None:
            target = use.traveller.at_txid(options.txid, use.replica.waiter())
        elif options.time is not None:
            target = use.traveller.at_text(options.time, use.replica.waiter())
        return ReplicaFile(use, target)
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
        msg = (
            f"no read replica named {name!r} is registered: register it, add replica_url=... to the URI, "
            f"or set {URL_VARIABLE}"
        )
        raise UsageError(msg)
    return READ_REPLICAS.reserve(url, url, options, None, exact=False)
