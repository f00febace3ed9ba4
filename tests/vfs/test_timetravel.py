"""Values of `litestream_time`. Method: examples, and SQLite's own date functions as the oracle.

Bugs once planted and caught here: days added as months; the fraction of a month lost; a shift whose sign reaches the
days only; February 31 refused.
"""

import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import apsw
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from replication.errors import UsageError
from vfs.timetravel import parse_instant

# dateparser leaves out years where it tries formats, which newer Pythons warn of.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NOW = datetime(2026, 3, 31, 12, 34, 56, 789000, tzinfo=UTC)  # a Tuesday

instants = st.datetimes(datetime(1000, 1, 1), datetime(3000, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda instant: instant.replace(microsecond=instant.microsecond // 1000 * 1000)
)


@pytest.fixture(scope="module")
def sqlite() -> apsw.Connection:
    return apsw.Connection(":memory:")


def ask(sqlite: apsw.Connection, *arguments: str | float) -> datetime | None:
    """What SQLite makes of a time value and modifiers; None if it understands nothing, or not a year Python knows."""
    marks = ", ".join("?" * len(arguments))
    told = sqlite.execute(f"SELECT strftime('%Y-%m-%dT%H:%M:%f', {marks})", arguments).get
    return datetime.fromisoformat(told).replace(tzinfo=UTC) if told and told[:4] >= "0001" else None


def ours(text: str, now: datetime = NOW) -> datetime:
    instant = parse_instant(text, now)
    assert instant is not None
    assert instant.tzinfo is UTC
    return instant


@pytest.mark.parametrize("text", ["latest", "LATEST", " latest "])
def test_latest_is_no_instant(text: str) -> None:
    assert parse_instant(text, NOW) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02t03:04:05.678z", "2026-01-02T03:04:05.678+00:00"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05.123456", "2026-01-02T03:04:05.123456+00:00"),
        ("2026-01-02T03:04:05.123456001Z", "2026-01-02T03:04:05.123457+00:00"),
        ("2026-01-02T03:04:05+05:30", "2026-01-01T21:34:05+00:00"),
        ("2026-01-02T03:04:05-23:00", "2026-01-03T02:04:05+00:00"),
        ("-5m", "2026-03-31T12:29:56.789+00:00"),
        ("-1h30m", "2026-03-31T11:04:56.789+00:00"),
        ("1.5h", "2026-03-31T14:04:56.789+00:00"),
        ("0", "2026-03-31T12:34:56.789+00:00"),
        ("now", "2026-03-31T12:34:56.789+00:00"),
        ("-5 minutes", "2026-03-31T12:29:56.789+00:00"),
        ("-2 days", "2026-03-29T12:34:56.789+00:00"),
        ("-1 month", "2026-03-03T12:34:56.789+00:00"),
        ("+1 MONTHS", "2026-05-01T12:34:56.789+00:00"),
        ("-00:05", "2026-03-31T12:29:56.789+00:00"),
        ("-0001-02-03 04:05", "2025-01-28T08:29:56.789+00:00"),
        ("start of day", "2026-03-31T00:00:00+00:00"),
        ("Start of Month", "2026-03-01T00:00:00+00:00"),
        ("start of year", "2026-01-01T00:00:00+00:00"),
        ("2026-02-31", "2026-03-03T00:00:00+00:00"),
        ("2026-02-28 24:00", "2026-03-01T00:00:00+00:00"),
        ("12:34", "2000-01-01T12:34:00+00:00"),
        ("2461000.5", "2025-11-21T00:00:00+00:00"),
        ("1767225600", "2026-01-01T00:00:00+00:00"),
        ("1767225600.25", "2026-01-01T00:00:00.250+00:00"),
        ("1767225600123", "2026-01-01T00:00:00.123+00:00"),
        ("1767225600123456", "2026-01-01T00:00:00.123456+00:00"),
        ("1767225600123456789", "2026-01-01T00:00:00.123457+00:00"),
        ("5373484.5", "1970-03-04T04:38:04.500+00:00"),
        ("-1", "1969-12-31T23:59:59+00:00"),
    ],
)
def test_each_form_means_its_instant(text: str, expected: str) -> None:
    assert ours(text) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 minutes ago", "2026-03-31T12:29:56.789+00:00"),
        ("yesterday", "2026-03-30T12:34:56.789+00:00"),
        ("in 5 minutes", "2026-03-31T12:39:56.789+00:00"),
        ("monday", "2026-03-30T00:00:00+00:00"),
        ("15 Jan 2026 10:00", "2026-01-15T10:00:00+00:00"),
        ("15 Jan 2026 10:00 +02:00", "2026-01-15T08:00:00+00:00"),
    ],
)
def test_words_are_understood_in_utc_and_relative_to_now(text: str, expected: str) -> None:
    pytest.importorskip("dateparser")
    assert ours(text) == datetime.fromisoformat(expected)


def test_words_without_their_package_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dateparser", None)
    with pytest.raises(UsageError, match=r"pip install apsw-litestream\[words\].*-5m"):
        parse_instant("5 minutes ago", NOW)
    assert ours("-5 minutes") < NOW, "what needs no words needs no package"


