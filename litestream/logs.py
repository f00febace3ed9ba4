"""The log of `replicate`: lines of `name=value` as the Go program writes them, JSON, or a short form for eyes.

    time=2026-11-25T02:13:19.602Z level=INFO msg="initialized db" path=/srv/app.db

What the library's own loggers tell goes the same way. Names and values that belong to a message are given as
`extra=fields(path=...)`.

Source: litestream 0.5.17, internal/log.go; Go's package log/slog.
"""

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from litestream.config_logging import LEVELS, LoggingConfig

LOGGER = logging.getLogger("litestream.command")

_ROOT = "litestream"
_FIELDS = "litestream_fields"
_TRACE = LEVELS["TRACE"]
_SHORT = {"TRACE": "TRC", "DEBUG": "DBG", "INFO": "INF", "WARN": "WRN", "ERROR": "ERR"}
_COLORS = {"INFO": 92, "WARN": 93, "ERROR": 91}
_SPECIAL = frozenset('="')


def fields(**values: object) -> dict[str, object]:
    """Return names and values for a log record; `_` in a name is shown as `-`."""
    return {_FIELDS: {name.replace("_", "-"): value for name, value in values.items()}}


@contextmanager
def logging_to(config: LoggingConfig, stream: TextIO | None = None) -> Iterator[None]:
    """Write the log as the configuration says, to a stream if given, until the block ends."""
    out = stream or (sys.stderr if config.stderr else sys.stdout)
    handler = _Handler(out)
    handler.setFormatter(_formatter(config, is_terminal=out.isatty()))
    root = logging.getLogger(_ROOT)
    before = root.level, root.propagate
    root.addHandler(handler)
    root.setLevel(LEVELS[config.level])
    root.propagate = False
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        root.propagate = before[1]


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream as long as somebody reads it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: replicating goes on without a log, and there is nowhere to tell of it."""


def _formatter(config: LoggingConfig, *, is_terminal: bool) -> logging.Formatter:
    if config.type == "json":
        return _JSONFormatter(source=config.source)
    if config.type == "pretty":
        return _PrettyFormatter(source=config.source, color=is_terminal)
    return _TextFormatter(source=config.source)


class _TextFormatter(logging.Formatter):
    """`name=value`, quoted where it must be."""

    def __init__(self, *, source: bool) -> None:
        super().__init__()
        self._source = source

    def format(self, record: logging.LogRecord) -> str:
        time = _instant(record).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        values = {"time": time, "level": _level(record), **self._place(record), "msg": record.getMessage()}
        return _pairs({**values, **_fields(record)})

    def _place(self, record: logging.LogRecord) -> dict[str, object]:
        return {"source": f"{record.filename}:{record.lineno}"} if self._source else {}


class _JSONFormatter(_TextFormatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        time = _instant(record).isoformat().replace("+00:00", "Z")
        values = {"time": time, "level": _level(record), **self._place(record), "msg": record.getMessage()}
        return json.dumps({**values, **_fields(record)}, ensure_ascii=False, separators=(",", ":"), default=str)


class _PrettyFormatter(_TextFormatter):
    """A short line, with colours on a terminal."""

    def __init__(self, *, source: bool, color: bool) -> None:
        super().__init__(source=source)
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        level = _level(record)
        short = _SHORT[level]
        if self._color and level in _COLORS:
            short = f"\x1b[{_COLORS[level]}m{short}\x1b[0m"
        place = [str(value) for value in self._place(record).values()]
        parts = [_instant(record).strftime("%H:%M:%S"), short, *place, record.getMessage(), _pairs(_fields(record))]
        return " ".join(part for part in parts if part)


def _instant(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _level(record: logging.LogRecord) -> str:
    """Return the level's name in Go."""
    if record.levelno <= _TRACE:
        return "TRACE"
    if record.levelno < LEVELS["INFO"]:
        return "DEBUG"
    if record.levelno < LEVELS["WARN"]:
        return "INFO"
    return "WARN" if record.levelno < LEVELS["ERROR"] else "ERROR"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found: dict[str, object] = dict(getattr(record, _FIELDS, {}))
    if record.exc_info and record.exc_info[1] is not None:
        found["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
    return found


def _pairs(values: Mapping[str, object]) -> str:
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in values.items())


def _quoted(text: str) -> str:
    is_plain = text and text.isprintable() and " " not in text and not _SPECIAL.intersection(text)
    return text if is_plain else json.dumps(text, ensure_ascii=False)
