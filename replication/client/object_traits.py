"""In what the stores that obstore reaches differ for a client of theirs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What messages call the permissions that a request may need."""

    read: str
    list: str
    write: str
    delete: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a kind of store does in its own way.

    `level_format` is the name of a level's directory, of a `level`. `hides_missing` says that a 403 can mean that an
    object is missing: to those who may not list, S3 does not tell which objects there are.
    """

    protocol: str
    permissions: Permissions
    level_format: str
    timestamp_key: str
    hides_missing: bool
    has_conditions: bool  # of single uploads; none has them for uploads in parts
