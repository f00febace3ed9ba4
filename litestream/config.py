"""The configuration file `litestream.yml`, the same that the Go program reads.

What the write side has is applied. What is not built yet, or has no effect, is told in a warning where passing over it
does no harm, and refused where it would: an unknown setting may be a misspelt one.

Source: litestream 0.5.17, cmd/litestream/main.go, "Config".
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from litestream.config_db import DBConfig, DirConfig, read_db
from litestream.config_env import expand_env
from litestream.config_logging import LoggingConfig, read_logging
from litestream.config_paths import expand_path
from litestream.config_replica import SETTINGS, Warn
from litestream.config_values import Section
from litestream.config_yaml import parse_yaml
from replication.errors import LitestreamError, UsageError
from replication.heartbeat import MIN_HEARTBEAT_INTERVAL_S
from replication.levels import MAX_COMPACTION_LEVEL

DEFAULT_PATH = "/etc/litestream.yml"
PATH_VARIABLE = "LITESTREAM_CONFIG"

_KNOWN = frozenset(
    {
        "addr", "socket", "levels", "snapshot", "validation", "l0-retention", "l0-retention-check-interval",
        "verify-compaction", "retention", "heartbeat-url", "heartbeat-interval", "shutdown-sync-timeout",
        "shutdown-sync-interval", "exec", "mcp-addr", "logging", "dbs",
    }
)  # fmt: skip
# Every merged file is verified before it is uploaded, whatever verify-compaction says.
_LATER = {
    "addr": "metrics are not supported yet, so none are served",
    "mcp-addr": "the MCP server is not supported yet, so none is started",
}


class ConfigNotFoundError(UsageError):
    """Name another file: there is no configuration file."""


class DatabaseNotFoundError(UsageError):
    """Name another database: the configuration has none of that path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotConfig:
    """When snapshots are made, and how long they are kept; None leaves the default."""

    interval_s: float | None = None
    retention_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a configuration file says; None leaves the default.

    `level_intervals_s` begins with level 1. `warnings` are about settings that are passed over.
    """

    entries: tuple[DBConfig | DirConfig, ...] = ()
    level_intervals_s: tuple[float, ...] | None = None
    snapshot: SnapshotConfig = SnapshotConfig()
    validation_interval_s: float | None = None
    l0_retention_s: float | None = None
    l0_retention_check_interval_s: float | None = None
    retention_enabled: bool = True
    heartbeat_url: str = field(default="", repr=False)  # may hold a token
    heartbeat_interval_s: float | None = None
    shutdown_sync_timeout_s: float | None = None
    shutdown_sync_interval_s: float | None = None
    exec: str = field(default="", repr=False)  # may hold a password
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    warnings: tuple[str, ...] = ()

    def databases(self) -> list[DBConfig]:
        """Return all databases; those in directories are looked for now.

        Raises:
            UsageError: a directory cannot be read or has no database, or two databases or replicas are the same.

        """
        found: list[DBConfig] = []
        for entry in self.entries:
            found += entry.databases() if isinstance(entry, DirConfig) else [entry]
        _check_distinct(found)
        return found

    def database(self, path: str) -> DBConfig:
        """Return the database of a path; one that belongs into a directory need not be there.

        Raises:
            DatabaseNotFoundError: there is none.

        """
        expanded = expand_path(path)
        for entry in self.entries:
            found = entry.database(expanded) if isinstance(entry, DirConfig) else entry
            if found is not None and found.path == expanded:
                return found
        msg = f"database not found in config: {expanded}"
        raise DatabaseNotFoundError(msg)


def default_path(environ: Mapping[str, str] = os.environ) -> str:
    """Return where the configuration is if nobody says so."""
    return environ.get(PATH_VARIABLE) or DEFAULT_PATH


def read_config(path: str | None = None, *, expand: bool = True, environ: Mapping[str, str] = os.environ) -> Config:
    """Return what a configuration file says, the default one if None.

    Raises:
        ConfigNotFoundError: it is not there.
        UsageError: it cannot be read, is no YAML, or has a setting that is unknown, wrong or missing.

    """
    found = expand_path(path or default_path(environ))
    try:
        text = found.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        msg = f"config file not found: {found}"
        raise ConfigNotFoundError(msg) from error
    except OSError as error:
        msg = f"cannot read the configuration {found}: {error.strerror}"
        raise UsageError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"cannot read the configuration {found}: expected UTF-8, got the byte {error.object[error.start]:#04x}"
        raise UsageError(msg) from error
    try:
        return parse_config(text, expand=expand, environ=environ)
    except LitestreamError as error:
        msg = f"{found}: {error}"
        raise UsageError(msg) from error


def parse_config(text: str, *, expand: bool = True, environ: Mapping[str, str] = os.environ) -> Config:
    """Return what the text of a configuration says.

    Raises:
        UsageError: it is no YAML, or has a setting that is unknown, wrong or missing; the message has the line.

    """
    warnings: list[str] = []
    if expand:
        expanded = expand_env(text, environ)
        text = expanded.text
        warnings += [f"line {line}: a variable is not set, so nothing stands for it" for line in expanded.unset_lines]
    top = Section.of(parse_yaml(text))
    top.check_names(_KNOWN | SETTINGS)
    entries = tuple(read_db(section, top, warnings.append) for section in top.sections("dbs"))
    _warn_of_later(top, warnings.append)
    heartbeat_url = top.text("heartbeat-url")
    if heartbeat_url and not heartbeat_url.startswith(("http://", "https://")):
        top.fail("expected a URL that begins with http:// or https://", "heartbeat-url")
    return Config(
        entries=entries,
        level_intervals_s=_levels(top),
        snapshot=_snapshot(top),
        validation_interval_s=_inner(top, "validation", "interval").duration("interval"),
        l0_retention_s=top.duration("l0-retention"),
        l0_retention_check_interval_s=top.duration("l0-retention-check-interval", above_s=0.0),
        retention_enabled=_inner(top, "retention", "enabled").boolean("enabled") is not False,
        heartbeat_url=heartbeat_url,
        heartbeat_interval_s=top.duration("heartbeat-interval", least_s=MIN_HEARTBEAT_INTERVAL_S),
        shutdown_sync_timeout_s=top.duration("shutdown-sync-timeout"),
        shutdown_sync_interval_s=top.duration("shutdown-sync-interval", above_s=0.0),
        exec=top.text("exec"),
        logging=read_logging(top.section("logging"), environ, warnings.append),
        warnings=tuple(warnings),
    )


def _inner(top: Section, key: str, *known: str) -> Section:
    section = top.section(key)
    section.check_names(known)
    return section


def _warn_of_later(top: Section, warn: Warn) -> None:
    for key, message in _LATER.items():
        if top.text(key):
            warn(f"{top.where(key)}: {message}")
    if _inner(top, "socket", "enabled", "path", "permissions").boolean("enabled"):
        warn(f"{top.where('socket')}: the control socket is not supported yet, so there is none")


def _levels(top: Section) -> tuple[float, ...] | None:
    """Return the intervals of the levels from 1 on."""
    if "levels" not in top:
        return None
    intervals: list[float] = []
    for section in top.sections("levels"):
        section.check_names(("interval",))
        interval_s = section.duration("interval", above_s=0.0)
        if interval_s is None:
            section.fail("expected an interval")
        intervals.append(interval_s)
    if len(intervals) > MAX_COMPACTION_LEVEL:
        top.fail(f"expected at most {MAX_COMPACTION_LEVEL} levels, got {len(intervals)}", "levels")
    return tuple(intervals)


def _snapshot(top: Section) -> SnapshotConfig:
    """Return when snapshots are made of all databases; what databases say has to agree, and goes before the top."""
    values: dict[str, float | None] = {}
    for key in ("interval", "retention"):
        chosen = _inner(top, "snapshot", "interval", "retention")
        first: Section | None = None
        for db in top.sections("dbs"):
            section = _inner(db, "snapshot", "interval", "retention")
            if key not in section:
                continue
            if first is not None and first.duration(key) != section.duration(key):
                section.fail(f"expected {first.text(key)}, as another database has it: it holds for all", key)
            chosen = first = section
        values[f"{key}_s"] = chosen.duration(key, above_s=0.0)
    return SnapshotConfig(**values)


def _check_distinct(databases: list[DBConfig]) -> None:
    """Check that nothing is replicated twice, or to a place where something else is."""
    paths: set[Path] = set()
    metas: dict[Path, Path] = {}
    places: dict[tuple[object, ...], Path] = {}
    for config in databases:
        if config.path in paths:
            msg = f"expected each database once, got {config.path} twice"
            raise UsageError(msg)
        paths.add(config.path)
        if config.meta_path is not None and (other := metas.setdefault(config.meta_path, config.path)) != config.path:
            msg = f"{other} and {config.path} cannot share the local state {config.meta_path}"
            raise UsageError(msg)
        for replica in config.replicas:
            if replica.destination() in places:
                msg = f"{replica.where}: the replica of {places[replica.destination()]} is in the same place"
                raise UsageError(msg)
            places[replica.destination()] = config.path
