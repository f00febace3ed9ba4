"""The commands that read the configuration and look around: `databases`, `ltx`, `status`.

Their flags, texts and JSON are those of the Go program.

Source: litestream 0.5.17, cmd/litestream/databases.go, ltx.go, status.go and docs/CLI_JSON_OUTPUT.md.
"""

from contextlib import closing

import click

from litestream.cli_options import verbose
from litestream.columns import format_second, format_size, write_json, write_rows
from litestream.go_flags import GoCommand, config_flags, go_option, json_flag
from replication.errors import LitestreamError, UsageError
from replication.ltx.file_info import FileInfo
from replication.position import format_txid

_ALL = "all"
_WAL_IS_LTX = "Warning: 'wal' command is deprecated, please use 'ltx' instead"


@click.command("databases", cls=GoCommand, short_help="List the databases in the configuration file.")
@config_flags
@json_flag()
@verbose
def databases(*, config: str | None, no_expand_env: bool, as_json: bool) -> None:
    """List the databases in the configuration file, one line for each replica."""
    from litestream.config import read_config  # noqa: PLC0415 - as little as possible before it is used

    found = read_config(config, expand=not no_expand_env).databases()
    rows = [{"path": str(db.path), "replica": replica.type} for db in found for replica in db.replicas]
    if as_json:
        write_json(rows)
    else:
        write_rows(["path", "replica"], [list(row.values()) for row in rows])


@click.command("ltx", cls=GoCommand, short_help="List the LTX files of a replica.")
@click.argument("source", required=False, metavar="DB_PATH|REPLICA_URL")
@config_flags
@go_option("level", "0-9|all", "The compaction level.  [default: 0]")
@json_flag()
@verbose
def ltx(*, source: str | None, config: str | None, no_expand_env: bool, level: str | None, as_json: bool) -> None:
    """List the LTX files of a replica, or of the first replica of a database in the configuration file."""
    _list_ltx(source, config, level, expand=not no_expand_env, as_json=as_json)


@click.command("wal", cls=GoCommand)
@click.argument("source", required=False, metavar="DB_PATH|REPLICA_URL")
@config_flags
@go_option("level", "0-9|all", "The compaction level.  [default: 0]")
@json_flag()
@verbose
def wal(*, source: str | None, config: str | None, no_expand_env: bool, level: str | None, as_json: bool) -> None:
    """Old name of ltx."""
    click.echo(_WAL_IS_LTX, err=True)
    _list_ltx(source, config, level, expand=not no_expand_env, as_json=as_json)


@click.command("status", cls=GoCommand, short_help="Show the local state of the databases.")
@click.argument("path", required=False, metavar="[DB_PATH]")
@config_flags
@json_flag()
@verbose
def status(*, path: str | None, config: str | None, no_expand_env: bool, as_json: bool) -> None:
    """Show what is known of the databases in the configuration file on this machine, without asking a replica.

    The local TXID is the last one in the local state, the WAL size that of the file beside the database.
    """
    from litestream.config import read_config  # noqa: PLC0415 - as little as possible before it is used
    from litestream.config_paths import expand_path  # noqa: PLC0415

    found = read_config(config, expand=not no_expand_env).databases()
    if path is not None:
        found = [db for db in found if db.path == expand_path(path)]
    rows = [_status(str(db.path), None if db.meta_path is None else str(db.meta_path)) for db in found]
    if as_json:
        write_json(rows)
    else:
        write_rows(["database", "status", "local txid", "wal size"], [list(row.values()) for row in rows])


def _list_ltx(source: str | None, config: str | None, level: str | None, *, expand: bool, as_json: bool) -> None:
    from litestream.config_source import replica_source  # noqa: PLC0415 - as little as possible before it is used

    levels = _levels(level or "0")
    if not source:
        msg = "database path or replica URL required: apsw-litestream ltx /path/to/db"
        raise UsageError(msg)
    with closing(replica_source(source, config, expand=expand).replicas[0].client()) as client:
        rows = [_ltx_row(info) for number in levels for info in client.ltx_files(number)]
    if as_json:
        write_json(rows)
    else:
        names = ["level", "min_txid", "max_txid", "size", "created"]
        write_rows(names, [[str(value) for value in row.values()] for row in rows])


def _levels(text: str) -> list[int]:
    from replication.levels import LEVELS  # noqa: PLC0415 - as little as possible before it is used

    if text == _ALL:
        return [*LEVELS]
    if not text.isascii() or not text.isdigit() or int(text) not in LEVELS:
        msg = f"expected a level from {LEVELS[0]} to {LEVELS[-1]}, or {_ALL}, got {text!r}"
        raise UsageError(msg)
    return [int(text)]


def _ltx_row(info: FileInfo) -> dict[str, object]:
    return {
        "level": info.level,
        "min_txid": format_txid(info.min_txid),
        "max_txid": format_txid(info.max_txid),
        "size": info.size,
        "timestamp": format_second(info.created_at),
    }


def _status(path: str, meta_path: str | None) -> dict[str, str]:
    """Return what is known of one database; its own files are looked at, but never opened."""
    from replication.db_paths import DBPaths  # noqa: PLC0415 - as little as possible before it is used
    from replication.sync.local_files import LocalFiles  # noqa: PLC0415

    paths = DBPaths(path)
    row = {"database": path, "status": "no database", "local_txid": "-", "wal_size": "-"}
    if not paths.path.exists():
        return row
    try:
        row["wal_size"] = format_size(paths.wal_path.stat().st_size)
    except FileNotFoundError:
        row["wal_size"] = format_size(0)
    try:
        txid = LocalFiles(meta_path or str(paths.meta_path), path).max_txid()
    except LitestreamError:
        return {**row, "status": "error"}
    return {**row, "status": "ok", "local_txid": format_txid(txid)} if txid else {**row, "status": "not initialized"}
