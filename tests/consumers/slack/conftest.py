"""A Slack on loopback for each test, and the consumer in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers.slack import CONSUMER
from testbus_consumers.testing import ConsumerHarness
from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbus_sandbox import SlackServer


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    """Return a running Slack."""
    with Sandbox(reportportals=()) as sandbox:
        yield sandbox.slack


@pytest.fixture
def make_worker(
    slack: SlackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ConsumerHarness]]:
    """Return a function that makes workers: those of one folder share their state."""
    monkeypatch.setenv("SLACK_TOKEN", slack.token)
    made: list[ConsumerHarness] = []

    def make(folder: str = "state", **settings: Any) -> ConsumerHarness:
        given = {
            "token": {"env": "SLACK_TOKEN"},
            "channel": slack.channel("ci").id,
            "base_url": slack.url,
            "timeout_s": 2,
            "seconds_per_message": 0,
        } | settings
        given = {name: value for name, value in given.items() if value is not None}
        worker = ConsumerHarness(CONSUMER, tmp_path / folder, given)
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make_worker: Callable[..., ConsumerHarness]) -> ConsumerHarness:
    """Return one worker."""
    return make_worker()
