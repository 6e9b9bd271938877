"""What a report says, whole: one golden file for Markdown, one for the terminal, and the first lines of every state."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbus.report import html, markdown, terminal, words
from tests.cli.report.samples import REBATE, Told, broken_run, failed, passed, rule

if TYPE_CHECKING:
    import pytest

    from testbus_schemas import RuleEvaluated

GOLDEN = Path(__file__).with_name("golden")


def test_markdown() -> None:
    """A comment on a pull request."""
    assert markdown.write(broken_run().report()) == (GOLDEN / "report.md").read_text(encoding="utf-8")


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """`testbus show`."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    shown = click.unstyle(terminal.write(broken_run().report()))
    assert shown == (GOLDEN / "report.txt").read_text(encoding="utf-8")


def test_first_lines() -> None:
    """Each state of a run, as the page, the comment and the terminal begin."""
    told = "\n\n".join(f"=== {kind}\n{_first(run)}" for kind, run in states().items())
    assert f"{told}\n" == (GOLDEN / "states.txt").read_text(encoding="utf-8")


def test_every_form_says_the_same_sentence() -> None:
    """The page, the comment and the terminal differ in markup only."""
    for run in states().values():
        report = run.report()
        sentence = words.sentence(report)
        assert sentence in click.unstyle(terminal.write(report))
        assert sentence.partition(":")[0] in html.write(report)
        assert sentence.partition(":")[0] in markdown.write(report)


def states() -> dict[str, Told]:
    """Return a run in each state."""
    coverage = rule("coverage", "coverage 83.63 %, below 85 %", value=83.6363, threshold=85, unit="%")
    return {
        "running": _run(),
        "complete, and not judged": _run(complete=True),
        "passed": _run(complete=True, verdict="passed"),
        "failed": _run(bad=2, complete=True, verdict="failed"),
        "failed by a rule only": _run(complete=True, verdict="failed", rules=(coverage,)),
        "incomplete": _run(bad=1, reasons=("shard 2 of 2 never reported",), verdict="incomplete"),
        "incomplete for several reasons": _run(
            reasons=("shard 2 of 2 never reported", "producer 0192f0c1 was lost"), verdict="incomplete"
        ),
    }


def _run(
    *,
    bad: int = 0,
    complete: bool = False,
    reasons: tuple[str, ...] = (),
    verdict: str = "",
    rules: tuple[RuleEvaluated, ...] = (),
) -> Told:
    told = Told()
    told.producer("p1")
    told.results("p1", *(passed(f"test_{number}") for number in range(180)))
    told.results("p1", *(failed(f"test_bad_{number}", REBATE) for number in range(bad)))
    if complete or reasons:
        told.finished("p1", collected=180 + bad, reported=180 + bad)
        told.completed(reasons=reasons)
    if verdict:
        told.judged(verdict, *rules, reasons=reasons)
    return told


def _first(run: Told) -> str:
    report = run.report()
    return f"{markdown.write(report).splitlines()[0]}\n{click.unstyle(terminal.write(report)).splitlines()[0]}"
