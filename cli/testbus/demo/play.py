"""The play: a green run, a commit that breaks it, and what follows from both."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from testbus.demo.pipelines import Broker, Embedded, consumers
from testbus.demo.stage import CHANNEL, TARGETS, Stage
from testbus.errors import CliError

if TYPE_CHECKING:
    from testbus.demo.pipelines import Pipeline
    from testbus.demo.screen import Screen

#: Seconds that one run may take from pytest's start until everybody has it.
_PATIENCE_S: Final = 60.0

#: Seconds between two looks.
_LOOK_S: Final = 0.2

#: What the runs are to end as.
EXPECTED: Final = ("passed", "failed")


def play(url: str | None, screen: Screen) -> dict[str, Any]:
    """Play the demo, and return what it came to (the object of `--json`)."""
    began = time.monotonic()
    with Stage() as stage:
        pipeline: Pipeline = Broker(stage.config, stage.folder, url) if url else Embedded(stage.config, stage.folder)
        screen.open(pipeline.title, consumers(stage.config))
        pipeline.start()
        try:
            green = _run(stage, pipeline, screen, "a green run", 1)
            stage.break_it()
            screen.say("commit", "a new commit changes how discounts are found")
            broken = _run(stage, pipeline, screen, "the broken run", 2)
        finally:
            pipeline.stop()
        summary = _summary(stage, [green, broken])
    summary["seconds"] = round(time.monotonic() - began, 1)
    screen.close(summary)
    return summary


def _run(stage: Stage, pipeline: Pipeline, screen: Screen, name: str, number: int) -> dict[str, Any]:
    run = stage.new_run()
    deadline = time.monotonic() + _PATIENCE_S
    screen.say("pytest", f"{name} starts")
    with stage.pytest(run, pipeline.url) as tests:
        while tests.poll() is None:
            screen.progress(_counts(stage))
            time.sleep(_LOOK_S)
    output = stage.output()
    screen.say("pytest", f"{output.splitlines()[-1]}, exit status {tests.returncode}")
    if tests.returncode not in {0, 1}:
        raise CliError(f"the demo's pytest did not run:\n{output[-2000:]}")
    evaluation = None
    while evaluation is None or not _arrived(stage, number):
        if time.monotonic() > deadline:
            raise CliError(f"not everything arrived within {_PATIENCE_S:g} s; got: {_counts(stage)}")
        if evaluation is None and (evaluation := pipeline.evaluation(run)) is not None:
            screen.say("gates", f"{evaluation['verdict']}", *(rule["message"] for rule in evaluation["rules"]))
        screen.progress(_counts(stage))
        time.sleep(_LOOK_S)
    screen.progress(_counts(stage))
    return evaluation


def _arrived(stage: Stage, number: int) -> bool:
    """Tell whether so many runs are finished in every ReportPortal and have their verdict in Slack."""
    slack = stage.sandbox.slack
    portals = [stage.sandbox.reportportal(name) for name in TARGETS]
    finished = all(
        sum(launch.end_time is not None and "verdict" in _keys(launch) for launch in portal.launches) >= number
        for portal in portals
    )
    decided = sum(any(verdict in message.text for verdict in EXPECTED) for message in slack.messages)
    return finished and decided >= number


def _keys(launch: Any) -> set[str]:
    return {attribute.key for attribute in launch.attributes}


def _counts(stage: Stage) -> dict[str, str]:
    told = {}
    for name in TARGETS:
        totals = stage.sandbox.reportportal(name).totals
        told[f"reportportal/{name}"] = f"{totals.launches} launches, {totals.finished} items, {totals.logs} logs"
    slack = stage.sandbox.slack
    told["slack"] = f"#{CHANNEL}: {len(slack.messages)} messages, {len(slack.updates)} updates"
    return told


def _summary(stage: Stage, evaluations: list[dict[str, Any]]) -> dict[str, Any]:
    totals = {name: stage.sandbox.reportportal(name).totals for name in TARGETS}
    slack = stage.sandbox.slack
    return {
        "results": sum(evaluation["total"] for evaluation in evaluations),
        "runs": [
            {"id": evaluation["context"]["run"], "verdict": evaluation["verdict"], "reasons": evaluation["reasons"]}
            for evaluation in evaluations
        ],
        "reportportal": {
            name: {"launches": total.launches, "items": total.finished, "logs": total.logs}
            for name, total in totals.items()
        },
        "slack": {"messages": len(slack.messages), "updates": len(slack.updates)},
    }
