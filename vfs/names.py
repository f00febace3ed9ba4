"""The read replicas of this process by name: those registered, and those that a connection brought along.

A registration stays until it is removed. One that a connection brought along (by URL or client) goes with the last
connection, and is shared by all that ask for the same replica with the same options.
"""

import os
from dataclasses import replace
from logging import Logger, NullHandler, getLogger
from pathlib import Path
from threading import RLock

from replication.client.base import ReplicaClient
from replication.client.url import replica_client
from replication.client.url_parse import shown_name
from replication.errors import UsageError
from replication.forking import after_fork_in_child
from vfs.read_replica import ReadReplica
from vfs.registry import Source
from vfs.uri import Options, check_options

LOGGER = getLogger("litestream.vfs")
LOGGER.addHandler(NullHandler())  # silent unless the program sets up logging
MAX_SAME_NAMES = 10_000
"""How many read replicas of one URL with different options there may be."""


class ReadReplicas:
    """Read replicas by name."""

    def __init__(self) -> None:
        """Know none."""
        self._lock = RLock()
        self._named: dict[str, ReadReplica] = {}  # guarded by _lock
        after_fork_in_child(self._after_fork)

    def register(self, name: str, source: Source, options: Options, logger: Logger | None = None) -> ReadReplica:
        """Give a replica a name.

        Raises:
            UsageError: the name is taken, the URL is none of a replica, or an option is out of range.

        """
        if not name:
            msg = "expected a name for the read replica, got none"
            raise UsageError(msg)
        check_source(source)
        if isinstance(source, str):
            replica_client(source).close()  # a bad URL is an error now, not at the first use
        replica = ReadReplica(name, source, check_options(options), logger or LOGGER, self._forget, implicit=False)
        with self._lock:
            taken = self._named.get(name)
            if taken is not None and not taken.closed:
                msg = f"a read replica named {name!r} is registered already: unregister it first"
                raise UsageError(msg)
            self._named[name] = replica
        return replica

    def get(self, name: str) -> ReadReplica:
        """Return the read replica of a name.

        Raises:
            UsageError: there is none.

        """
        replica = self.find(name)
        if replica is None:
            msg = f"no read replica named {shown_name(name)!r} is registered"
            raise UsageError(msg)
        return replica

    def find(self, name: str) -> ReadReplica | None:
        """Return the read replica of a name, if there is one."""
        with self._lock:
            replica = self._named.get(name)
        return None if replica is None or replica.closed else replica

    def reserve(
        self, name: str, source: Source, options: Options, logger: Logger | None, *, exact: bool
    ) -> ReadReplica:
        """Return a read replica with this source and options, a connection counted on it, made if there is none.

        Args:
            name: what to call it if it is made.
            source: the URL or client.
            options: how it is read; `time` and `txid` do not count.
            logger: where it logs, if it is made.
            exact: whether it must have that very name.

        Raises:
            UsageError: the name is taken by another one, or an option is out of range.

        """
        check_source(source)
        shared = replace(check_options(options), time=None, txid=None, replica_url=None)
        with self._lock:
            for number in range(1, MAX_SAME_NAMES):
                full = name if number == 1 else f"{name}#{number}"
                replica = self._named.get(full)
                same = replica is not None and replica.source == source and replica.options == shared
                if replica is not None and same and replica.reserve():
                    return replica
                if replica is None or replica.closed:
                    replica = ReadReplica(full, source, shared, logger or LOGGER, self._forget, implicit=True)
                    replica.reserve()
                    self._named[full] = replica
                    return replica
                if exact:
                    taken = shown_name(name)
                    msg = f"the name {taken!r} is taken by a read replica with another source or other options"
                    raise UsageError(msg)
        msg = f"more than {MAX_SAME_NAMES} read replicas are named {shown_name(name)!r}"
        raise UsageError(msg)

    def _forget(self, replica: ReadReplica) -> None:
        with self._lock:
            if self._named.get(replica.name) is replica:
                del self._named[replica.name]

    def _after_fork(self) -> None:
        self._lock = RLock()  # the parent may have held the old one
        for replica in self._named.values():
            replica.after_fork()


def check_source(source: object) -> None:
    """Raise if this is nothing that a replica can be opened from.

    Raises:
        UsageError: it is not.

    """
    if isinstance(source, ReplicaClient) or (isinstance(source, str) and source):
        return
    hint = f"; did you mean {Path(source).absolute().as_uri()}?" if isinstance(source, os.PathLike) else ""
    msg = f"expected a replica's URL or a ReplicaClient, got {source!r}{hint}"
    raise UsageError(msg)


READ_REPLICAS = ReadReplicas()
