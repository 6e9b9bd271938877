"""Which runs a filter lets through: the same keys, by the same rules, in every section that has them."""

from __future__ import annotations

from typing import Any

import pytest

from testbus_consumers import registry
from testbus_consumers.errors import SettingsError
from testbus_consumers.filters import RunFilter
from testbus_consumers.gates.rules import PassRate
from testbus_consumers.jira.settings import JiraSettings
from testbus_consumers.reportportal.settings import ReportPortalTarget
from testbus_consumers.settings import Settings, parse
from testbus_consumers.slack.settings import Route, SlackSettings
from testbus_consumers.testing import run_context

CONTEXT = {"project": "web-shop", "suite": "unit", "branch": "release/1", "stage": None}


@pytest.mark.parametrize(
    ("filters", "named"),
    [
        ({}, []),
        ({"projects": ["web-*"], "suites": ["e2e", "unit"], "branches": ["release/*"]}, []),
        ({"projects": ["shop", "web"]}, ["web-shop"]),
        ({"suites": ["e2e-*"]}, ["suite unit"]),
        ({"branches": ["main"], "suites": ["e2e"]}, ["suite unit", "branch release/1"]),
        ({"stages": ["nightly"]}, ["a run without a stage"]),
        # What says "any" is no limit for a run that names none.
        ({"stages": ["*"]}, []),
    ],
)
def test_a_run_has_to_fit_every_key_that_is_set(filters: dict[str, list[str]], named: list[str]) -> None:
    """Each is a list of globs; what does not fit is named for people."""
    found = parse(RunFilter, filters, "the filter").mismatches(run_context(**CONTEXT))
    assert [one.named for one in found] == named


def test_a_filter_that_lets_nothing_through_is_a_mistake() -> None:
    """An empty list is refused: leave the key out."""
    with pytest.raises(SettingsError, match="projects"):
        parse(RunFilter, {"projects": []}, "the filter")


SECTIONS: dict[type[RunFilter], dict[str, Any]] = {
    PassRate: {"rule": "pass_rate"},
    Route: {"channel": "C0123456789"},
    SlackSettings: {"token": {"env": "T"}, "channel": "C0123456789"},
    JiraSettings: {"url": "https://jira.example", "token": {"env": "T"}, "user": "a@b.c", "project": "WEB"},
    ReportPortalTarget: {"endpoint": "https://rp.example", "project": "p", "api_key": {"env": "K"}},
}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
@pytest.mark.parametrize(("key", "glob"), [("projects", "x"), ("suites", "x"), ("branches", "x"), ("stages", "x")])
def test_every_section_that_is_about_some_runs_has_all_keys(section: type[RunFilter], key: str, glob: str) -> None:
    """A gate's rule, a route, Slack, Jira, and a target of ReportPortal."""
    made = parse(section, SECTIONS[section] | {"branches": ["*"], key: [glob]}, "the section")
    assert [one.key for one in made.mismatches(run_context(**CONTEXT))] == [key]


def test_the_base_branches_are_those_of_the_whole_configuration() -> None:
    """Of `runs` and `regressions`, unless one says others for itself."""
    sections = {"runs": {}, "regressions": {"base_branches": ["trunk"]}}
    running = registry.instances(parse(Settings, {"base_branches": ["release/*"], "consumers": sections}, "the file"))
    found = {one.label: one.settings.base_branches for one in running if hasattr(one.settings, "base_branches")}
    assert found == {"runs": ("release/*",), "regressions": ("trunk",)}
    whole = registry.instances(parse(Settings, {"base_branches": ["x"], "consumers": {"regressions": {}}}, "the file"))
    assert {one.settings.base_branches for one in whole if hasattr(one.settings, "base_branches")} == {("x",)}
