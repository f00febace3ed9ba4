"""Commands whose flags are written as those of the Go program: with one dash or two, `-flag value` or `-flag=value`.

Flags without a value take `=true` and `=false` too. Unlike there, flags may also stand behind other arguments.

Source: Go's package flag.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from itertools import islice

import click

_FLAG = re.compile(r"--?(?P<name>[^-=][^=]*)(?P<given>=(?P<value>.*))?", re.DOTALL)
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


class GoCommand(click.Command):
    """Such a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the arguments in Go's form."""
        options = {name.lstrip("-"): one for one in self.get_params(ctx) for name in one.opts if name.startswith("-")}
        return super().parse_args(ctx, _as_click_takes_them(args, options))


def _as_click_takes_them(args: Sequence[str], options: dict[str, click.Parameter]) -> list[str]:
    taken: list[str] = []
    rest = iter(args)
    for argument in rest:
        if argument == "--":
            return [*taken, argument, *rest]
        found = _FLAG.fullmatch(argument)
        if found is None:
            taken.append(argument)
            continue
        option = options.get(found["name"])
        if not isinstance(option, click.Option):
            raise click.UsageError(_unknown(found["name"], options))
        name = option.opts[0]
        if not option.is_flag:
            # What follows is the value, whatever it looks like.
            taken += [name, found["value"]] if found["given"] else [name, *islice(rest, 1)]
        elif found["given"] is None or found["value"].lower() in _TRUE:
            taken.append(name)
        elif found["value"].lower() not in _FALSE:
            msg = f"expected true or false for -{found['name']}, got {found['value']!r}"
            raise click.UsageError(msg)
    return taken


def _unknown(name: str, options: dict[str, click.Parameter]) -> str:
    near = difflib.get_close_matches(name, options, n=1)
    return f"no such flag: -{name}" + (f"; did you mean -{near[0]}?" if near else "")


def go_flag(
    name: str, help_text: str, *, key: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a flag without a value; `key` is the name of the parameter, if it is another one."""
    return click.option(*_spellings(name, key), is_flag=True, help=help_text)


def go_option(
    name: str, metavar: str, help_text: str, *, key: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a flag with a value."""
    return click.option(*_spellings(name, key), metavar=metavar, help=help_text)


def config_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags that name the configuration file."""
    command = go_flag("no-expand-env", "Leave each $ in the configuration file alone.")(command)
    return go_option("config", "PATH", "The configuration file.  [default: /etc/litestream.yml]")(command)


def json_flag(help_text: str = "Write JSON.") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the flag that asks for JSON, as `as_json`."""
    return go_flag("json", help_text, key="as_json")


def _spellings(name: str, key: str | None) -> list[str]:
    spellings = [f"-{name}", f"--{name}"]
    return spellings if key is None else [*spellings, key]
