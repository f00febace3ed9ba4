"""Compaction levels: 0 holds the files as written, 1 to 8 merged ones, 9 snapshots of the whole database.

Source: litestream 0.5.17, store.go and litestream.go.
"""

from replication.errors import UsageError

SNAPSHOT_LEVEL = 9
MAX_COMPACTION_LEVEL = SNAPSHOT_LEVEL - 1
LEVELS = range(SNAPSHOT_LEVEL + 1)


def check_level(level: int) -> int:
    """Return the level if there is such a one.

    Raises:
        UsageError: it is not 0 to 9.

    """
    if level not in LEVELS:
        msg = f"expected a level from 0 to {SNAPSHOT_LEVEL}, got {level}"
        raise UsageError(msg)
    return level