@pytest.mark.parametrize(
    "text", ["", "?", "12", "5", "01/02/2026", "--5m", "2026-1-2", "1e999", "5" * 101, "\u0665", "2026"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected an instant"):
        parse_instant(text, NOW)


def test_a_refusal_shows_values_that_work_and_the_value_that_does_not() -> None:
    with pytest.raises(UsageError) as caught:
        parse_instant("01/02/2026", NOW)
    for example in ("latest", "2026-01-31T12:00:00Z", "-5m", "-2 days", "5 minutes ago", "'01/02/2026'"):
        assert example in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("2026-13-01", "month from 1 to 12"),
        ("2026-01-32T00:00:00Z", "day from 1 to 31"),
        ("2026-01-01 25:00", "hour from 0 to 24"),
        ("12:60", "minute from 0 to 59"),
        ("12:00:60", "second from 0 to 59"),
        ("2026-01-01T00:00:00+24:00", "zone hour from 0 to 23"),
        ("-24:00", "hour from 0 to 23"),
        ("-0000-12-00", "month from 0 to 11"),
    ],
)
def test_a_part_out_of_its_range_is_named_and_never_guessed(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        parse_instant(text, NOW)


@pytest.mark.parametrize(
    "text", ["+9000 years", "-2100 years", "0000-01-01", "-9e99 days", "9e99", "1e15 s", "5000000"]
)
def test_an_instant_python_cannot_say_is_refused(text: str) -> None:
    with suppress(UsageError):
        assert ours(text).year <= 9999


def test_now_in_another_zone_changes_nothing() -> None:
    assert ours("start of day", NOW.astimezone(timezone(timedelta(hours=14)))) == ours("start of day")


@given(
    instants,
    st.decimals(-20_000, 20_000, places=3).map(str) | st.integers(-2000, 2000).map("{:+}".format),
    st.sampled_from(["second", "minutes", "HOURS", "day", "days", "month", "months", "year", "years"]),
)
def test_counts_of_units_are_applied_as_sqlite_applies_them(
    sqlite: apsw.Connection, now: datetime, count: str, unit: str
) -> None:
    expected = ask(sqlite, now.replace(tzinfo=None).isoformat(), f"{count} {unit}")
    assume(expected is not None)
    assert ours(f"{count} {unit}", now) == expected


clocks = st.builds(
    lambda hour, minute, second, ms, form: (
        f"{hour:02}:{minute:02}" + f":{second:02}" * (form > 0) + f".{ms:03}" * (form > 1)
    ),
    *(st.integers(0, 26), st.integers(0, 61), st.integers(0, 61), st.integers(0, 999), st.integers(0, 2)),
)
dates_apart = st.builds("{:04}-{:02}-{:02}".format, st.integers(0, 900), st.integers(0, 13), st.integers(0, 32))
shifts = clocks | dates_apart | st.builds("{} {}".format, dates_apart, clocks)


@given(instants, st.sampled_from("+-"), shifts)
def test_shifts_are_applied_as_sqlite_applies_them(
    sqlite: apsw.Connection, now: datetime, sign: str, shift: str
) -> None:
    expected = ask(sqlite, now.replace(tzinfo=None).isoformat(), sign + shift)
    if expected is None or shift.startswith("24:") or " 24:" in shift:
        with pytest.raises(UsageError):
            parse_instant(sign + shift, now)
    else:
        assert ours(sign + shift, now) == expected


@given(instants, st.sampled_from(["start of day", "start of month", "start of year", "START OF DAY"]))
def test_starts_are_those_of_sqlite(sqlite: apsw.Connection, now: datetime, modifier: str) -> None:
    assert ours(modifier, now) == ask(sqlite, now.replace(tzinfo=None).isoformat(), modifier)


zones = st.sampled_from(["", "Z", " Z", "+02:00", "-14:59", " +00:30"])
dates = st.builds("{:04}-{:02}-{:02}".format, st.integers(1, 9998), st.integers(1, 13), st.integers(1, 32))
times = st.builds("{}{}".format, clocks, zones)


@given(dates | times | st.builds("{}{}{}".format, dates, st.sampled_from([" ", "T", "  "]), times))
def test_time_values_are_read_as_sqlite_reads_them(sqlite: apsw.Connection, text: str) -> None:
    expected = ask(sqlite, text)
    if expected is None:
        with pytest.raises(UsageError):
            parse_instant(text, NOW)
    else:
        assert ours(text) == expected


@given(st.floats(1721425.5, 5373484.49) | st.integers(5373485, 253402300799))
def test_numbers_are_julian_days_or_unix_seconds_as_sqlite_takes_them(sqlite: apsw.Connection, number: float) -> None:
    expected = ask(sqlite, number, "auto")
    assert expected is not None
    assert abs(ours(repr(number)) - expected) <= timedelta(milliseconds=1)


@given(
    st.text(max_size=30)
    | st.text("0123456789-+:. TZ", max_size=40)
    | st.text("0123456789-+: agodyshminute", max_size=20)
)
def test_any_text_is_understood_or_refused(text: str) -> None:
    with suppress(UsageError):
        instant = parse_instant(text, NOW)
        assert instant is None or instant.tzinfo is UTC
