"""Databases in the configuration: one by its path, or those that are found in a directory.

    dbs:
      - path: ~/app.db
        replica: {url: "s3://bucket/app"}
      - dir: /srv/tenants
        pattern: "*.db"
        recursive: true
        replica: {url: "s3://bucket/tenants"}      # each database below it, under its path within the directory

Source: litestream 0.5.17, cmd/litestream/main.go, "DBConfig" and "NewDBsFromDirectoryConfig".
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from litestream.config_paths import expand_path
from litestream.config_replica import ReplicaConfig, Warn, read_replica
from litestream.config_values import Section
from replication.errors import UsageError

_META_SUFFIX = "-litestream"
_SQLITE_MAGIC = b"SQLite format 3\0"

_KNOWN = frozenset(
    {
        "path", "dir", "pattern", "recursive", "watch", "snapshot", "meta-path", "meta-dir", "monitor-interval",
        "checkpoint-interval", "busy-timeout", "min-checkpoint-page-count", "max-checkpoint-page-count",
        "truncate-page-n", "max-sync-wal-bytes", "restore-if-db-not-exists", "replica", "replicas",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DBSettings:
    """How a database is watched; None leaves the default."""

    monitor_interval_s: float | None = None
    checkpoint_interval_s: float | None = None
    busy_timeout_s: float | None = None
    min_checkpoint_page_n: int | None = None
    truncate_page_n: int | None = None
    max_sync_wal_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DBConfig:
    """One database and its replicas."""

    path: Path
    replicas: tuple[ReplicaConfig, ...]
    meta_path: Path | None = None
    settings: DBSettings = DBSettings()
    restore_if_db_not_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DirConfig:
    """The databases in a directory whose names match a pattern; each gets a place of its own below the replicas.

    Local state is beside each database, or else below `meta_path` or `meta_dir`, which differ in the names used there.
    """

    directory: Path
    where: str
    pattern: str
    recursive: bool
    replicas: tuple[ReplicaConfig, ...]
    meta_path: Path | None = None
    meta_dir: Path | None = None
    settings: DBSettings = DBSettings()

    def databases(self) -> list[DBConfig]:
        """Look for the databases, and return them sorted by path.

        Files are opened and closed for that, so this must come before any of them is replicated in this process.

        Raises:
            UsageError: the directory cannot be read, or there is no database in it.

        """
        found = [self._database(path) for path in self._files() if self._matches(path) and _is_sqlite(path)]
        if not found:
            msg = f"{self.where}: expected SQLite databases {self.pattern} in {self.directory}, found none"
            raise UsageError(msg)
        return found

    def database(self, path: Path) -> DBConfig | None:
        """Return what holds for a database of that path, or None if none of that path belongs here."""
        is_below = self.directory in path.parents if self.recursive else self.directory == path.parent
        return self._database(path) if is_below and self._matches(path) else None

    def _files(self) -> Iterator[Path]:
        def refuse(error: OSError) -> None:
            msg = f"{self.where}: cannot read the directory {error.filename}: {error.strerror}"
            raise UsageError(msg) from error

        paths: list[Path] = []
        for directory, names, files in os.walk(self.directory, onerror=refuse):
            paths += [Path(directory, name) for name in files]
            if not self.recursive:
                names.clear()
        return iter(sorted(paths))

    def _matches(self, path: Path) -> bool:
        r"""Say whether the name matches; Go's patterns negate with `[^a]`, and take the special out of `\*`."""
        return fnmatchcase(path.name, re.sub(r"\\(.)", r"[\1]", self.pattern.replace("[^", "[!")))

    def _database(self, path: Path) -> DBConfig:
        relative = PurePosixPath(path.relative_to(self.directory).as_posix())
        meta_path: Path | None = None
        if self.meta_path is not None:
            meta_path = self.meta_path / relative.parent / f".{relative.name}{_META_SUFFIX}"
        elif self.meta_dir is not None:
            meta_path = self.meta_dir / relative.parent / f"{relative.name}{_META_SUFFIX}"
        return DBConfig(
            path=path,
            replicas=tuple(replica.below(str(relative)) for replica in self.replicas),
            meta_path=meta_path,
            settings=self.settings,
        )


def read_db(section: Section, defaults: Section, warn: Warn) -> DBConfig | DirConfig:
    """Return what a database's settings say.

    Raises:
        UsageError: one is unknown, wrong or missing, or not supported yet.

    """
    section.check_names(_KNOWN)
    if "max-checkpoint-page-count" in section:
        warn(f"{section.where('max-checkpoint-page-count')}: it has no effect since Litestream 0.5")
    if ("path" in section) == ("dir" in section):
        section.fail(f"expected a path or a dir, got {'both' if 'path' in section else 'none'}")
    meta_path = expand_path(section.text("meta-path")) if "meta-path" in section else None
    settings, replicas = _settings(section), _replicas(section, defaults, warn)
    if "dir" in section:
        return _directory(section, settings, replicas, meta_path, warn)
    for key in ("pattern", "recursive", "watch", "meta-dir"):
        if key in section:
            section.fail("it goes with dir, not with path", key)
    return DBConfig(
        path=expand_path(section.text("path")),
        replicas=replicas,
        meta_path=meta_path,
        settings=settings,
        restore_if_db_not_exists=bool(section.boolean("restore-if-db-not-exists")),
    )


def with_restore(config: DBConfig) -> DBConfig:
    """Return the database with the setting that it be restored if it is not there."""
    return replace(config, restore_if_db_not_exists=True)


def _directory(
    section: Section, settings: DBSettings, replicas: tuple[ReplicaConfig, ...], meta_path: Path | None, warn: Warn
) -> DirConfig:
    if section.boolean("watch"):
        # Passed over, databases that appear later would have no backup, and nobody would know.
        section.fail("watching a directory is not supported yet; databases are looked for once, at the start", "watch")
    if not section.text("pattern"):
        section.fail("expected a pattern such as *.db beside dir")
    if meta_path is not None and "meta-dir" in section:
        section.fail("expected meta-path or meta-dir, got both", "meta-dir")
    if section.boolean("restore-if-db-not-exists"):
        warn(f"{section.where('restore-if-db-not-exists')}: it has no effect on a dir, which does not name databases")
    return DirConfig(
        directory=expand_path(section.text("dir")),
        where=section.where("dir"),
        pattern=section.text("pattern"),
        recursive=bool(section.boolean("recursive")),
        replicas=replicas,
        meta_path=meta_path,
        meta_dir=expand_path(section.text("meta-dir")) if "meta-dir" in section else None,
        settings=settings,
    )


def _settings(section: Section) -> DBSettings:
    return DBSettings(
        monitor_interval_s=section.duration("monitor-interval", above_s=0.0),
        checkpoint_interval_s=section.duration("checkpoint-interval"),
        busy_timeout_s=section.duration("busy-timeout"),
        min_checkpoint_page_n=section.whole("min-checkpoint-page-count", least=1),
        truncate_page_n=section.whole("truncate-page-n") or None,  # 0 is the default to Go
        max_sync_wal_bytes=section.size("max-sync-wal-bytes"),
    )


def _replicas(section: Section, defaults: Section, warn: Warn) -> tuple[ReplicaConfig, ...]:
    """Return the replicas, of which there may be several: each gets everything."""
    if "replica" in section and "replicas" in section:
        section.fail("expected replica or replicas, got both", "replicas")
    parts = [section.section("replica")] if "replica" in section else section.sections("replicas")
    if not parts:
        section.fail("expected a replica, got none")
    return tuple(read_replica(part, defaults, warn) for part in parts)


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except OSError:
        return False  # as the Go program passes it over
