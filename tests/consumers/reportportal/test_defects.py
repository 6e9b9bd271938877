"""Rules that give failures a type of defect: the first that holds, and never at the cost of a result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from harness.looks import only, send
from harness.runs_of import START, failed, passed, recorded
from testbus_consumers.errors import SettingsError
from testbus_consumers.reportportal import defect_rules
from testbus_consumers.reportportal.settings import ReportPortalTarget
from testbus_consumers.runtime.delivery import Acknowledge
from testbus_consumers.settings import parse
from testbus_consumers.testing import run_context
from testbus_schemas import Failure, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer

#: A connection that broke in a fixture, because a name was not found.
BROKEN = Failure(
    phase="setup",
    type="requests.exceptions.ConnectionError",
    message="cannot reach db:5432\nmore",
    chain=({"type": "socket.gaierror"},),
)

#: A test with that failure and one after it.
RESULT = failed(
    "tests/db/test_a.py::test_a",
    outcome="error",
    failures=(BROKEN, Failure(phase="teardown", type="KeyError", message="x")),
    markers=[{"name": "network"}],
)


def issue(portal: ReportPortalServer, name: str = RESULT.node_id) -> tuple[str, str | None] | None:
    """Return type and comment of an item's defect."""
    found = only(portal).named(name).issue
    return (found.issue_type, found.comment) if found else None


@pytest.mark.parametrize(
    "conditions",
    [
        {"types": ["*ConnectionError"]},
        {"types": ["ConnectionError"]},
        {"types": ["socket.gaierror"]},
        {"message": r"reach \w+:\d"},
        {"phases": ["setup"], "types": ["requests.*"]},
        {"outcomes": ["timeout", "error"]},
        {"fingerprints": [fingerprint(BROKEN)]},
        {"paths": ["tests/**/test_*.py"]},
        {"markers": ["net*"]},
    ],
)
def test_each_condition_finds_its_failures(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer, conditions: dict[str, Any]
) -> None:
    """By exception, cause, message, phase, outcome, fingerprint, file and marker."""
    worker = make_worker(defects=[{**conditions, "defect": "system_issue", "comment": "no network"}])
    worker.deliver(recorded(run_context(started_at=START), RESULT, failed("other.py::test_b")))
    assert issue(portal) == ("si001", "no network")
    assert issue(portal, "other.py::test_b") == ("ti001", None)


@pytest.mark.parametrize(
    "conditions",
    [
        {"types": ["Connection"]},
        {"message": "^reach"},
        {"phases": ["setup"], "types": ["KeyError"]},
        {"outcomes": ["failed"]},
        {"paths": ["tests/*.py"]},
        {"markers": ["network"], "phases": ["call"]},
    ],
)
def test_all_conditions_have_to_hold_for_one_failure(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer, conditions: dict[str, Any]
) -> None:
    """A phase of one failure and an exception of another are no match."""
    make_worker(defects=[{**conditions, "defect": "system_issue"}]).deliver(
        recorded(run_context(started_at=START), RESULT)
    )
    assert issue(portal) == ("ti001", None)


