"""A ReportPortal on loopback for each test, and the consumer in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers.reportportal import CONSUMER
from testbus_consumers.reportportal.tables import METADATA
from testbus_consumers.testing import ConsumerHarness
from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbus_sandbox import ReportPortalServer

#: Makes one more worker of the target, with any of its settings replaced.
MakeWorker = "Callable[..., ConsumerHarness]"


@pytest.fixture
def portal() -> Iterator[ReportPortalServer]:
    """Return a running ReportPortal."""
    with Sandbox(slack=False) as sandbox:
        yield sandbox.reportportal("a")


@pytest.fixture
def make_worker(
    portal: ReportPortalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ConsumerHarness]]:
    """Return a function that makes workers of the target `eu`: all of them share its state."""
    monkeypatch.setenv("RP_KEY", portal.api_key)
    made: list[ConsumerHarness] = []

    def make(folder: str = "state", **settings: Any) -> ConsumerHarness:
        given = {
            "endpoint": portal.url,
            "project": portal.project,
            "api_key": {"env": "RP_KEY"},
            "timeout_s": 2,
        } | settings
        worker = ConsumerHarness(CONSUMER, tmp_path / folder, given, target="eu")
        METADATA.create_all(worker.policy.store.engine)
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make_worker: Callable[..., ConsumerHarness]) -> ConsumerHarness:
    """Return one worker of the target."""
    return make_worker()
