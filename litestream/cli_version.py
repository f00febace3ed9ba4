"""The command `version`.

Source: litestream 0.5.17, cmd/litestream/version.go.
"""

import platform
from importlib.metadata import version as installed_version

import apsw
import click

from litestream.columns import column_lines
from litestream.go_flags import GoCommand, go_flag

DISTRIBUTION = "apsw-litestream"


@click.command("version", cls=GoCommand)
@go_flag("verbose", "Show what it runs on, too.")
def version(*, verbose: bool) -> None:
    """Show the version."""
    number = installed_version(DISTRIBUTION)
    if not verbose:
        click.echo(number)
        return
    rows = [
        ["Version:", number],
        ["Python:", platform.python_version()],
        ["APSW:", apsw.apsw_version()],
        ["SQLite:", apsw.sqlite_lib_version()],
        ["OS/Arch:", f"{platform.system().lower()}/{platform.machine()}"],
    ]
    for line in column_lines(rows):
        click.echo(line)
