"""What every test directory shares: waiting on a predicate instead of sleeping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: For the environment of pytest sessions that tests start: plugins that happen to be installed here for comparison, and
#: that take a second of a processor to import, stay out of them.
LEAN: Final = "-p no:pytest_reportportal -p no:allure_pytest -p no:hypothesispytest"

#: Seconds between two looks at the predicate.
POLL_S = 0.02


def wait_until(predicate: Callable[[], T], timeout: float, description: str) -> T:
    """Return the predicate's first truthy value; fail with the description after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {description} (last value: {value!r})")
        time.sleep(POLL_S)
