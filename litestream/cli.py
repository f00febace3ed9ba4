"""The command `apsw-litestream`: write and read replicas from a shell.

Errors go to standard error as one line, and the exit code is 1; with `-v` the traceback comes before it. A reader that
closes the pipe early, like `head`, is no error to speak of.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing

import apsw
import click

import litestream
from litestream.cli_config import databases, ltx, status, wal
from litestream.cli_options import Settings, verbose
from litestream.cli_replicate import replicate
from litestream.cli_reset import reset
from litestream.cli_restore import restore
from litestream.cli_version import version
from litestream.output import WRITERS, Row, Writer
from replication.errors import LitestreamError

NAME = "apsw-litestream"
LATER = (
    "follow",
    "info",
    "list",
    "register",
    "serve",
    "shell",
    "start",
    "stop",
    "sync",
    "unregister",
    "verify",
)
"""Commands that are not built yet; they say so, whatever follows them."""

ERROR_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130  # what a shell shows for a program that SIGINT ended
BROKEN_PIPE_EXIT_CODE = 141  # and SIGPIPE
STEPS_BETWEEN_SIGNALS = 10_000
"""After so many steps of SQLite's virtual machine Python gets to see that Ctrl-C was pressed."""

_HISTORY = "SELECT txid, time, level, min_txid, size FROM litestream_history"


class _Commands(click.Group):
    """The commands there are, an old name, and those that are still to come."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        if cmd_name == wal.name:
            return wal
        found = super().get_command(ctx, cmd_name)
        return _later(cmd_name) if found is None and cmd_name in LATER else found

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; that nobody reads what it writes ends it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is still buffered must go somewhere, or Python complains when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ctx.exit(BROKEN_PIPE_EXIT_CODE)


def _later(name: str) -> click.Command:
    def refuse() -> None:
        msg = f"{NAME} {name} is not supported yet"
        raise click.ClickException(msg)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=refuse, context_settings=settings, add_help_option=False)


def _format(command: Callable[..., None]) -> Callable[..., None]:
    option = click.option(
        "--format", "form", type=click.Choice(list(WRITERS)), default="table", show_default=True, help="What to write."
    )
    return option(command)


@click.group(NAME, cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@verbose
@click.pass_context
def commands(context: click.Context) -> None:
    """Replicate SQLite databases as Litestream does, restore them, and read their replicas in place."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@commands.command()
@click.argument("url")
@click.argument("sql")
@click.option("--time", metavar="T", help="As it was just before then: 2026-01-31T12:00:00Z, -5m, '-2 days'.")
@click.option("--txid", metavar="HEX", help="As it was at this TXID.")
@_format
@verbose
def query(url: str, sql: str, time: str | None, txid: str | None, form: str) -> None:
    """Run SQL on the replica at URL.

    Of several statements, each that has a result shows it. A blob is written as x'00ff' in every format; in CSV a NULL
    is an empty field, and an empty text "".
    """
    with closing(litestream.connect(url, time=time, txid=txid)) as connection:
        _write(connection, sql, WRITERS[form])


@commands.command(short_help="List what the replica at URL can be read at.")
@click.argument("url")
@_format
@verbose
def history(url: str, form: str) -> None:
    """List the TXIDs and instants at which the replica at URL can be read, oldest first."""
    with closing(litestream.connect(url)) as connection:
        _write(connection, _HISTORY, WRITERS[form])


for built in (databases, ltx, replicate, reset, restore, status, version):
    commands.add_command(built)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (those of the process if None) name, and return the exit code."""
    settings = Settings()
    try:
        # Without standalone mode click gives back its exit code, and leaves errors to us.
        return int(commands.main(arguments, prog_name=NAME, standalone_mode=False, obj=settings) or 0)
    except click.Abort:
        return _fail("interrupted", INTERRUPTED_EXIT_CODE)
    except click.ClickException as error:
        return _fail(error.format_message())
    except Exception as error:  # noqa: BLE001 - whatever it is, it becomes one line
        if settings.verbose:
            traceback.print_exc()
        ours = isinstance(error, LitestreamError | apsw.Error) and str(error)
        return _fail(str(error) if ours else f"{type(error).__name__}: {error}")


def _fail(message: str, exit_code: int = ERROR_EXIT_CODE) -> int:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    return exit_code


def _write(connection: apsw.Connection, sql: str, writer: Writer) -> None:
    connection.set_progress_handler(lambda: False, STEPS_BETWEEN_SIGNALS)
    output = sys.stdout
    for number, (columns, rows) in enumerate(_results(connection, sql)):
        if number:
            output.write("\n")
        for line in writer(columns, rows):
            output.write(f"{line}\n")
    output.flush()


def _results(connection: apsw.Connection, sql: str) -> Iterator[tuple[list[str], Iterable[Row]]]:
    """Yield the columns and the rows of each statement that has columns; take the rows before going on."""
    cursor = connection.cursor()
    begun: list[list[str]] = []  # the columns of statements that have begun, but whose turn has not come
    row: Row | None  # the next one, of the statement that has begun last

    def begin(*_: object) -> bool:
        begun.append([name for name, _ in cursor.get_description()])
        return True

    def take() -> Iterator[Row]:
        nonlocal row
        while row is not None and not begun:
            yield row
            row = next(cursor, None)

    cursor.exec_trace = begin
    cursor.execute(sql)
    row = next(cursor, None)
    while begun:
        columns = begun.pop(0)
        if columns:
            yield columns, take()
