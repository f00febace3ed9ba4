"""Result sets as text: an aligned table, JSON or CSV, written row by row.

SQLite    table       JSON            CSV
NULL      NULL        null            an empty field; an empty text is ""
integer   all digits  all digits      all digits
real      as SQLite   a number        a number; infinity is 1e999, which reads back as such
blob      x'00ff'     "x'00ff'"       x'00ff', the way SQL writes it
"""

import json
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

SQLValue = None | int | float | bytes | str
Row = Sequence[SQLValue]
Writer = Callable[[Sequence[str], Iterable[Row]], Iterator[str]]
"""Turns the names of the columns and the rows into lines."""

WIDTH_ROWS = 1000
"""A table's columns are as wide as its first rows ask for; further ones may stick out, but need not be held."""

_CSV_SPECIAL = frozenset(',"\r\n')
_WIDE = frozenset("WF")


def table_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    r"""Yield a table with a line of names above; numbers stand at the right.

    >>> print(*table_lines(["id", "name"], [(1, "one"), (20, None)]), sep="\n")
    id  name
    --  ----
     1  one
    20  NULL
    """
    waiting = iter(rows)
    first = [[_table_cell(value) for value in row] for row in islice(waiting, WIDTH_ROWS)]
    names = [_printable(name) for name in columns]
    widths = [max(map(_width, [name, *(row[at][0] for row in first)])) for at, name in enumerate(names)]
    yield _joined(name + _gap(name, width) for name, width in zip(names, widths, strict=True))
    yield _joined("-" * width for width in widths)
    for row in chain(first, ([_table_cell(value) for value in row] for row in waiting)):
        yield _joined(
            _gap(text, width) + text if is_number else text + _gap(text, width)
            for (text, is_number), width in zip(row, widths, strict=True)
        )


def json_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    r"""Yield one array with an object for each row; a name that comes again gets a number.

    >>> print(*json_lines(["a", "a"], [(1, None), (b"\xff", "x")]), sep="\n")
    [
    {"a": 1, "a:2": null},
    {"a": "x'ff'", "a:2": "x"}
    ]
    """
    keys = [json.dumps(name, ensure_ascii=False) for name in _distinct(columns)]
    yield "["
    before = None
    for row in rows:
        if before is not None:
            yield f"{before},"
        before = "{" + ", ".join(f"{key}: {_json_cell(value)}" for key, value in zip(keys, row, strict=True)) + "}"
    if before is not None:
        yield before
    yield "]"


def csv_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    r"""Yield a line of names and one for each row, quoted where they must be.

    >>> print(*csv_lines(["a", "b"], [(1.5, None), ("", "x, y")]), sep="\n")
    a,b
    1.5,
    "","x, y"
    """
    yield ",".join(_csv_cell(name) for name in columns)
    for row in rows:
        yield ",".join(_csv_cell(value) for value in row)


WRITERS: dict[str, Writer] = {"table": table_lines, "json": json_lines, "csv": csv_lines}


def _table_cell(value: SQLValue) -> tuple[str, bool]:
    """Return a value's text, and whether it is a number."""
    if value is None:
        return "NULL", False
    if isinstance(value, str):
        return _printable(value), False
    return _number_or_blob(value), not isinstance(value, bytes)


def _json_cell(value: SQLValue) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    text = _number_or_blob(value)
    return f'"{text}"' if isinstance(value, bytes) else text


def _csv_cell(value: SQLValue) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return _number_or_blob(value)
    if value and not _CSV_SPECIAL.intersection(value):
        return value
    doubled = value.replace('"', '""')
    return f'"{doubled}"'


def _number_or_blob(value: float | bytes) -> str:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    return repr(value)


def _printable(text: str) -> str:
    """Return a text on one line, without what would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _width(text: str) -> int:
    """Return how many places of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in _WIDE else 1 for one in text
    )


def _gap(text: str, width: int) -> str:
    return " " * (width - _width(text))


def _joined(cells: Iterable[str]) -> str:
    return "  ".join(cells).rstrip()


def _distinct(names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        number, one = 1, name
        while one in found:
            number += 1
            one = f"{name}:{number}"
        found.append(one)
    return found
