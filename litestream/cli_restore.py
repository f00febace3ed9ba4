"""The command `restore`, with the flags and the JSON of the Go program's.

Source: litestream 0.5.17, cmd/litestream/restore.go and docs/CLI_JSON_OUTPUT.md.
"""

import json
from contextlib import closing
from pathlib import Path
from typing import get_args

import click

import litestream
from litestream.cli_options import verbose
from replication.clock import format_instant
from replication.errors import NoSnapshotsError, TxNotAvailableError, UsageError
from replication.ltx.file_info import FileInfo
from replication.position import format_txid, parse_txid
from replication.restore.options import DEFAULT_RESTORE_PARALLELISM, IntegrityCheck, RestoreResult

_CONFIG_LATER = "the configuration file is not supported yet"
_FOLLOW_LATER = "following a replica with restore -f is not supported yet"


@click.command("restore")
@click.argument("source", required=False, metavar="REPLICA_URL")
@click.option("-o", "output", metavar="PATH", help="Where to write the database.")
@click.option("-txid", "--txid", metavar="HEX", help="Restore up to this TXID, inclusive.")
@click.option("-timestamp", "--timestamp", metavar="T", help="Restore what was there just before 2026-01-31T12:00:00Z.")
@click.option("-if-db-not-exists", "--if-db-not-exists", is_flag=True, help="Do nothing if the output exists.")
@click.option("-if-replica-exists", "--if-replica-exists", is_flag=True, help="Do nothing if there is no backup.")
@click.option("-dry-run", "--dry-run", is_flag=True, help="Show the files that would be read, and write nothing.")
@click.option("-force", "--force", is_flag=True, help="Overwrite the output, and remove its -wal, -shm and -journal.")
@click.option("-json", "--json", "as_json", is_flag=True, help="Write a JSON object about what was done.")
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
@click.option("-follow-interval", "--follow-interval", metavar="DURATION", help="Not supported yet.")
@click.option("-config", "--config", metavar="PATH", help="Not supported yet.")
@click.option("-no-expand-env", "--no-expand-env", is_flag=True, help="Not supported yet.")
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
    """Restore the replica at REPLICA_URL to a database file.

    Each flag may be written with one dash or with two.
    """
    del no_expand_env  # of the configuration file
    url, path = _checked(source, output, follow=follow or follow_interval is not None, config=config)
    if if_db_not_exists and Path(path).exists():
        click.echo("database already exists, skipping", err=as_json)
        return
    if dry_run:
        _show_plan(url, path, txid, timestamp, as_json=as_json)
        return
    try:
        result = litestream.restore(
            url,
            path,
            txid=txid,
            timestamp=timestamp,
            parallelism=parallelism,
            integrity_check=integrity_check,
            overwrite=force,
        )
    except (NoSnapshotsError, TxNotAvailableError):
        if not if_replica_exists:
            raise
        click.echo("no matching backups found", err=as_json)
        return
    _show_result(url, path, result, as_json=as_json)


def _checked(source: str | None, output: str | None, *, follow: bool, config: str | None) -> tuple[str, str]:
    """Return the URL of the replica and the path of the output.

    Raises:
        UsageError: one is missing, or what is asked for is not supported yet.

    """
    from replication.client.url_parse import is_url  # noqa: PLC0415 - as little as possible before it is used

    if source is None:
        msg = "expected the URL of a replica: apsw-litestream restore -o /path/to/db s3://bucket/prefix"
        raise UsageError(msg)
    if follow:
        raise UsageError(_FOLLOW_LATER)
    if config is not None or not is_url(source):
        msg = f"{_CONFIG_LATER}: give the URL of the replica, and -o for the output"
        raise UsageError(msg)
    if output is None:
        msg = "-o is required when restoring from a replica URL"
        raise UsageError(msg)
    return source, output


def _show_result(url: str, path: str, result: RestoreResult, *, as_json: bool) -> None:
    txid = format_txid(result.txid) if result.txid else ""  # Litestream 0.3 had none
    if as_json:
        _write_json(
            {
                "db_path": path,
                "replica": _scheme(url),
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


def _show_plan(source: str, output: str, txid: str | None, timestamp: str | None, *, as_json: bool) -> None:
    from litestream.restore_api import parse_timestamp  # noqa: PLC0415 - as little as possible before it is used
    from replication.client.url_parse import without_secrets  # noqa: PLC0415

    with closing(litestream.replica_client(source)) as client:
        plan = litestream.calc_restore_plan(
            client,
            None if txid is None else parse_txid(txid),
            None if timestamp is None else parse_timestamp(timestamp),
        )
    shown, first, last = without_secrets(source), format_txid(plan[0].min_txid), format_txid(plan[-1].max_txid)
    rows = [_plan_row(info) for info in plan]
    if as_json:
        _write_json(
            {
                "source": shown,
                "target_path": output,
                "replica": _scheme(source),
                "min_txid": first,
                "max_txid": last,
                "files": rows,
            }
        )
        return
    click.echo(f"Restore plan:\n  source: {shown}\n  target: {output}\n  replica: {_scheme(source)}")
    click.echo(f"  txid range: {first} - {last}\n\nFiles to fetch:")
    titles = {name: "file" if name == "name" else name for name in rows[0]}
    cells = [list(titles.values()), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _plan_row(info: FileInfo) -> dict[str, object]:
    first, last = format_txid(info.min_txid), format_txid(info.max_txid)
    return {
        "level": info.level,
        "name": f"{first}-{last}.ltx",
        "min_txid": first,
        "max_txid": last,
        "size": info.size,
        "timestamp": format_instant(info.created_at),
    }


def _scheme(url: str) -> str:
    with closing(litestream.replica_client(url)) as client:
        return client.type


def _write_json(value: dict[str, object]) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
