"""What every test directory shares: waiting on a predicate instead of sleeping."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

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
