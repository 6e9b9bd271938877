"""A target that wants to be asked slowly."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from harness.runs_of import START, passed, recorded
from testbus_consumers.errors import SettingsError
from testbus_consumers.reportportal.settings import ReportPortalTarget
from testbus_consumers.runtime.delivery import Acknowledge, Delay
from testbus_consumers.settings import parse
from testbus_consumers.testing import run_context
from tests.consumers.reportportal.test_settings import LEAST

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer


def test_requests_keep_to_the_rate(make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer) -> None:
    """However many may be in flight: twenty-two requests at twenty a second take a second and more."""
    worker = make_worker(rate_per_s=20)
    event = recorded(run_context(started_at=START), *(passed(f"test_{n}") for n in range(10)))
    began = time.monotonic()
    assert worker.deliver(event) == Acknowledge(note="10 items")
    assert portal.requests.total == 22
    assert time.monotonic() - began >= 21 / 20


def test_where_too_many_wait_already_an_event_is_put_off(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Uncounted, and before anything was asked; so those that have begun come to their end."""
    worker = make_worker(rate_per_s=5)
    worker.policy.limits.take("reportportal.eu", every_s=20)
    settlement = worker.deliver(recorded(run_context(started_at=START), passed("test_a")))
    assert isinstance(settlement, Delay)
    assert (settlement.attempt, settlement.seconds) == (0, 30)
    assert "the next turn is in 20 s" in settlement.reason
    assert portal.requests.total == 0


def test_a_rate_that_would_never_end_is_refused() -> None:
    """A full event has to be reported before its worker counts as stuck."""
    with pytest.raises(SettingsError, match="rate_per_s: must be at least 5"):
        parse(ReportPortalTarget, LEAST | {"rate_per_s": 1}, "eu")
