"""The meta message of an object in a NATS object store: JSON, as the Go program and NATS's own clients write it.

Source: NATS ADR-20, "JetStream based Object Stores".
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CHUNK_SIZE = 128 * 2**10  # bytes; the Go program's too
NO_SEQUENCE = 0  # of a name that has no meta message
_DIGEST = "SHA-256="


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    """What a meta message says of an object, and the message itself."""

    name: str
    nuid: str
    size: int  # bytes
    chunks: int
    digest: str
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_deleted: bool = False
    sequence: int = NO_SEQUENCE
    stored_at: datetime | None = None

    def format(self, bucket: str) -> bytes:
        """Return the message."""
        fields = {
            "name": self.name,
            "headers": {name: list(values) for name, values in self.headers.items()},
            "options": {"max_chunk_size": CHUNK_SIZE},
            "bucket": bucket,
            "nuid": self.nuid,
            "size": self.size,
            "mtime": "0001-01-01T00:00:00Z",  # as Go writes it: readers take the message's own time
            "chunks": self.chunks,
            "digest": self.digest,
        }
        return json.dumps(fields).encode()


def parse_meta(data: bytes, sequence: int, stored_at: datetime | None = None) -> ObjectMeta | None:
    """Return what a meta message says, or None if it is none: anybody may publish there."""
    try:
        fields: dict[str, Any] = json.loads(data)
        return ObjectMeta(
            name=str(fields["name"]),
            nuid=str(fields["nuid"]),
            size=int(fields.get("size") or 0),
            chunks=int(fields.get("chunks") or 0),
            digest=str(fields.get("digest") or ""),
            headers=dict(fields.get("headers") or {}),
            is_deleted=bool(fields.get("deleted")) or bool((fields.get("options") or {}).get("link")),
            sequence=sequence,
            stored_at=stored_at,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def format_digest(digest: bytes) -> str:
    """Return a SHA-256 digest as a meta message has it."""
    return _DIGEST + base64.urlsafe_b64encode(digest).decode()


def parse_digest(text: str) -> bytes:
    """Return the SHA-256 digest that a meta message has, empty if it is none."""
    if not text.upper().startswith(_DIGEST):
        return b""
    try:
        return base64.urlsafe_b64decode(text[len(_DIGEST) :])
    except (binascii.Error, ValueError):
        return b""
