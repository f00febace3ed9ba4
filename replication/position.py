"""Transaction ids, page numbers and positions.

A TXID counts the transactions of a replica from 1; its text form is 16 lowercase hexadecimal digits.
A position is a database state: the last TXID applied and the database checksum after it.

Source: superfly/ltx, ltx.go, "Pos" and "TXID".
"""

import re
from dataclasses import dataclass
from typing import NewType, Self

from replication.errors import UsageError

TXID = NewType("TXID", int)
Pgno = NewType("Pgno", int)

NO_TXID = TXID(0)  # before the first transaction
MAX_TXID = TXID(2**64 - 1)

_PENDING_BYTE = 0x40000000  # sqlite.org/fileformat.html#the_lock_byte_page
_TXID_TEXT = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})")
_POS_TEXT = re.compile(r"([0-9a-f]{16})/([0-9a-f]{16})")


def format_txid(txid: int) -> str:
    """Return the text form of a TXID.

    >>> format_txid(42)
    '000000000000002a'
    """
    return f"{txid:016x}"


def parse_txid(text: str) -> TXID:
    """Return the TXID that 1 to 16 hexadecimal digits mean, with or without `0x`.

    >>> parse_txid("2a") == parse_txid("0x000000000000002A") == 42
    True

    Raises:
        UsageError: the text is something else.

    """
    found = _TXID_TEXT.fullmatch(text.strip())
    if found is None:
        msg = f"expected a TXID of 1 to 16 hexadecimal digits, got {text!r}"
        raise UsageError(msg)
    return TXID(int(found[1], 16))


def lock_pgno(page_size: int) -> Pgno:
    """Return the number of the page that holds byte 0x40000000; it never holds data, and no LTX file stores it.

    >>> lock_pgno(4096)
    262145
    """
    return Pgno(_PENDING_BYTE // page_size + 1)


@dataclass(frozen=True, slots=True)
class Pos:
    """A database state: the last TXID applied and the database checksum after it."""

    txid: TXID = TXID(0)
    post_apply_checksum: int = 0

    def __str__(self) -> str:
        """Return `txid/checksum`, 16 hexadecimal digits each."""
        return f"{self.txid:016x}/{self.post_apply_checksum:016x}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position that `str()` of it wrote.

        >>> Pos.parse("000000000000002a/8000000000000001")
        Pos(txid=42, post_apply_checksum=9223372036854775809)

        Raises:
            UsageError: the text is something else.

        """
        found = _POS_TEXT.fullmatch(text)
        if found is None:
            msg = f"expected a position as txid/checksum, 16 hexadecimal digits each, got {text!r}"
            raise UsageError(msg)
        return cls(TXID(int(found[1], 16)), int(found[2], 16))

    def is_zero(self) -> bool:
        """Say whether this is the position before the first transaction."""
        return self.txid == 0 and self.post_apply_checksum == 0
