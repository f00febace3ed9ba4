"""What an argument `DB_PATH|REPLICA_URL` means: the replicas of a database in the configuration, or one at a URL."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from litestream.config import read_config
from litestream.config_replica import ReplicaConfig, Warn, replica_of_url
from replication.client.url_parse import is_url
from replication.errors import LitestreamError, UsageError
from replication.levels import LEVELS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSource:
    """Replicas, and the database they are of, if it is known."""

    replicas: tuple[ReplicaConfig, ...]
    database: Path | None = None

    def newest(self, warn: Warn) -> ReplicaConfig:
        """Return the replica that leads furthest; one that does not answer is told of and passed over.

        Raises:
            LitestreamError: none answers, or those that do are empty, so that the others may hold all there is.

        """
        if len(self.replicas) == 1:
            return self.replicas[0]
        found: list[tuple[int, ReplicaConfig]] = []
        failed: LitestreamError | None = None
        for replica in self.replicas:
            try:
                found.append((_newest_txid(replica), replica))
            except LitestreamError as error:
                failed = error
                warn(f"{replica.where}: {error}")
        txid, newest = max(found, key=lambda pair: pair[0], default=(0, self.replicas[0]))
        if failed is not None and not txid:
            raise failed
        return newest


def replica_source(argument: str, config: str | None, *, expand: bool) -> ReplicaSource:
    """Return the replicas that an argument means.

    Raises:
        UsageError: there is no such database in the configuration, or that is wrong, or named beside a URL.

    """
    if is_url(argument) and not argument.startswith(("sqlite://", "sqlite3://")):
        if config is not None:
            msg = "cannot specify a replica URL and the -config flag"
            raise UsageError(msg)
        return ReplicaSource(replicas=(replica_of_url(argument),))
    found = read_config(config, expand=expand).database(argument)
    return ReplicaSource(replicas=found.replicas, database=found.path)


def _newest_txid(replica: ReplicaConfig) -> int:
    with closing(replica.client()) as client:
        return max((info.max_txid for level in LEVELS for info in client.ltx_files(level)), default=0)
