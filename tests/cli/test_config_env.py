"""Goal: variables are expanded as Go's os.Expand does, in any text. Method: texts, and properties of all texts."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litestream.config_env import expand_env
from replication.errors import UsageError

ENVIRON = {"A": "one", "LONG_NAME2": "two", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$A", "one"),
        ("${A}b", "oneb"),
        ("$LONG_NAME2-", "two-"),
        ("$Ab", ""),
        ("x$EMPTY${EMPTY}y", "xy"),
        ("5 $ and $% and $", "5 $ and $% and $"),
        ("$$A", "A"),  # $ is a name by itself
        ("$5A", "A"),
    ],
)
def test_a_text_is_expanded(text: str, expanded: str) -> None:
    assert expand_env(text, ENVIRON).text == expanded


@pytest.mark.parametrize("text", ["$PID", "${PID}"])
def test_the_process_has_a_name(text: str) -> None:
    assert expand_env(text, ENVIRON).text == str(os.getpid())


def test_lines_with_a_variable_that_is_not_set_are_told_once() -> None:
    assert expand_env("$A\n$B $C\n$EMPTY\n$D", ENVIRON).unset_lines == (2, 4)


@pytest.mark.parametrize("text", ["${}", "${", "${A", "${A:-b}", "${A B}", "${A\n}"])
def test_braces_hold_a_name_and_nothing_else(text: str) -> None:
    with pytest.raises(UsageError, match=r"line 2: expected the name of a variable as \$\{NAME\}"):
        expand_env("\n" + text, ENVIRON)


@given(st.text(st.characters(exclude_characters="$")))
def test_a_text_without_a_dollar_stays_as_it_is(text: str) -> None:
    assert expand_env(text, ENVIRON).text == text


@given(st.text("${}A5_ \n"))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        expanded = expand_env(text, ENVIRON)
    except UsageError:
        return
    assert len(expanded.unset_lines) <= text.count("\n") + 1
