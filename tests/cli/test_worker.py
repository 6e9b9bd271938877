"""`testbus worker`: which consumers share a process tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbus.commands.worker import queues_of_workers
from testbus_consumers import registry, settings

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """
broker: {url: {env: URL}}
state: {url: {env: STATE}}
consumers:
  runs: {}
  gates: {}
  regressions: {}
  jira: {url: "http://127.0.0.1:1", user: me, token: {env: TOKEN}, project: SHOP}
  reportportal:
    targets:
      eu: {endpoint: "http://127.0.0.1:1", project: web, api_key: {env: TOKEN}}
      us: {endpoint: "http://127.0.0.1:1", project: web, api_key: {env: TOKEN}}
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    """Give a configuration of every kind of consumer."""
    (tmp_path / "testbus.yaml").write_text(CONFIGURATION, encoding="utf-8")
    for name, value in {"TOKEN": "x", "URL": "amqp://127.0.0.1/", "STATE": "sqlite:///state"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TESTBUS_CONFIG", str(tmp_path / "testbus.yaml"))
    return settings.load()


def test_consumers_that_wait_for_decisions_share_a_worker(configured: settings.Settings) -> None:
    """What streams has its own, for each target; a consumer that is named alone too."""
    every = registry.instances(configured)
    workers = [{name.removeprefix("testbus.queue.") for name in queues} for queues in queues_of_workers(every)]
    assert {"gates", "regressions", "jira"} in workers
    assert sorted(map(sorted, workers)) == [
        ["gates", "jira", "regressions"],
        ["reportportal.eu"],
        ["reportportal.us"],
        ["requests"],
        ["runs"],
    ]
    assert queues_of_workers(registry.find(configured, "gates")) == [("testbus.queue.gates",)]
