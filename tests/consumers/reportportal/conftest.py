"""A ReportPortal on loopback for each test, and the consumer in front of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers.reportportal import CONSUMER
from testbus_consumers.reportportal import check as checking
from testbus_consumers.settings import parse
from testbus_consumers.testing import ConsumerHarness
from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbus_sandbox import ReportPortalServer
    from tests.consumers.reportportal.looking import Look

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
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make_worker: Callable[..., ConsumerHarness]) -> ConsumerHarness:
    """Return one worker of the target."""
    return make_worker()


@pytest.fixture
def look(portal: ReportPortalServer, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Return what `testbus check` does with one target."""
    monkeypatch.setenv("RP_KEY", portal.api_key)

    def check(**settings: Any) -> dict[str, tuple[str, str]]:
        given = {"endpoint": portal.url, "project": portal.project, "api_key": {"env": "RP_KEY"}, "timeout_s": 2}
        with contextlib.closing(CONSUMER.connect(parse(CONSUMER.settings, given | settings, "eu"))) as client:
            return {one.what: (one.level.value, one.detail) for one in checking.findings(client)}

    return check
