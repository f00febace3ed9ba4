"""The logger of the write side, which says nothing unless the program sets up logging, as libraries are."""

from logging import NullHandler, getLogger

ROOT_LOGGER = getLogger("litestream")
"""Above all loggers of the library: a handler here hears everything."""

LOGGER = getLogger("litestream.replication")
LOGGER.addHandler(NullHandler())
