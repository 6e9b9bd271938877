"""The play: a green run, a commit that breaks it while a ReportPortal is down, and what follows from both."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus.demo.pipelines import Broker, Embedded, consumers, testbus
from testbus.demo.stage import CHANNEL, LATECOMER, TARGETS, Stage
from testbus.errors import CliError
from testbus_consumers.wording.numbers import plural
from testbus_consumers.wording.runs import TONES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from testbus.demo.pipelines import Pipeline
    from testbus.demo.screen import Screen
    from testbus_sandbox.slack.workspace import Message


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
    verdicts = sum(message.text.startswith(judged) for message in _runs_reported(stage))
    return verdicts >= runs and bool(stage.sandbox.jira.issues) and len(_alerts(stage)) >= _ALERTS


#: Alerts of the broken run: its new failure, its flaky test, its drop of coverage, and the issue.
_ALERTS = 4


def counts(stage: Stage) -> dict[str, str]:
    """Return what each target has, for people."""
    summaries = {}
    for name in (*TARGETS, LATECOMER):
        totals = stage.sandbox.reportportal(name).totals
        parts = (totals.launches, "launch", "launches"), (totals.finished, "item", ""), (totals.logs, "log", "")
        summaries[f"reportportal/{name}"] = ", ".join(plural(*part) for part in parts)
    issues = stage.sandbox.jira.issues
    summaries["jira"] = plural(len(issues), "issue") + (f": {issues[-1].key} {issues[-1].summary}" if issues else "")
    messages = _runs_reported(stage)
    where = "its thread" if len(messages) == 1 else "their threads"
    summaries["slack"] = f"#{CHANNEL}: {plural(len(messages), 'message')}, {len(_alerts(stage))} in {where}"
    return summaries


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
            "messages": len(_runs_reported(stage)),
            "updates": len(sandbox.slack.updates),
            "alerts": [message.text for message in _alerts(stage)],
        },
    }


def _runs_reported(stage: Stage) -> list[Message]:
    return [message for message in stage.sandbox.slack.messages if message.thread_ts is None]


def _alerts(stage: Stage) -> list[Message]:
    return [message for message in stage.sandbox.slack.messages if message.thread_ts is not None]


#: Seconds that one scene may take.
_PATIENCE_S: Final = 90.0

#: Seconds between two looks.
_LOOK_S: Final = 0.2

#: What the runs are to end as.
EXPECTED: Final = ("passed", "failed")


def play(url: str | None, screen: Screen, *, keep: Callable[[], None] | None = None) -> dict[str, Any]:
    """Play the demo, and return what it came to (the object of `--json`).

    `keep` is called before the sandbox goes, when its pages have been named.
    """
    began = time.monotonic()
    with Stage() as stage:
        pipeline: Pipeline = Broker(stage.config, stage.folder, url) if url else Embedded(stage.config, stage.folder)
        screen.open(pipeline.title, consumers(stage.config))
        try:
            pipeline.start()
            evaluations = _scenes(stage, pipeline, screen)
            page = _report(pipeline, evaluations[-1])
        finally:
            pipeline.stop()
        found = summary(stage, evaluations) | {"report": page, "seconds": round(time.monotonic() - began, 1)}
        screen.close(found)
        if keep is not None:
            screen.pages(pages(stage))
            keep()
    return found


def _scenes(stage: Stage, pipeline: Pipeline, screen: Screen) -> list[dict[str, Any]]:
    screen.scene("a green run on main")
    green = _run(stage, pipeline, screen)
    _wait(stage, screen, "everybody has the green run", lambda: arrived(stage, TARGETS, 1))

    screen.scene("a commit breaks it, and ReportPortal b is down")
    stage.break_it()
    away = stage.sandbox.reportportal(TARGETS[1])
    away.faults.refuse()
    broken = _run(stage, pipeline, screen)
    _wait(stage, screen, "all but b have the broken run", lambda: arrived(stage, TARGETS[:1], 2) and decided(stage, 2))

    screen.scene("b returns, and catches up")
    away.faults.clear()
    _wait(stage, screen, "b has the broken run", lambda: arrived(stage, TARGETS, 2))

    screen.scene("a third ReportPortal is added, and filled with the past; replayed events send no notifications")
    stage.configure((*TARGETS, LATECOMER))
    label = f"reportportal/{LATECOMER}"
    pipeline.grow(label)
    replayed = json.loads(testbus(["replay", label, "--json"], pipeline.environment()))
    screen.say("replay", f"{replayed['sent']} events from the past sent to {label}, and to no other")
    _wait(stage, screen, "the new one has both runs", lambda: arrived(stage, (*TARGETS, LATECOMER), 2))
    return [green, broken]


def _run(stage: Stage, pipeline: Pipeline, screen: Screen) -> dict[str, Any]:
    """Run the project's tests, and return the verdict on them."""
    run = stage.new_run()
    with stage.pytest(run, pipeline.url) as tests:
        while tests.poll() is None:
            screen.progress(counts(stage))
            time.sleep(_LOOK_S)
    output = stage.output()
    screen.say("pytest", f"{output.splitlines()[-1]}, exit status {tests.returncode}")
    if tests.returncode not in {0, 1}:
        raise CliError(f"the demo's pytest did not run:\n{output[-2000:]}")
    found: list[dict[str, Any]] = []

    def verdict_is_there() -> bool:
        found.extend(filter(None, [pipeline.evaluation(run)]))
        return bool(found)

    _wait(stage, screen, "the gates have decided", verdict_is_there)
    screen.say("gates", found[0]["verdict"], *(rule["message"] for rule in found[0]["rules"]))
    return found[0]


def _wait(stage: Stage, screen: Screen, what: str, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not happened():
        if time.monotonic() > deadline:
            raise CliError(f"not within {_PATIENCE_S:g} s: {what}; so far: {counts(stage)}")
        screen.progress(counts(stage))
        time.sleep(_LOOK_S)
    screen.progress(counts(stage))


def _report(pipeline: Pipeline, evaluation: dict[str, Any]) -> str:
    """Write the broken run's page where it stays, and return its path."""
    folder = tempfile.mkdtemp(prefix="testbus-report-")
    run = evaluation["context"]["run"]
    testbus(["report", run, "--format", "html", "--out", folder], pipeline.environment())
    return str(next(Path(folder).glob("*.html")))
