"""What reached ReportPortal, Jira and Slack: looked at where it arrived, not where it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbus.demo.stage import CHANNEL, LATECOMER, TARGETS
from testbus_consumers.wording.numbers import plural
from testbus_consumers.wording.runs import TONES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus.demo.stage import Stage
    from testbus_sandbox.slack.models import Message


def arrived(stage: Stage, targets: Sequence[str], runs: int) -> bool:
    """Tell whether so many runs are finished in these ReportPortals, with their items and their verdict."""
    return all(
        sum(
            launch.end_time is not None
            and any(attribute.key == "verdict" for attribute in launch.attributes)
            and all(item.end_time is not None for item in launch.items)
            for launch in stage.sandbox.reportportal(name).launches
        )
        >= runs
        for name in targets
    )


def decided(stage: Stage, runs: int) -> bool:
    """Tell whether Slack shows so many verdicts, with the broken run's alerts, and Jira has its issue."""
    judged = tuple(sign for state, (_, sign) in TONES.items() if state in {"passed", "failed"})
    verdicts = sum(message.text.startswith(judged) for message in _runs_told(stage))
    return verdicts >= runs and bool(stage.sandbox.jira.issues) and len(_alerts(stage)) >= _ALERTS


#: Alerts of the broken run: its new failure, its flaky test, its drop of coverage, and the issue.
_ALERTS = 4


def counts(stage: Stage) -> dict[str, str]:
    """Return what each target has, for people."""
    told = {}
    for name in (*TARGETS, LATECOMER):
        totals = stage.sandbox.reportportal(name).totals
        parts = (totals.launches, "launch", "launches"), (totals.finished, "item", ""), (totals.logs, "log", "")
        told[f"reportportal/{name}"] = ", ".join(plural(*part) for part in parts)
    issues = stage.sandbox.jira.issues
    told["jira"] = plural(len(issues), "issue") + (f": {issues[-1].key} {issues[-1].summary}" if issues else "")
    messages = _runs_told(stage)
    where = "its thread" if len(messages) == 1 else "their threads"
    told["slack"] = f"#{CHANNEL}: {plural(len(messages), 'message')}, {len(_alerts(stage))} in {where}"
    return told


def pages(stage: Stage) -> dict[str, str]:
    """Return where the sandbox's pages are."""
    sandbox = stage.sandbox
    portals = {f"reportportal/{one.name}": one.page for one in sandbox.reportportals}
    return portals | {"jira": sandbox.jira.page, "slack": sandbox.slack.page}


def summary(stage: Stage, evaluations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what it all came to."""
    sandbox = stage.sandbox
    portals = {name: sandbox.reportportal(name).totals for name in (*TARGETS, LATECOMER)}
    return {
        "results": sum(evaluation["total"] for evaluation in evaluations),
        "runs": [
            {"id": evaluation["context"]["run"], "verdict": evaluation["verdict"], "reasons": evaluation["reasons"]}
            for evaluation in evaluations
        ],
        "reportportal": {
            name: {"launches": total.launches, "items": total.finished, "logs": total.logs}
            for name, total in portals.items()
        },
        "jira": {"issues": len(sandbox.jira.issues), "comments": len(sandbox.jira.comments)},
        "slack": {
            "messages": len(_runs_told(stage)),
            "updates": len(sandbox.slack.updates),
            "alerts": [message.text for message in _alerts(stage)],
        },
    }


def _runs_told(stage: Stage) -> list[Message]:
    return [message for message in stage.sandbox.slack.messages if message.thread_ts is None]


def _alerts(stage: Stage) -> list[Message]:
    return [message for message in stage.sandbox.slack.messages if message.thread_ts is not None]
