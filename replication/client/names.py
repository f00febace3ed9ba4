"""File names of a replica: `<min>-<max>.ltx`, 16 hexadecimal digits each."""

import os
import re
from pathlib import Path

from replication.position import TXID

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.ltx")


def format_ltx_filename(min_txid: TXID, max_txid: TXID) -> str:
    """Return the name of a file."""
    return f"{min_txid:016x}-{max_txid:016x}.ltx"


def parse_ltx_filename(name: str) -> tuple[TXID, TXID] | None:
    """Return the TXIDs a name tells, or None if it is no LTX file's."""
    found = _NAME.fullmatch(name)
    return None if found is None else (TXID(int(found[1], 16)), TXID(int(found[2], 16)))


def ltx_dir(root: str | os.PathLike[str]) -> Path:
    """Return the directory of all levels."""
    return Path(root) / "ltx"


def ltx_level_dir(root: str | os.PathLike[str], level: int) -> Path:
    """Return the directory of one level."""
    return ltx_dir(root) / str(level)


def ltx_file_path(root: str | os.PathLike[str], level: int, min_txid: TXID, max_txid: TXID) -> Path:
    """Return the path of a file."""
    return ltx_level_dir(root, level) / format_ltx_filename(min_txid, max_txid)
