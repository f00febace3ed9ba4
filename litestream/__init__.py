"""Litestream for APSW: the public API."""
