"""Numbers are cut, never rounded, and look alike wherever they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbus_consumers.wording import numbers


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (100 * 29_999 / 30_000, "99.99 %"),
        (100 * 46 / 55, "83.63 %"),
        (100 * 45 / 48, "93.75 %"),
        (99.999999999, "99.99 %"),
        (4.35, "4.35 %"),
        (77.7, "77.7 %"),
        (100.0, "100 %"),
        (0.003, "0 %"),
        (-0.004, "0 %"),
        (1e17, "100,000,000,000,000,000 %"),
    ],
)
def test_a_percentage_never_looks_better_than_it_is(value: float, shown: str) -> None:
    """Two decimals, cut, and no zeros at the end."""
    assert numbers.percent(value) == shown


@pytest.mark.parametrize(
    ("value", "wanted", "shown"),
    [
        (99.9966, 100, "99.99 %"),
        (89.999, 90, "89.99 %"),
        (80.0004, 80, "80.0004 %"),
        (84.99, 84.999, "84.99 %"),
        (84.9985, 84.999, "84.99 %"),
        (100, 100, "100 %"),
        (400.001, 400, "400.001 %"),
    ],
)
def test_a_value_that_missed_its_limit_does_not_look_like_it(value: float, wanted: float, shown: str) -> None:
    """Whether it is a lower or an upper one: as many decimals as it takes to tell them apart."""
    assert numbers.against(value, wanted, "%") == shown


@given(st.integers(1, 10**7), st.data(), st.sampled_from([50.0, 85.0, 99.5, 99.99, 100.0]))
def test_no_share_that_missed_a_limit_is_written_as_one_that_kept_it(
    whole: int, data: st.DataObject, wanted: float
) -> None:
    """For any number of tests: what is shown is below the limit exactly when the share is."""
    part = data.draw(st.integers(0, whole))
    share = 100.0 * part / whole
    shown = float(numbers.against(share, wanted).replace(",", ""))
    assert (shown < wanted) == (share < wanted)
    assert shown <= share
    assert (numbers.kept(share, wanted) < wanted) == (share < wanted)


def test_a_difference_is_that_of_the_numbers_beside_it() -> None:
    """Whoever subtracts what is shown gets what is shown."""
    assert numbers.change(100 * 46 / 55, 93.75) == -10.12
    assert numbers.change(80.0, 80.0) == 0


@pytest.mark.parametrize(
    ("count", "noun", "plural", "shown"),
    [
        (0, "test", "", "0 tests"),
        (1, "test", "", "1 test"),
        (1376, "test", "", "1,376 tests"),
        (2, "launch", "launches", "2 launches"),
    ],
)
def test_things_are_counted(count: int, noun: str, plural: str, shown: str) -> None:
    """Thousands apart, the noun as its number wants it."""
    assert numbers.plural(count, noun, plural) == shown
    assert numbers.number(1376, "tests") == "1,376 tests"
    assert numbers.number(1, "tests") == "1 test"


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (None, ""),
        (0.0, "< 1 ms"),
        (0.0009, "< 1 ms"),
        (0.9999, "999 ms"),
        (59.99, "59.9 s"),
        (60, "1 min 0 s"),
        (119.9, "1 min 59 s"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (86400 * 42, "1,008 h 00 min"),
    ],
)
def test_lengths_of_time_are_cut_too(length: float | None, shown: str) -> None:
    """Nothing took a minute that took less."""
    assert numbers.seconds(length) == shown
