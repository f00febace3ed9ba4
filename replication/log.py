"""The logger of the write side, which says nothing unless the program sets up logging, as libraries are."""

from logging import NullHandler, getLogger

LOGGER = getLogger("litestream.replication")
LOGGER.addHandler(NullHandler())
