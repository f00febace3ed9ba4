"""The read side: the SQLite VFS that opens a replica in place."""
