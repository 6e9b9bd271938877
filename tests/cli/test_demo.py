"""The first minute: `testbus demo`, embedded and over RabbitMQ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def check(summary: dict[str, Any]) -> None:
    """Assert what every way of playing the demo comes to."""
    assert set(summary) == {"results", "runs", "reportportal", "slack", "seconds"}
    green, broken = summary["runs"]
    assert green["verdict"] == "passed"
    assert green["reasons"] == []
    assert broken["verdict"] == "failed"
    assert any(reason.startswith("pass_rate") for reason in broken["reasons"])
    assert any(reason.startswith("coverage") for reason in broken["reasons"])
    assert summary["results"] == 36
    for portal in ("a", "b"):
        assert summary["reportportal"][portal]["launches"] == 2
        assert summary["reportportal"][portal]["items"] == 36
        assert summary["reportportal"][portal]["logs"] >= 4
    assert summary["slack"]["messages"] == 2
    # One each, unless the verdict was there before the message that the run is running.
    assert 0 <= summary["slack"]["updates"] <= 2


def test_the_demo_embedded(testbus: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A green and a broken run reach two ReportPortals, the gates and Slack; nothing is set up."""
    done = testbus("demo", "--json")
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout))


def test_the_demo_shows_what_happens(testbus: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The flow first, every step with its second, the table, and how to go on."""
    done = testbus("demo")
    assert done.returncode == 0, done.stderr
    for word in ("pytest ──▶", "reportportal/a", "passed", "failed", "pass_rate", "coverage", "testbus run -- pytest"):
        assert word in done.stdout
