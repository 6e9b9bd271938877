"""The first minute: `testbus demo`, embedded and over RabbitMQ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def check(summary: dict[str, Any]) -> None:
    """Assert what every scene comes to, whichever way it is played."""
    assert set(summary) == {"results", "runs", "reportportal", "jira", "slack", "report", "seconds"}
    green, broken = summary["runs"]
    assert green["verdict"] == "passed"
    assert green["reasons"] == []
    assert broken["verdict"] == "failed"
    assert any(reason.startswith("pass_rate 77.77 %, below 100 %") for reason in broken["reasons"])
    assert any(reason.startswith("coverage 83.63 %, below 85 %") for reason in broken["reasons"])
    assert summary["results"] == 38
    portals = summary["reportportal"]
    # b was away during the broken run, c was filled from the past: both have what a has, and nothing twice.
    assert portals["a"] == portals["b"] == portals["c"]
    assert portals["a"]["launches"] == 2
    # 19 tests twice, one of them repeated: its attempts come together under a suite.
    assert portals["a"]["items"] == 40
    # Four tests of one cause are one issue; the test that passed when it was repeated is none.
    assert summary["jira"] == {"issues": 1, "comments": 0}
    # The past that filled c told nobody anything.
    assert summary["slack"]["messages"] == 2
    alerts = summary["slack"]["alerts"]
    assert len(alerts) == 4
    for told in (
        "4 tests fail since commit",
        "is flaky: it failed and passed",
        "Coverage fell from 93.75 % to 83.63 %",
        "DEMO-1",
    ):
        assert sum(told in alert for alert in alerts) == 1
    page = Path(summary["report"]).read_text(encoding="utf-8")
    assert "test_an_empty_cart_costs_nothing" in page


def test_the_demo_embedded(testbus: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A green and a broken run reach two ReportPortals, the gates and Slack; nothing is set up."""
    done = testbus("demo", "--json")
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout))


def test_the_demo_shows_what_happens(testbus: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The flow first, every step with its second, the table, and how to go on."""
    done = testbus("demo")
    assert done.returncode == 0, done.stderr
    for word in ("pytest ──▶", "reportportal/c", "DEMO-1", "pass_rate 77.77 %", "testbus run -- pytest", ".html"):
        assert word in done.stdout