def test_the_first_rule_that_holds_is_taken(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Its number is the comment, if it has none; what passed has no defect, whatever a rule says."""
    rules = [
        {"types": ["TypeError"], "defect": "product_bug"},
        {"outcomes": ["error", "skipped", "passed"], "defect": "automation_bug"},
        {"phases": ["setup"], "defect": "no_defect"},
    ]
    results = [RESULT, passed("test_ok"), passed("test_skipped", outcome="skipped")]
    make_worker(defects=rules).deliver(recorded(run_context(started_at=START), *results))
    assert issue(portal) == ("ab001", "testbus, rule 2 of defects")
    assert issue(portal, "test_ok") is None
    assert issue(portal, "test_skipped") == ("ab001", "testbus, rule 2 of defects")


def test_a_rule_can_say_that_there_is_no_defect(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """As for a skipped test that nobody has to look at."""
    rules = [{"markers": ["quarantine"], "defect": "not_issue"}]
    result = failed("test_a", markers=[{"name": "quarantine"}])
    make_worker(defects=rules).deliver(recorded(run_context(started_at=START), result))
    assert (only(portal).named("test_a").status, issue(portal, "test_a")) == ("FAILED", None)


def made(portal: ReportPortalServer, short: str = "NET") -> dict[str, Any]:
    """Make a type of the project's own."""
    body = {"typeRef": "SYSTEM_ISSUE", "longName": "Network trouble", "shortName": short, "color": "#00ff00"}
    return send(portal, "POST", "settings/sub-type", body)


@pytest.mark.parametrize("name", ["NET", "net", "Network trouble", None])
def test_types_of_the_projects_own_are_found_by_any_name(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer, name: str | None
) -> None:
    """Locator, short name or long name; the project is asked once."""
    locator = made(portal)["locator"]
    worker = make_worker(defects=[{"phases": ["setup"], "defect": name or locator}])
    context = run_context(started_at=START)
    worker.deliver(recorded(context, RESULT), recorded(context, failed("test_b", failures=(BROKEN,)), sequence=3))
    assert [(issue(portal, one) or ("",))[0] for one in (RESULT.node_id, "test_b")] == [locator, locator]
    assert portal.requests.by_route["GET /api/v1/{project}/settings"] == 1


def test_an_unknown_type_loses_no_result(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """The item is To Investigate and says which types there are."""
    worker = make_worker(defects=[{"phases": ["setup"], "defect": "ENV"}])
    assert worker.deliver(recorded(run_context(started_at=START), RESULT)) == Acknowledge(note="1 items")
    locator, comment = issue(portal) or ("", "")
    assert locator == "ti001"
    assert re.search(r"'ENV', which this project does not have; it has: .*system_issue.*\bsi\b", comment or "")


def test_a_type_that_is_removed_meanwhile_loses_no_result(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """The worker still knows it: refused, it is To Investigate, and the project is asked again."""
    number = made(portal)["id"]
    worker = make_worker(defects=[{"phases": ["setup"], "defect": "NET"}])
    context = run_context(started_at=START)
    worker.deliver(recorded(context, RESULT))
    send(portal, "DELETE", f"settings/sub-type/{number}", {})
    assert issue(portal) == ("si001", "testbus, rule 1 of defects")
    late = failed("test_b", failures=(BROKEN,))
    assert worker.deliver(recorded(context, late, sequence=3)) == Acknowledge(note="1 items")
    locator, comment = issue(portal, "test_b") or ("", "")
    assert (locator, "was refused" in (comment or "")) == ("ti001", True)
    assert (only(portal).named("test_b").status, len(only(portal).named("test_b").logs)) == ("FAILED", 1)
    made(portal)
    worker.deliver(recorded(context, failed("test_c", failures=(BROKEN,)), sequence=4))
    assert (issue(portal, "test_c") or ("",))[0].startswith("si_")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"defect": "system_issue"}, "defects.0: give at least one condition"),
        ({"types": ["X"]}, "defects.0.defect: is missing"),
        ({"defect": "x", "message": "("}, "defects.0.message: no regular expression"),
        ({"defect": "x", "message": "(a+)+b"}, r"defects.0.message: \+ repeats a group"),
        ({"defect": "x", "message": "a*b*c*d*"}, "defects.0.message: 4 quantifiers, at most 3"),
        ({"defect": "x", "message": r"(a)\1"}, "defects.0.message: .* refers back"),
        ({"defect": "x", "message": "a" * 301}, "defects.0.message: longer than 300"),
        ({"defect": "x", "outcomes": ["broken"]}, "defects.0.outcomes: no such outcome; known ones: passed"),
        ({"defect": "x", "typs": ["X"]}, "defects.0.typs: unknown key; allowed here: .*types"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, Any], said: str) -> None:
    """With its number, and what is allowed there."""
    least = {"endpoint": "https://rp.example.com", "project": "p", "api_key": {"env": "RP_KEY"}}
    with pytest.raises(SettingsError, match=said):
        parse(ReportPortalTarget, least | {"defects": [rule]}, "eu")


@pytest.mark.parametrize(
    "pattern", ["[(]+x", r"\(+x", "a{2}b?", "(?:no|nothing) (?P<what>left|there)?", "(?i)TIMED OUT", "[]*]+", "x*?"]
)
def test_what_cannot_run_away_is_taken(pattern: str) -> None:
    """Brackets in sets and escapes are no groups."""
    assert defect_rules.compiled(pattern).pattern == pattern


def test_the_worst_pattern_that_is_taken_costs_little() -> None:
    """Three quantifiers and a text that does not match: only its beginning is looked at, so this comes to an end."""
    assert not defect_rules.found(".*.*.*x", "a" * 100_000)
