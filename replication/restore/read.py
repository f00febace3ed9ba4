"""Reading exact byte ranges of a plan's files, resuming where an answer broke off."""

from replication.client.base import ReplicaClient
from replication.errors import LTXError
from replication.ltx.file_info import FileInfo

MAX_SHORT_READS = 16
"""How often in a row an answer may be shorter than asked for."""


def read_exactly(client: ReplicaClient, info: FileInfo, start: int, end: int) -> bytes:
    """Return bytes `start` to `end` (exclusive) of a file; what is missing of an answer is asked for again.

    Raises:
        LTXError: the file ends before, or its answers kept breaking off; it says where.
        LTXMissingError, DeniedError, UnavailableError: as the client says.

    """
    data = client.read_ltx(info, start, end)
    if len(data) == end - start:
        return data
    parts, reached = [data], start + len(data)
    for _ in range(MAX_SHORT_READS):
        data = client.read_ltx(info, reached, end)
        if not data:
            break
        parts.append(data)
        reached += len(data)
        if reached == end:
            return b"".join(parts)
    msg = f"expected bytes {start} to {end} of the file, got an end at {reached}"
    raise LTXError(msg, level=info.level, min_txid=info.min_txid, max_txid=info.max_txid, offset=reached)
