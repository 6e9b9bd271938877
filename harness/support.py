"""What every test directory shares: waiting on a predicate instead of sleeping."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: For the environment of pytest sessions that tests start: plugins that happen to be installed here for comparison, and
#: that take a second of a processor to import, stay out of them.
LEAN: Final = "-p no:pytest_reportportal -p no:allure_pytest -p no:hypothesispytest"

#: Seconds between two looks at the predicate.
POLL_S = 0.02


def require_localhost() -> None:
    """Skip a test that calls this machine by its name where nothing says what that is, as in an empty root."""
    try:
        socket.getaddrinfo("localhost", 1)
    except socket.gaierror as error:
        pytest.skip(f"this machine does not know localhost ({error.strerror}): it is missing in /etc/hosts")


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
