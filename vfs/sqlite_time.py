"""Instants as SQLite writes them: time values, numbers, and modifiers applied to an instant.

The calendar is SQLite's: a day past the end of its month runs on into the next (January 31 plus a month is March 3),
the fraction of a month counts 30 days and that of a year 365. Differences: microseconds are kept; the zones are those
of RFC 3339, up to 23:59; a shift has a sign, and fewer than 24 hours.

Source: sqlite.org/lang_datefunc.html, and SQLite 3.54, date.c, "parseModifier" and "parseDateOrTime".
"""

import math
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from replication.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_JULIAN_DAY = Fraction(4_881_175, 2)  # 2440587.5
_JULIAN_DAY_END = Fraction(10_746_969, 2)  # 5373484.5, the end of the year 9999
_UNIX_END = 253_402_300_800  # seconds, the same

_CLOCK = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?)?"
_DATE = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_ZONE = r"(?:\s*(?:[Zz]|(?P<zone_sign>[-+])(?P<zone_hour>[0-9]{2}):(?P<zone_minute>[0-9]{2})))?"
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?"

_TIME_VALUES = [re.compile(form, re.ASCII) for form in (_DATE, rf"{_DATE}[\sTt]+{_CLOCK}{_ZONE}", _CLOCK + _ZONE)]
_LIMITS = {"month": (1, 12), "day": (1, 31), "hour": (0, 24), "minute": (0, 59), "second": (0, 59)}
_LIMITS |= {"zone_hour": (0, 23), "zone_minute": (0, 59)}

_SHIFTS = [re.compile(rf"(?P<sign>[-+]){form}", re.ASCII) for form in (_CLOCK, rf"{_DATE}(?:\s{_CLOCK})?")]
_SHIFT_LIMITS = {"month": (0, 11), "day": (0, 30), "hour": (0, 23), "minute": (0, 59), "second": (0, 59)}

_NUMBER_VALUE = re.compile(_NUMBER)
_COUNT = re.compile(rf"({_NUMBER})\s+(second|minute|hour|day|month|year)s?", re.ASCII | re.IGNORECASE)
_START = re.compile(r"start of (day|month|year)", re.IGNORECASE)
_UNIT_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 30 * 86400.0, "year": 365 * 86400.0}


def apply_modifier(text: str, now: datetime) -> datetime | None:
    """Return the instant that a modifier makes of `now`; None if the text is no modifier.

    Raises:
        UsageError: a part of it is out of its range.
        OverflowError, ValueError: the instant is not in the years 1 to 9999.

    """
    if found := _COUNT.fullmatch(text):
        return _add_count(now, float(found[1]), found[2].lower())
    if found := _START.fullmatch(text):
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        unit = found[1].lower()
        return day if unit == "day" else day.replace(day=1) if unit == "month" else day.replace(month=1, day=1)
    for form in _SHIFTS:
        if found := form.fullmatch(text):
            return _shift(now, found)
    return None


def parse_time_value(text: str, now: datetime) -> datetime | None:
    """Return the instant of `now`, of a date, a date and time, or a time (on 2000-01-01); None if it is none of them.

    Raises:
        UsageError: a part of it is out of its range.
        OverflowError, ValueError: the instant is not in the years 1 to 9999.

    """
    if text.lower() == "now":
        return now
    for form in _TIME_VALUES:
        if found := form.fullmatch(text):
            part = _parts(found, _LIMITS)
            zone = timedelta(hours=part.get("zone_hour", 0), minutes=part.get("zone_minute", 0))
            clock = _time_of_day(found)
            if clock > timedelta(hours=24):
                msg = f"expected a time up to 24:00, got {found[0]!r}"
                raise UsageError(msg)
            local = _calendar(part.get("year", 2000), part.get("month", 1), part.get("day", 1)) + clock
            return local + zone if found.groupdict().get("zone_sign") == "-" else local - zone
    return None


def parse_number(text: str) -> datetime | None:
    """Return the instant of a julian day, or of seconds, milli-, micro- or nanoseconds since 1970 by magnitude.

    None if the text is no number.

    Raises:
        OverflowError, ValueError: the instant is not in the years 1 to 9999.

    """
    if not _NUMBER_VALUE.fullmatch(text):
        return None
    number = Fraction(text)
    if 0 <= number < _JULIAN_DAY_END:
        return _EPOCH + timedelta(milliseconds=round((number - _EPOCH_JULIAN_DAY) * 86_400_000))
    per_second = next((n for n in (1, 1_000, 1_000_000) if abs(number) < _UNIX_END * n), 1_000_000_000)
    return _EPOCH + timedelta(microseconds=math.ceil(number * 1_000_000 / per_second))


def _add_count(now: datetime, count: float, unit: str) -> datetime:
    rounder = -0.5 if count < 0 else 0.5
    if unit in {"month", "year"}:
        whole = int(count)
        now = _add_months(now, whole if unit == "month" else 12 * whole)
        count -= whole
    return now + timedelta(milliseconds=int(count * 1000.0 * _UNIT_S[unit] + rounder))


def _shift(now: datetime, found: re.Match[str]) -> datetime:
    part = _parts(found, _SHIFT_LIMITS)
    sign = -1 if found["sign"] == "-" else 1
    now = _add_months(now, sign * (12 * part.get("year", 0) + part.get("month", 0)))
    return now + sign * (timedelta(days=part.get("day", 0)) + _time_of_day(found))


def _add_months(now: datetime, months: int) -> datetime:
    year, month = divmod(12 * now.year + now.month - 1 + months, 12)
    return _calendar(year, month + 1, now.day) + (now - now.replace(hour=0, minute=0, second=0, microsecond=0))


def _calendar(year: int, month: int, day: int) -> datetime:
    """Return the start of a day; one past the end of its month runs on into the next."""
    return datetime(year, month, 1, tzinfo=UTC) + timedelta(days=day - 1)


def _time_of_day(found: re.Match[str]) -> timedelta:
    text = found.groupdict()
    # Rounded up, so that what lies before the instant lies before the rounded one too.
    fraction = math.ceil(Fraction(f"0.{text.get('fraction') or 0}") * 1_000_000)
    hour, minute, second = (int(text.get(name) or 0) for name in ("hour", "minute", "second"))
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=fraction)


def _parts(found: re.Match[str], limits: dict[str, tuple[int, int]]) -> dict[str, int]:
    texts = found.groupdict()
    parts = {name: int(text) for name, text in texts.items() if text and name not in {"sign", "zone_sign", "fraction"}}
    for name, part in parts.items():
        least, most = limits.get(name, (0, 9999))
        if not least <= part <= most:
            msg = f"expected the {name.replace('_', ' ')} from {least} to {most}, got {part} in {found[0]!r}"
            raise UsageError(msg)
    return parts
