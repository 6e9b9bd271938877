"""Line sets as text."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import strategies
from testbus_schemas import MalformedEventError
from testbus_schemas.coverage import format_lines, parse_lines


@given(strategies.lines)
def test_reading_what_was_written_gives_the_lines(lines: frozenset[int]) -> None:
    """The text is the set, in ascending order and with runs of lines joined."""
    text = format_lines(lines)
    assert parse_lines(text) == lines
    assert format_lines(parse_lines(text)) == text


def test_the_form_is_what_the_documentation_says() -> None:
    """Runs with a hyphen, commas between."""
    assert format_lines([12, 1, 2, 3, 4, 5, 8, 10, 11, 8]) == "1-5,8,10-12"
    assert parse_lines("1-5,8,10-12") == {1, 2, 3, 4, 5, 8, 10, 11, 12}
    assert parse_lines("") == frozenset()
    assert format_lines([]) == ""


@pytest.mark.parametrize("text", ["a", "-", "1-", "-1", "5-1", "1--2", "1-2-3", "1,", ",1", "1, 2", "1.5", "٣", "²"])
def test_anything_else_is_refused(text: str) -> None:
    """A text that is not quite a line set says what one looks like."""
    with pytest.raises(MalformedEventError, match="expected the form 1-5,8,10-12"):
        parse_lines(text)


@pytest.mark.parametrize("text", ["1-999999999", "9" * 5000, "2000000", "1-" + "9" * 5000])
def test_a_short_text_cannot_fill_the_memory(text: str) -> None:
    """The bound on lines holds before any set is made."""
    with pytest.raises(MalformedEventError, match="up to 1000000"):
        parse_lines(text)


@given(st.text(max_size=12) | st.text("0123456789-,", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but MalformedEventError."""
    with contextlib.suppress(MalformedEventError):
        assert parse_lines(format_lines(parse_lines(text))) == parse_lines(text)
