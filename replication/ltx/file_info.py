"""What a listing says of one LTX file."""

from dataclasses import dataclass
from datetime import UTC, datetime

from replication.position import TXID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """One LTX file as a replica stores it.

    `size` is in bytes. `created_at` is the stored time: the header's own where the store keeps that in its listing
    (or where accurate times were asked for), else the time of the upload. `identity` changes when other content
    comes under the same name (ETag, or mtime and inode); empty where nobody knows.
    """

    level: int
    min_txid: TXID
    max_txid: TXID
    size: int = 0
    created_at: datetime = EPOCH
    identity: str = ""
