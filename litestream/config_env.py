"""Variables in the text of a configuration file: `$NAME` and `${NAME}`, from the environment; `$PID` is the process id.

They are replaced before the text is read as YAML, wherever they stand, and one that is not set is replaced by nothing.
So a `$` in a password is lost, unless nothing is expanded: that is told, though not which password.

Source: litestream 0.5.17, cmd/litestream/main.go; Go's os.Expand.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from replication.errors import UsageError

PID = "PID"

# One of *#$@!?- or a digit is a name by itself, as in a shell.
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[^}]*)\}|(?P<broken>\{)|(?P<name>[*#$@!?\-0-9]|[A-Za-z_][A-Za-z0-9_]*))")
_NAME = re.compile(r"[*#$@!?\-0-9]|[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Expanded:
    """A text with its variables replaced, and the numbers of the lines where one was not set."""

    text: str
    unset_lines: tuple[int, ...]


def expand_env(text: str, environ: Mapping[str, str]) -> Expanded:
    """Return a text with its variables replaced.

    >>> expand_env("path: /srv/${APP}.db # $5", {"APP": "app"})
    Expanded(text='path: /srv/app.db # ', unset_lines=(1,))

    Raises:
        UsageError: braces hold something else than a name.

    """
    unset: list[int] = []

    def replace(found: re.Match[str]) -> str:
        line = text.count("\n", 0, found.start()) + 1
        name = found["name"] or found["braced"]
        if not name or not _NAME.fullmatch(name):
            # What stands there is not shown: it may be part of a secret.
            msg = f"line {line}: expected the name of a variable as ${{NAME}}; -no-expand-env leaves each $ alone"
            raise UsageError(msg)
        if name == PID:
            return str(os.getpid())
        if name not in environ and line not in unset:
            unset.append(line)
        return environ.get(name, "")

    return Expanded(_VARIABLE.sub(replace, text), tuple(unset))
