"""What all commands have in common: `-v`."""

from collections.abc import Callable
from dataclasses import dataclass

import click


@dataclass(slots=True)
class Settings:
    """What holds for every command."""

    verbose: bool = False


def _set_verbose(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's way
    if value:
        context.ensure_object(Settings).verbose = True


def verbose(command: Callable[..., None]) -> Callable[..., None]:
    """Let `-v` stand before a command's name and after it."""
    text = "Show where an error comes from."
    option = click.option(
        "-v", "--verbose", is_flag=True, is_eager=True, expose_value=False, callback=_set_verbose, help=text
    )
    return option(command)
