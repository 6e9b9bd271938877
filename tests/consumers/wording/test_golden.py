"""The golden texts: one file for each channel, with an example of each kind of message, written before the code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.consumers.wording.kinds import in_jira, in_reportportal, in_slack, of_rules, slack_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = Path(__file__).with_name("golden")


def document(kinds: Mapping[str, str]) -> str:
    """Return texts as a golden file has them."""
    return "\n\n".join(f"=== {kind}\n{text}" for kind, text in kinds.items()) + "\n"


def test_slack() -> None:
    """What Slack is told, in its own markup."""
    told = {kind: "\n".join(slack_lines(notice)) for kind, notice in in_slack().items()}
    assert document(told) == (GOLDEN / "slack.txt").read_text(encoding="utf-8")


def test_jira() -> None:
    """Titles, descriptions and comments, before they take the form of one of Jira's markups."""
    assert document(in_jira()) == (GOLDEN / "jira.txt").read_text(encoding="utf-8")


def test_reportportal() -> None:
    """Descriptions of launches, in ReportPortal's Markdown."""
    assert document(in_reportportal()) == (GOLDEN / "reportportal.txt").read_text(encoding="utf-8")


def test_rules() -> None:
    """What each rule of the gates says of a run."""
    assert document(of_rules()) == (GOLDEN / "rules.txt").read_text(encoding="utf-8")
