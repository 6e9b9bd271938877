"""What holds for every test: no deadline for single examples, because shared machines pause; the long ones first."""

from __future__ import annotations

import os
import signal
from typing import Final

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As shells do for what they start in the background; the sessions that tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("testbus", deadline=None)
settings.load_profile("testbus")


#: Fixtures of tests that start sessions or commands in processes of their own.
PROCESSES: Final = frozenset({"project", "testbus"})


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that start processes, so that `make test-fast` leaves them out."""
    if PROCESSES.intersection(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits most, the tests of real services: at the end there is nothing left to do beside them."""
    items.sort(key=lambda item: "services" not in item.keywords)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Start twice as many test processes as processors (`-n auto`), as most tests wait; or as many (`-n logical`)."""
    processors = os.cpu_count() or 1
    return processors if config.option.numprocesses == "logical" else 2 * processors
