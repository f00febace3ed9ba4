"""The command `reset`, which deletes the local state of a database.

Source: litestream 0.5.17, cmd/litestream/reset.go.
"""

import shutil
from contextlib import closing
from pathlib import Path

import click

from litestream.cli_options import verbose
from litestream.go_flags import GoCommand, config_flags, go_flag
from replication.errors import UsageError


@click.command("reset", cls=GoCommand, short_help="Delete the local state of a database.")
@click.argument("path", required=False, metavar="DB_PATH")
@config_flags
@go_flag("dry-run", "Show the files that would be deleted, and delete none.")
@verbose
def reset(*, path: str | None, config: str | None, no_expand_env: bool, dry_run: bool) -> None:
    """Delete the local state of a database, which the next sync makes again; the database itself stays as it is.

    What replicates the database has to be stopped first.
    """
    from replication.sync.meta_lock import MetaLock  # noqa: PLC0415 - as little as possible before it is used

    if not path:
        msg = "database path required: apsw-litestream reset /path/to/db"
        raise UsageError(msg)
    database, meta_path = _find(path, config, expand=not no_expand_env)
    if not database.exists():
        msg = f"database does not exist: {database}"
        raise UsageError(msg)
    if not meta_path.exists():
        click.echo(f"No local state to reset for {database}\nMeta directory does not exist: {meta_path}")
        return
    places = _places(meta_path)
    shown = ", ".join(map(str, places)) or "nothing"
    if dry_run:
        _show_files(database, places, shown)
        return
    with closing(MetaLock(meta_path, database)):
        click.echo(f"Resetting local Litestream state for: {database}\nRemoving: {shown}")
        for place in places:
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink()
    click.echo("Reset complete. The next sync makes the local state again, from the database and its replica.")


def _show_files(database: Path, places: list[Path], shown: str) -> None:
    click.echo(f"Dry run: local Litestream state would be reset for: {database}\nWould remove: {shown}")
    files = sorted(one for place in places for one in [place, *place.rglob("*")] if not one.is_dir())
    if not files:
        click.echo("No local files would be removed.")
        return
    click.echo("Files that would be removed:")
    for one in files:
        click.echo(f"  {one}")
    click.echo("No files were removed.")


def _places(meta_path: Path) -> list[Path]:
    """Return what there is of the local state; the directory may hold things of others too."""
    from replication.ltx.name import LTX_DIR  # noqa: PLC0415 - as little as possible before it is used
    from replication.sync.syncer import POSITION_NAME, SUMS_NAME  # noqa: PLC0415

    return [place for name in (POSITION_NAME, SUMS_NAME, LTX_DIR) if (place := meta_path / name).exists()]


def _find(path: str, config: str | None, *, expand: bool) -> tuple[Path, Path]:
    """Return the path of a database and of its local state; it need not be in the configuration."""
    from litestream.config import ConfigNotFoundError, DatabaseNotFoundError, read_config  # noqa: PLC0415 - as little as possible at first
    from litestream.config_paths import expand_path  # noqa: PLC0415
    from replication.db_paths import DBPaths  # noqa: PLC0415

    database = expand_path(path)
    meta_path: Path | None = None
    try:
        meta_path = read_config(config, expand=expand).database(path).meta_path
    except ConfigNotFoundError:
        if config is not None:
            raise
    except DatabaseNotFoundError:
        pass
    return database, meta_path or DBPaths(database).meta_path
