"""Durations and sizes as people write them: `1m30s`, `100ms`, `2.5`; `64MiB`, `10MB`, `65536`.

Source: Go's time.ParseDuration for durations. In sizes `k` and `kB` mean 1000 and `Ki` and `KiB` 1024, in any case.
"""

import re
from fractions import Fraction

from replication.errors import UsageError

MAX_NANOSECONDS = 2**63 - 1  # Go's longest duration, 292 years
MAX_SIZE = 2**63 - 1

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # with the micro sign
    "μs": 1_000,  # with the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_MAX_TEXT_LENGTH = 100  # characters; longer texts mean nothing, and would take long to compute
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"([-+]?)((?:{_PART.pattern})+)")
_SECONDS = re.compile(rf"([-+]?{_NUMBER})")
_SIZE = re.compile(rf"([-+]?{_NUMBER})\s*(?:([kmgtpe]?)(i?)b?)", re.IGNORECASE)
_POWERS = " kmgtpe"


def parse_go_duration(text: str) -> int | None:
    """Return the nanoseconds a duration with units means; None if the text is no such duration, or too long a one.

    >>> parse_go_duration("-1m30s")
    -90000000000
    """
    if text in {"0", "+0", "-0"}:
        return 0  # the one number that needs no unit
    found = _DURATION.fullmatch(text) if len(text) <= _MAX_TEXT_LENGTH else None
    if found is None:
        return None
    total = sum((Fraction(number) * _NANOSECONDS[unit] for number, unit in _PART.findall(found[2])), start=Fraction())
    nanoseconds = int(total)
    if nanoseconds > MAX_NANOSECONDS:
        return None
    return -nanoseconds if found[1] == "-" else nanoseconds


def parse_duration(text: str) -> float:
    """Return the seconds a duration means; a number without units counts seconds.

    >>> parse_duration("1m30s"), parse_duration("100ms"), parse_duration("2.5")
    (90.0, 0.1, 2.5)

    Raises:
        UsageError: the text is something else, or longer than 292 years.

    """
    stripped = text.strip()
    if len(stripped) <= _MAX_TEXT_LENGTH and _SECONDS.fullmatch(stripped):
        nanoseconds: int | None = int(Fraction(stripped) * 1_000_000_000)
    else:
        nanoseconds = parse_go_duration(stripped)
    if nanoseconds is None or abs(nanoseconds) > MAX_NANOSECONDS:
        msg = f"expected a duration such as 100ms, 1m30s or 2.5 (seconds), at most 292 years, got {text!r}"
        raise UsageError(msg)
    return nanoseconds / 1_000_000_000


def format_duration(seconds: float) -> str:
    """Return the text Go prints for a duration, rounded to nanoseconds.

    >>> format_duration(90), format_duration(0.1), format_duration(3600), format_duration(0)
    ('1m30s', '100ms', '1h0m0s', '0s')

    Raises:
        UsageError: the duration is longer than 292 years.

    """
    if not abs(seconds) * 1_000_000_000 <= MAX_NANOSECONDS:
        msg = f"expected a duration of at most 292 years, got {seconds} s"
        raise UsageError(msg)
    nanoseconds = round(Fraction(seconds) * 1_000_000_000)
    sign = "-" if nanoseconds < 0 else ""
    nanoseconds = abs(nanoseconds)
    for unit in ("ns", "µs", "ms"):
        if 0 < nanoseconds < 1_000 * _NANOSECONDS[unit]:
            return f"{sign}{_decimal(nanoseconds, _NANOSECONDS[unit])}{unit}"
    minutes, nanoseconds = divmod(nanoseconds, _NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(nanoseconds, _NANOSECONDS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def parse_size(text: str) -> int:
    """Return the bytes a size means, a fraction of a byte cut off.

    >>> parse_size("64MiB"), parse_size("10MB"), parse_size("1k"), parse_size("-1")
    (67108864, 10000000, 1000, -1)

    Raises:
        UsageError: the text is something else, or the number has more than 63 bits.

    """
    stripped = text.strip()
    found = _SIZE.fullmatch(stripped) if len(stripped) <= _MAX_TEXT_LENGTH else None
    power = _POWERS.index(found[2].lower() or " ") if found else 0
    if found is None or (found[3] and not power):
        msg = f"expected a size such as 65536, 64MiB or 10MB, got {text!r}"
        raise UsageError(msg)
    size = int(Fraction(found[1]) * (1024 if found[3] else 1000) ** power)
    if abs(size) > MAX_SIZE:
        msg = f"expected a size below 8 EiB, got {text!r}"
        raise UsageError(msg)
    return size


def _decimal(count: int, unit: int) -> str:
    """Return count / unit in decimal digits, without zeros at the end."""
    whole, rest = divmod(count, unit)
    return f"{whole}.{str(rest).zfill(len(str(unit)) - 1)}".rstrip("0").rstrip(".")
