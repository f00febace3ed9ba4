"""What the Go program's commands write: aligned columns, JSON, instants to the second, humanised sizes."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

import click

from replication.clock import format_instant

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_STEP = 1000
_WHOLE_FROM = 10  # smaller numbers get a decimal


def column_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    r"""Yield rows, the first of them names, as aligned columns.

    >>> print(*column_lines([["path", "replica"], ["/srv/app.db", "file"]]), sep="\n")
    path         replica
    /srv/app.db  file
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def write_rows(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write aligned columns with a line of names above."""
    for line in column_lines([names, *rows]):
        click.echo(line)


def write_json(value: object) -> None:
    """Write a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def format_second(instant: datetime) -> str:
    """Return an instant as RFC 3339 in UTC, without its fraction of a second."""
    return format_instant(instant.replace(microsecond=0))


def format_size(size: int) -> str:
    """Return a number of bytes as people read it, in powers of 1000.

    >>> [format_size(size) for size in (0, 999, 4152, 16512, 123_456_789)]
    ['0 B', '999 B', '4.2 kB', '16 kB', '124 MB']
    """
    if size < _STEP:
        return f"{size} B"
    value, power = float(size), 0
    while value >= _STEP and power < len(_UNITS) - 1:
        value, power = value / _STEP, power + 1
    tenths = int(value * 10 + 0.5) / 10
    return f"{tenths:.1f} {_UNITS[power]}" if tenths < _WHOLE_FROM else f"{tenths:.0f} {_UNITS[power]}"
