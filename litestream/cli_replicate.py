"""The command `replicate`, with the flags of the Go program's.

Source: litestream 0.5.17, cmd/litestream/replicate.go.
"""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from litestream.cli_options import verbose
from litestream.go_flags import GoCommand, config_flags, go_flag, go_option
from replication.errors import UsageError

if TYPE_CHECKING:
    from litestream.config import Config


@click.command("replicate", cls=GoCommand, short_help="Replicate databases, until interrupted or once.")
@click.argument("arguments", nargs=-1, metavar="[DB_PATH REPLICA_URL...]")
@config_flags
@go_option("exec", "CMD", "Run a command, and end when it ends, with its exit code.", key="command")
@go_flag("once", "Replicate once, and end.")
@go_flag("force-snapshot", "With -once: take a snapshot.")
@go_flag("enforce-retention", "With -once: delete old snapshots.")
@go_option("log-level", "LEVEL", "trace, debug, info, warn or error, whatever the configuration says.")
@go_flag("restore-if-db-not-exists", "Restore a database that is not there, if it has a backup.")
@verbose
@click.pass_context
def replicate(
    context: click.Context,
    *,
    arguments: tuple[str, ...],
    config: str | None,
    no_expand_env: bool,
    command: str | None,
    once: bool,
    force_snapshot: bool,
    enforce_retention: bool,
    log_level: str | None,
    restore_if_db_not_exists: bool,
) -> None:
    """Replicate the databases in the configuration file, or one database to one or several URLs, until interrupted.

    SIGINT and SIGTERM end it after a last sync; a second one ends the waiting for a storage that does not answer.
    """
    from litestream.config_db import DBConfig, with_restore  # noqa: PLC0415 - as little as possible before it is used
    from litestream.config_logging import parse_level  # noqa: PLC0415
    from litestream.replicating import Once, run  # noqa: PLC0415

    found = _config(arguments, config, expand=not no_expand_env)
    if log_level is not None:
        found = replace(found, logging=replace(found.logging, level=parse_level(log_level, "-log-level")))
    if command is not None:
        found = replace(found, exec=command)
    if restore_if_db_not_exists:
        entries = [with_restore(entry) if isinstance(entry, DBConfig) else entry for entry in found.entries]
        found = replace(found, entries=tuple(entries))
    if once and found.exec:
        msg = "cannot specify -once flag with -exec"
        raise UsageError(msg)
    for flag, is_given in (("force-snapshot", force_snapshot), ("enforce-retention", enforce_retention)):
        if is_given and not once:
            msg = f"cannot specify -{flag} flag without -once"
            raise UsageError(msg)
    what = Once(force_snapshot=force_snapshot, enforce_retention=enforce_retention) if once else None
    context.exit(run(found, what))


def _config(arguments: tuple[str, ...], path: str | None, *, expand: bool) -> "Config":
    """Return the configuration that the file or the arguments say.

    Raises:
        UsageError: the file cannot be used, or the arguments say too little.

    """
    from litestream.config import Config, read_config  # noqa: PLC0415 - as little as possible before it is used
    from litestream.config_db import DBConfig  # noqa: PLC0415
    from litestream.config_logging import LoggingConfig, level_of_environment  # noqa: PLC0415
    from litestream.config_paths import expand_path  # noqa: PLC0415
    from litestream.config_replica import replica_of_url  # noqa: PLC0415

    if not arguments:
        return read_config(path, expand=expand)
    if path is not None:
        msg = "cannot specify a replica URL and the -config flag"
        raise UsageError(msg)
    database, *urls = arguments
    if not urls:
        msg = f"must specify at least one replica URL for {database}"
        raise UsageError(msg)
    warnings: list[str] = []
    level = level_of_environment(os.environ, warnings.append) or LoggingConfig().level
    entry = DBConfig(path=expand_path(database), replicas=tuple(replica_of_url(url) for url in urls))
    return Config(entries=(entry,), logging=LoggingConfig(level=level), warnings=tuple(warnings))
