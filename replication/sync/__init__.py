"""From a live database in WAL mode to level-0 files in the local directory; `replication.db` is the way in."""
