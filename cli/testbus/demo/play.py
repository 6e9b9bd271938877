"""The play: a green run, a commit that breaks it while a ReportPortal is away, and what follows from both."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus.demo.audience import arrived, counts, decided, pages, summary
from testbus.demo.pipelines import Broker, Embedded, consumers, testbus
from testbus.demo.stage import LATECOMER, TARGETS, Stage
from testbus.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus.demo.pipelines import Pipeline
    from testbus.demo.screen import Screen

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

    screen.scene("a commit breaks it, and ReportPortal b is away")
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
