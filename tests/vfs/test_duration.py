"""Durations and sizes. Method: examples, round trips, and any text parses or is refused with a UsageError.

Bugs once planted and caught here: the sign lost; `Ki` read as 1000.
"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import UsageError
from vfs.duration import MAX_NANOSECONDS, MAX_SIZE, format_duration, parse_duration, parse_go_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("-5m", -300.0),
        ("-1h30m", -5400.0),
        ("+.5s", 0.5),
        ("1.s", 1.0),
        ("7us", 7e-6),
        ("7µs", 7e-6),
        ("7\u03bcs", 7e-6),
        ("3ns", 3e-9),
        ("1m1m", 120.0),
        ("2.5", 2.5),
        (" 10 ", 10.0),
        ("-1", -1.0),
        ("0", 0.0),
    ],
)
def test_a_duration_is_written_as_in_go_or_in_plain_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", ".", "s", "1", "1x", "1 m", "1m 30s", "--1s", "1m-30s", "1e3s", "٣s", "1d", "1S"])
def test_go_knows_no_other_durations(text: str) -> None:
    assert parse_go_duration(text) is None


@pytest.mark.parametrize(
    "text", ["", "soon", "1d", "1 m", "1e3", "inf", "nan", "300 years", "3000000h", "1" * 200, "9" * 12]
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="100ms, 1m30s") as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (90, "1m30s"),
        (3600, "1h0m0s"),
        (3661.5, "1h1m1.5s"),
        (0.1, "100ms"),
        (0.0015, "1.5ms"),
        (1e-6, "1µs"),
        (1e-9, "1ns"),
        (-300, "-5m0s"),
        (120, "2m0s"),
        (10, "10s"),
    ],
)
def test_a_duration_is_printed_as_go_prints_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(-MAX_NANOSECONDS, MAX_NANOSECONDS))
def test_a_printed_duration_is_read_back(nanoseconds: int) -> None:
    seconds = nanoseconds / 1_000_000_000
    with suppress(UsageError):  # the float nearest to the longest duration is longer still
        assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9, rel=1e-15)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e10, -1e10])
def test_what_go_cannot_say_is_not_printed(seconds: float) -> None:
    with pytest.raises(UsageError, match="292 years"):
        format_duration(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("65536", 65536),
        ("0", 0),
        ("-1", -1),
        ("64MiB", 64 * 2**20),
        ("64 mib", 64 * 2**20),
        ("10MB", 10_000_000),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5GiB", 3 * 2**29),
        ("12B", 12),
        ("7EiB", 7 * 2**60),
        (" 5 ", 5),
    ],
)
def test_a_size_takes_decimal_and_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1iB", "1i", "1XB", "1 M B", "0x10", "1e3", "8EiB", "9" * 30, "1" * 5000])
def test_any_other_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)


@given(st.text(max_size=30) | st.text("0123456789.-+ nuµmshkKMGTPEiB", max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UsageError):
        assert abs(parse_duration(text)) <= MAX_NANOSECONDS / 1_000_000_000
    with suppress(UsageError):
        assert abs(parse_size(text)) <= MAX_SIZE
