"""Which files a name may mean that is given to `sqlite3.connect`.

Source: sqlite.org/uri.html; docs.python.org/3/library/sqlite3.html, "connect".
"""

import os
from typing import cast
from urllib.parse import parse_qs, unquote

_SCHEME = "file:"
_AUTHORITIES = ("", "localhost")


def possible_files(database: object) -> list[str]:
    """Return the paths that may be opened; of what is no name at all, none.

    Whether a name that begins with `file:` is taken as a URI depends on the call and on how SQLite was built.

    >>> possible_files("app.db")
    ['app.db']
    >>> possible_files("file:app.db?mode=ro")
    ['file:app.db?mode=ro', 'app.db']
    >>> possible_files(None)
    []
    """
    try:
        name = os.fsdecode(cast("str", database))
    except TypeError:
        return []
    path = _path_of_uri(name)
    return [name] if path is None else [name, path]


def _path_of_uri(uri: str) -> str | None:
    """Return the path a URI names, or None if it is no URI or names no file."""
    if not uri.startswith(_SCHEME):
        return None
    location, _, query = uri.removeprefix(_SCHEME).partition("#")[0].partition("?")
    if location.startswith("//"):
        authority, slash, path = location.removeprefix("//").partition("/")
        if authority not in _AUTHORITIES:
            return None
        location = slash + path
    options = parse_qs(query)
    if options.get("mode") == ["memory"] or options.get("vfs") == ["memdb"]:
        return None
    return unquote(location, errors="surrogateescape")
