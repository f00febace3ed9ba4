"""The command `restore`, with the flags and the JSON of the Go program's.

Source: litestream 0.5.17, cmd/litestream/restore.go and docs/CLI_JSON_OUTPUT.md.
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

import litestream
from litestream.cli_options import verbose
from litestream.columns import format_second, write_json, write_rows
from litestream.go_flags import GoCommand, config_flags, go_flag, go_option, json_flag
from litestream.progress import TerminalProgress
from replication.client.base import ReplicaClient
from replication.errors import NoSnapshotsError, TxNotAvailableError, UsageError
from replication.ltx.file_info import FileInfo
from replication.position import format_txid, parse_txid
from replication.restore.options import DEFAULT_RESTORE_PARALLELISM, IntegrityCheck, RestoreResult

if TYPE_CHECKING:
    from litestream.config_source import ReplicaSource

_FOLLOW_LATER = "following a replica with restore -f is not supported yet"


@click.command("restore", cls=GoCommand, short_help="Restore a database from its replica.")
@click.argument("source", required=False, metavar="DB_PATH|REPLICA_URL")
@click.option("-o", "output", metavar="PATH", help="Where to write the database.  [default: its own path]")
@go_option("txid", "HEX", "Restore up to this TXID, inclusive.")
@go_option("timestamp", "T", "Restore what was there just before 2026-01-31T12:00:00Z.")
@go_flag("if-db-not-exists", "Do nothing if the output exists.")
@go_flag("if-replica-exists", "Do nothing if there is no backup.")
@go_flag("dry-run", "Show the files that would be read, and write nothing.")
@go_flag("force", "Overwrite the output, and remove its -wal, -shm and -journal.")
@json_flag("Write a JSON object about what was done.")
@click.option(
    "-parallelism",
    "--parallelism",
    type=int,
    default=DEFAULT_RESTORE_PARALLELISM,
    show_default=True,
    help="Requests under way at once.",
)
@click.option(
    "-integrity-check",
    "--integrity-check",
    type=click.Choice(get_args(IntegrityCheck)),
    default="none",
    show_default=True,
    help="What SQLite checks before the output appears.",
)
@click.option("-f", "follow", is_flag=True, help="Not supported yet.")
@go_option("follow-interval", "DURATION", "Not supported yet.")
@config_flags
@verbose
def restore(
    *,
    source: str | None,
    output: str | None,
    txid: str | None,
    timestamp: str | None,
    if_db_not_exists: bool,
    if_replica_exists: bool,
    dry_run: bool,
    force: bool,
    as_json: bool,
    parallelism: int,
    integrity_check: IntegrityCheck,
    follow: bool,
    follow_interval: str | None,
    config: str | None,
    no_expand_env: bool,
) -> None:
    """Restore a database from its replica: one in the configuration file, or any replica by its URL.

    Of several replicas the one that leads furthest is read. Each flag may be written with one dash or with two.
    """
    if follow or follow_interval is not None:
        raise UsageError(_FOLLOW_LATER)
    replicas, path = _checked(source, output, config, expand=not no_expand_env)
    if if_db_not_exists and Path(path).exists():
        click.echo("database already exists, skipping", err=as_json)
        return
    replica = replicas.newest(lambda warning: click.echo(f"Warning: {warning}", err=True))
    with closing(replica.client()) as client:
        if dry_run:
            _show_plan(_shown(source), path, replica.type, _plan(client, txid, timestamp), as_json=as_json)
            return
        try:
            with TerminalProgress(f"restoring {path}") as progress:
                result = litestream.restore(
                    client,
                    path,
                    txid=txid,
                    timestamp=timestamp,
                    parallelism=parallelism,
                    integrity_check=integrity_check,
                    overwrite=force,
                    progress=progress,
                )
        except (NoSnapshotsError, TxNotAvailableError):
            if not if_replica_exists:
                raise
            click.echo("no matching backups found", err=as_json)
            return
    _show_result(replica.type, path, result, as_json=as_json)


def _checked(
    source: str | None, output: str | None, config: str | None, *, expand: bool
) -> tuple["ReplicaSource", str]:
    """Return the replicas to choose from, and the path of the output.

    Raises:
        UsageError: one is missing, or there is no such database in the configuration.

    """
    from litestream.config_source import replica_source  # noqa: PLC0415 - as little as possible before it is used

    if not source:
        msg = "database path or replica URL required: apsw-litestream restore -o /path/to/db s3://bucket/prefix"
        raise UsageError(msg)
    replicas = replica_source(source, config, expand=expand)
    if output is not None:
        return replicas, output
    if replicas.database is None:
        msg = "-o is required when restoring from a replica URL"
        raise UsageError(msg)
    return replicas, str(replicas.database)


def _plan(client: ReplicaClient, txid: str | None, timestamp: str | None) -> tuple[FileInfo, ...]:
    from litestream.restore_api import parse_timestamp  # noqa: PLC0415 - as little as possible before it is used

    return litestream.calc_restore_plan(
        client,
        None if txid is None else parse_txid(txid),
        None if timestamp is None else parse_timestamp(timestamp),
    )


def _shown(source: str | None) -> str:
    from replication.client.url_parse import shown_name  # noqa: PLC0415 - as little as possible before it is used

    return shown_name(source or "")


def _show_result(replica_type: str, path: str, result: RestoreResult, *, as_json: bool) -> None:
    txid = format_txid(result.txid) if result.txid else ""  # Litestream 0.3 had none
    if as_json:
        write_json(
            {
                "db_path": path,
                "replica": replica_type,
                "txid": txid,
                "duration_ms": round(result.duration_s * 1000),
                "integrity_check": result.integrity_check,
            }
        )
        return
    click.echo(
        f"restored {path}{txid and f' at TXID {txid}'}: {result.pages:,} pages, "
        f"{result.bytes_downloaded:,} bytes read from {result.files:,} files in {result.duration_s:.1f} s"
    )


def _show_plan(source: str, output: str, replica_type: str, plan: tuple[FileInfo, ...], *, as_json: bool) -> None:
    first, last = format_txid(plan[0].min_txid), format_txid(plan[-1].max_txid)
    rows = [_plan_row(info) for info in plan]
    if as_json:
        write_json(
            {
                "source": source,
                "target_path": output,
                "replica": replica_type,
                "min_txid": first,
                "max_txid": last,
                "files": rows,
            }
        )
        return
    click.echo(f"Restore plan:\n  source: {source}\n  target: {output}\n  replica: {replica_type}")
    click.echo(f"  txid range: {first} - {last}\n\nFiles to fetch:")
    names = ["file" if name == "name" else name for name in rows[0]]
    write_rows(names, [[str(value) for value in row.values()] for row in rows])


def _plan_row(info: FileInfo) -> dict[str, object]:
    first, last = format_txid(info.min_txid), format_txid(info.max_txid)
    return {
        "level": info.level,
        "name": f"{first}-{last}.ltx",
        "min_txid": first,
        "max_txid": last,
        "size": info.size,
        "timestamp": format_second(info.created_at),
    }
