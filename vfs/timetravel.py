"""What `PRAGMA litestream_time` and the parameter `time` understand: from a text to an instant.

Tried in this order: `latest`; RFC 3339 (UTC where no zone is given); a Go duration and SQLite's modifiers, both
relative to now; SQLite's time values and numbers; words, which need the package dateparser. RFC 3339 is a part of what
SQLite reads as date and time, and has nothing in common with what stands between, so one reader serves both.
"""

import re
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from replication.errors import UsageError
from vfs.duration import parse_go_duration
from vfs.sqlite_time import apply_modifier, parse_number, parse_time_value

MAX_TEXT_LENGTH = 100  # characters

_EXAMPLES = "latest, 2026-01-31T12:00:00Z, -5m, '-2 days', 'start of day', 1767225600, '5 minutes ago'"
_WORD = re.compile(r"[^\W\d_]{2}")


def parse_instant(text: str, now: datetime) -> datetime | None:
    """Return the instant a text means, in UTC, or None for `latest`; it may lie in the future.

    >>> now = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
    >>> parse_instant("-1h30m", now).isoformat(), parse_instant("-2 days", now).isoformat()
    ('2026-03-31T10:30:00+00:00', '2026-03-29T12:00:00+00:00')

    Args:
        text: see above.
        now: what durations, modifiers and words are relative to; aware.

    Raises:
        UsageError: the text is none of them, or the instant is not in the years 1 to 9999.

    """
    stripped = text.strip()
    if stripped.lower() == "latest":
        return None
    if len(stripped) > MAX_TEXT_LENGTH:
        msg = f"expected an instant of at most {MAX_TEXT_LENGTH} characters, got {len(stripped)}"
        raise UsageError(msg)
    now = now.astimezone(UTC)
    try:
        for read in (_duration, apply_modifier, parse_time_value, _number, _words):
            instant = read(stripped, now)
            if instant is not None:
                return instant
    except (OverflowError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        msg = f"expected an instant in the years 1 to 9999, got {text!r}"
        raise UsageError(msg) from error
    msg = f"expected an instant, for example {_EXAMPLES}; got {text!r}"
    raise UsageError(msg)


def _duration(text: str, now: datetime) -> datetime | None:
    nanoseconds = parse_go_duration(text)
    return None if nanoseconds is None else now + timedelta(microseconds=nanoseconds // 1000)


def _number(text: str, now: datetime) -> datetime | None:
    del now
    return parse_number(text)


def _words(text: str, now: datetime) -> datetime | None:
    if not _WORD.search(text):
        return None  # dateparser would guess which of the numbers is the month
    try:
        dateparser: Any = import_module("dateparser")
    except ImportError as error:
        msg = (
            f"got {text!r}: words need the package dateparser (pip install apsw-litestream[words]); "
            f"without it, expected for example {_EXAMPLES}"
        )
        raise UsageError(msg) from error
    settings = {
        "TIMEZONE": "UTC",
        "TO_TIMEZONE": "UTC",
        "RETURN_AS_TIMEZONE_AWARE": True,
        "RELATIVE_BASE": now.replace(tzinfo=None),
        "PREFER_DATES_FROM": "past",
    }
    found: datetime | None = dateparser.parse(text, languages=["en"], settings=settings)
    return None if found is None else found.astimezone(UTC)
