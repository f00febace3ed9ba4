"""The one place that asks what time it is; everything else takes a clock as an argument."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time and elapsed time."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards; only differences mean anything."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards; only differences mean anything."""
        return time.monotonic()


SYSTEM_CLOCK = SystemClock()


def from_timestamp_ms(timestamp_ms: int) -> datetime:
    """Return the instant of a header's timestamp, which counts milliseconds since 1970.

    >>> from_timestamp_ms(1_500)
    datetime.datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=datetime.timezone.utc)
    """
    seconds, ms = divmod(timestamp_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)


def to_timestamp_ms(instant: datetime) -> int:
    """Return the milliseconds since 1970 of an aware instant, rounded down."""
    return int(instant.timestamp() * 1_000_000 + 0.5) // 1000


def format_instant(instant: datetime) -> str:
    """Return an aware instant as RFC 3339 in UTC, without trailing zeros of its fraction.

    >>> format_instant(from_timestamp_ms(1_500))
    '1970-01-01T00:00:01.5Z'
    """
    text = instant.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"
