"""The header's time as object metadata: RFC 3339 in UTC, as Go's RFC3339Nano writes it."""

from datetime import UTC, datetime


def format_timestamp(instant: datetime) -> str:
    """Return the text of an instant, without trailing zeros of the fraction.

    >>> format_timestamp(datetime(2026, 11, 22, 8, 31, 3, 440_000, tzinfo=UTC))
    '2026-11-22T08:31:03.44Z'
    """
    instant = instant.astimezone(UTC)
    fraction = f".{instant.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{instant:%Y-%m-%dT%H:%M:%S}".zfill(len("0001-01-01T00:00:00")) + fraction + "Z"


def parse_timestamp(text: str) -> datetime | None:
    """Return the instant of a text, cut to microseconds, or None if it is no such text.

    >>> parse_timestamp("2026-11-22T08:31:03.44Z")
    datetime.datetime(2026, 11, 22, 8, 31, 3, 440000, tzinfo=datetime.timezone.utc)
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if instant.tzinfo is None else instant.astimezone(UTC)
