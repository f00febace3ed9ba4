"""What replicates in the crash runs: ours as a process, or the real program, at the same settings."""

import sys
from pathlib import Path

from tests.support.crash_replicator import (
    LEVELS_S,
    MONITOR_INTERVAL_S,
    RETENTION_S,
    SNAPSHOT_INTERVAL_S,
    SYNC_INTERVAL_S,
)
from tests.support.litestream_program import ConfiguredReplica, LitestreamProgram, ReplicaPlace, Settings

SYSTEMS = ("ours", "go")

MIN_CHECKPOINT_PAGE_N = (100, 1000)
"""A start takes one of them at random: at the first a replicator checkpoints about every second; at the second, the
default, the WAL grows over several lives, until SQLite's own automatic checkpoints find nobody in their way.
"""

_SETTINGS = Settings(
    levels=tuple(f"{seconds}s" for seconds in LEVELS_S),
    l0_retention=f"{RETENTION_S}s",
    snapshot_interval=f"{SNAPSHOT_INTERVAL_S}s",
    snapshot_retention=f"{RETENTION_S}s",
    monitor_interval=f"{MONITOR_INTERVAL_S * 1000:.0f}ms",
    sync_interval=f"{SYNC_INTERVAL_S * 1000:.0f}ms",
    min_checkpoint_page_count=MIN_CHECKPOINT_PAGE_N[0],
)


class OurProgram(LitestreamProgram):
    """Ours, started and ended in the same way as the real program."""

    __slots__ = ()

    def command(self) -> list[str | Path]:
        pages = str(self.settings.min_checkpoint_page_count)
        assert not isinstance(self.replica, ConfiguredReplica)
        return [sys.executable, "-m", "tests.support.crash_replicator", self.database, self.replica.url, pages]


def replicator(system: str, directory: Path, database: Path, replica: ReplicaPlace) -> LitestreamProgram:
    """Return one of the systems; its log lies in the directory."""
    kind = {"ours": OurProgram, "go": LitestreamProgram}[system]
    return kind(directory, database, replica, _SETTINGS)
