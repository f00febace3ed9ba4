"""Paths as a configuration or a command line gives them: `~/app.db`, `sqlite:///srv/app.db`, `app.db`.

Source: litestream 0.5.17, cmd/litestream/main.go, "expand" and "StripSQLitePrefix".
"""

import os
from pathlib import Path

from replication.errors import UsageError

_PREFIXES = ("sqlite3://", "sqlite://")


def expand_path(text: str) -> Path:
    """Return the absolute path that a text means.

    >>> str(expand_path("sqlite:///srv/app.db"))
    '/srv/app.db'

    Raises:
        UsageError: there is no home directory for `~`.

    """
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    if text == "~" or text.startswith(f"~{os.sep}"):
        try:
            return Path(os.path.normpath(Path(text).expanduser()))
        except RuntimeError as error:
            msg = f"expected a home directory for {text}, but there is none"
            raise UsageError(msg) from error
    return Path(os.path.abspath(text))  # noqa: PTH100 - Path.absolute would keep `..`, and so two names for one file
