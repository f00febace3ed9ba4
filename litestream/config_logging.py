"""What the configuration says of the log; the environment's `LOG_LEVEL` goes before it.

Source: litestream 0.5.17, internal/log.go.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from litestream.config_values import Section
from replication.errors import UsageError

LEVEL_VARIABLE = "LOG_LEVEL"
LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40}
"""The numbers Python has for the levels, and one for the level below."""

TYPES = ("text", "json", "pretty")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    """How to log: which level, in which form, to standard error or not, and whether with the place in the source."""

    level: str = "INFO"
    type: str = "text"
    stderr: bool = False
    source: bool = False


def read_logging(section: Section, environ: Mapping[str, str], warn: Callable[[str], object]) -> LoggingConfig:
    """Return what the section `logging` says.

    Raises:
        UsageError: there is no such level or type.

    """
    section.check_names(("level", "type", "stderr", "source"))
    form = section.text("type") or "text"
    if form not in TYPES:
        section.fail(f"expected one of {', '.join(TYPES)}, got {form!r}", "type")
    level = parse_level(section.text("level") or "INFO", section.where("level"))
    return LoggingConfig(
        level=level_of_environment(environ, warn) or level,
        type=form,
        stderr=bool(section.boolean("stderr")),
        source=bool(section.boolean("source")),
    )


def level_of_environment(environ: Mapping[str, str], warn: Callable[[str], object]) -> str | None:
    """Return the level that the environment says, or None; what may be meant for another program is passed over."""
    try:
        return parse_level(environ[LEVEL_VARIABLE], LEVEL_VARIABLE) if environ.get(LEVEL_VARIABLE) else None
    except UsageError as error:
        warn(str(error))
        return None


def parse_level(text: str, place: str) -> str:
    """Return the name of a level, in upper case.

    Raises:
        UsageError: there is no such level; the message says where it was given.

    """
    level = text.upper()
    if level not in LEVELS:
        msg = f"{place}: expected one of trace, debug, info, warn, error, got {text!r}"
        raise UsageError(msg)
    return level
