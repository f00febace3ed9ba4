"""Names of LTX files, and where they lie in a directory.

    <min_txid>-<max_txid>.ltx                   16 lowercase hexadecimal digits each
    <root>/ltx/<level>/<name>                   the layout of every store but S3 and its like, and of the local state

Source: litestream 0.5.17, litestream.go; superfly/ltx, ltx.go, "ParseFilename".
"""

import re
from dataclasses import dataclass

from replication.levels import check_level
from replication.position import TXID

LTX_DIR = "ltx"
LTX_SUFFIX = ".ltx"

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.ltx")


@dataclass(frozen=True, slots=True)
class LTXName:
    """The transactions that a file's name says the file holds."""

    min_txid: TXID
    max_txid: TXID

    def __str__(self) -> str:
        """Return the name.

        >>> str(LTXName(TXID(1), TXID(42)))
        '0000000000000001-000000000000002a.ltx'
        """
        return format_ltx_name(self.min_txid, self.max_txid)


def format_ltx_name(min_txid: int, max_txid: int) -> str:
    """Return the name of the file that holds these transactions."""
    return f"{min_txid:016x}-{max_txid:016x}{LTX_SUFFIX}"


def parse_ltx_name(name: str) -> LTXName | None:
    """Return what a name says, or None if it is not that of an LTX file: listings hold other things too.

    >>> parse_ltx_name("0000000000000001-000000000000002a.ltx")
    LTXName(min_txid=1, max_txid=42)
    >>> parse_ltx_name("0000000000000001-000000000000002a.ltx.tmp")
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    min_txid, max_txid = int(found[1], 16), int(found[2], 16)
    return LTXName(TXID(min_txid), TXID(max_txid)) if 0 < min_txid <= max_txid else None


def ltx_dir(root: str) -> str:
    """Return the directory of all LTX files under `root`.

    >>> ltx_dir("backups/app"), ltx_dir(""), ltx_dir("/")
    ('backups/app/ltx', 'ltx', '/ltx')
    """
    return _join(root, LTX_DIR)


def ltx_level_dir(root: str, level: int) -> str:
    """Return the directory of the LTX files of one level.

    Raises:
        UsageError: there is no such level.

    """
    return _join(ltx_dir(root), str(check_level(level)))


def ltx_file_path(root: str, level: int, min_txid: int, max_txid: int) -> str:
    """Return the path of one LTX file.

    >>> ltx_file_path("backups/app", 9, 1, 42)
    'backups/app/ltx/9/0000000000000001-000000000000002a.ltx'

    Raises:
        UsageError: there is no such level.

    """
    return _join(ltx_level_dir(root, level), format_ltx_name(min_txid, max_txid))


def _join(parent: str, name: str) -> str:
    return f"{parent}{name}" if parent in {"", "/"} else f"{parent.rstrip('/')}/{name}"
