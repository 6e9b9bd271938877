"""Every rule that ReportPortal's server enforces on reporting, as API v1 tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.api import Api, refused

if TYPE_CHECKING:
    from testbus_sandbox import ReportPortalServer, Sandbox


def test_an_unknown_launch_is_not_found(api: Api) -> None:
    """Starting in, finishing and asking for a launch that is not there answer 404 / 4041."""
    expected = (404, 4041, "Launch 'nowhere' not found. Did you use correct Launch ID?")
    assert refused(api.start_item("nowhere")) == expected
    assert refused(api.finish_launch("nowhere")) == expected
    assert refused(api.get("launch/uuid/nowhere")) == expected


def test_an_unknown_parent_or_item_is_not_found(api: Api) -> None:
    """Starting under, finishing and asking for an item that is not there answer 404 / 4043."""
    launch = api.launch()
    expected = (404, 4043, "Test Item 'nobody' not found. Did you use correct Test Item ID?")
    assert refused(api.start_item(launch, "nobody")) == expected
    assert refused(api.finish_item(launch, "nobody")) == expected
    assert refused(api.get("item/uuid/nobody")) == expected


def test_an_item_may_start_in_a_finished_launch(api: Api) -> None:
    """A finished launch still takes items, and its status follows them."""
    launch = api.launch()
    assert api.finish_launch(launch).status_code == 200
    assert api.shown().status == "PASSED"
    item = api.item(launch)
    assert api.finish_item(launch, item, "failed").status_code == 200
    assert api.shown().status == "FAILED"


def test_a_child_may_not_start_before_its_parent_or_launch(api: Api) -> None:
    """A start before the launch's or the parent's start answers 406 / 40025."""
    launch = api.launch()
    parent = api.item(launch, at=5, type="suite")
    status, code, message = refused(api.start_item(launch, at=-1))
    assert (status, code) == (406, 40025)
    assert message.startswith("Start time of child ['2026-11-18T")
    assert refused(api.start_item(launch, parent, at=4))[:2] == (406, 40025)
    assert api.start_item(launch, parent, at=5).status_code == 201


def test_an_item_may_end_before_its_start_but_a_launch_may_not(api: Api) -> None:
    """An item's end is not compared with its start; a launch's early end answers 406 / 40021."""
    launch = api.launch(at=100)
    item = api.item(launch, at=100)
    assert api.finish_item(launch, item, at=50).status_code == 200
    assert refused(api.finish_launch(launch, at=99))[:2] == (406, 40021)
    assert api.finish_launch(launch, at=100).status_code == 200


def test_finishing_a_launch_twice_is_not_allowed(api: Api) -> None:
    """The second finish answers 406 / 40023 and names the status of the first."""
    launch = api.launch()
    assert api.finish_launch(launch, status="stopped").status_code == 200
    expected = "Finish launch is not allowed. Launch '1' already finished with status 'STOPPED'"
    assert refused(api.finish_launch(launch)) == (406, 40023, expected)


def test_finishing_an_item_twice_erases_a_persons_triage(api: Api) -> None:
    """A late duplicate overwrites status and issue without a word."""
    launch = api.launch()
    item = api.item(launch)
    api.finish_item(launch, item, "failed")
    triage = {"issueType": "pb001", "comment": "looked at by a person"}
    answer = api.put("item", {"issues": [{"testItemId": 1, "issue": triage}]})
    assert answer.json()[0]["issueType"] == "pb001"
    assert api.finish_item(launch, item, "failed").status_code == 200
    issue = api.shown_item(item).issue
    assert issue is not None
    assert (issue.issue_type, issue.comment) == ("ti001", None)


def test_a_second_finish_changes_the_status_and_takes_the_issue_of_what_passed(api: Api) -> None:
    """FAILED can become PASSED, and then it has no issue."""
    launch = api.launch()
    item = api.item(launch)
    api.finish_item(launch, item, "failed")
    api.finish_item(launch, item, "passed")
    assert api.shown_item(item).status == "PASSED"
    assert api.shown_item(item).issue is None


def test_a_step_needs_a_status_and_a_suite_does_not(api: Api) -> None:
    """A step without status answers 400 / 40019; a suite's is computed."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    step = api.item(launch, suite)
    assert refused(api.finish_item(launch, step, None))[:2] == (400, 40019)
    assert api.finish_item(launch, step, "passed").status_code == 200
    assert api.finish_item(launch, suite, None).status_code == 200
    assert api.shown_item(suite).status == "PASSED"


@pytest.mark.parametrize(
    ("status", "computed"),
    [
        ("passed", "PASSED"),
        ("info", "PASSED"),
        ("WARN", "PASSED"),
        ("failed", "FAILED"),
        ("skipped", "FAILED"),
        ("cancelled", "FAILED"),
        ("stopped", "FAILED"),
        ("interrupted", "FAILED"),
    ],
)
def test_suites_and_launches_fail_unless_all_below_passed(api: Api, status: str, computed: str) -> None:
    """Only PASSED, INFO and WARN leave a suite and its launch PASSED."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    api.finish_item(launch, api.item(launch, suite), status)
    api.finish_item(launch, suite, None)
    api.finish_launch(launch)
    assert api.shown_item(suite).status == computed
    assert api.shown().status == computed


def test_a_finished_launch_keeps_the_status_it_was_given(api: Api) -> None:
    """A status in the finish wins over the computed one when nothing was in progress."""
    launch = api.launch()
    api.finish_item(launch, api.item(launch), "failed")
    api.finish_launch(launch, status="passed")
    assert api.shown().status == "PASSED"


def test_what_is_in_progress_is_interrupted_with_the_launch(api: Api) -> None:
    """Children in progress get INTERRUPTED and an attribute; a later finish corrects both."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    step = api.item(launch, suite)
    assert api.finish_launch(launch).status_code == 200
    assert api.shown().status == "FAILED"
    assert api.shown_item(step).status == "INTERRUPTED"
    assert api.shown_item(suite).status == "FAILED"
    assert [(one.key, one.value) for one in api.shown_item(step).attributes] == [("status", "interrupted")]
    assert api.finish_item(launch, step, "passed").status_code == 200
    assert api.shown_item(step).status == "PASSED"
    assert api.shown_item(step).attributes == ()


def test_what_is_in_progress_takes_the_status_of_the_finish(api: Api) -> None:
    """A launch or suite that finishes with a status gives it to what is in progress below."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    step = api.item(launch, suite)
    api.finish_item(launch, suite, "failed")
    shown = api.shown_item(step)
    assert shown.status == "FAILED"
    assert shown.issue is not None
    assert shown.issue.issue_type == "ti001"


def test_a_taken_launch_uuid_breaks_the_unique_constraint(api: Api) -> None:
    """The second launch with a uuid answers 500 / 5000 and names launch_uuid_key."""
    assert api.start_launch(uuid="mine").status_code == 201
    status, code, message = refused(api.start_launch(uuid="mine"))
    assert (status, code) == (500, 5000)
    assert message.startswith("Unclassified error [")
    assert 'constraint "launch_uuid_key"' in message
    assert len(api.portal.launches) == 1


def test_a_taken_item_uuid_breaks_the_unique_constraint(api: Api) -> None:
    """The second item with a uuid answers 500 / 5000 and names test_item_uuid_key, in another launch too."""
    first, second = api.launch(), api.launch()
    assert api.start_item(first, uuid="mine").status_code == 201
    status, code, message = refused(api.start_item(second, uuid="mine"))
    assert (status, code) == (500, 5000)
    assert 'constraint "test_item_uuid_key"' in message


def test_uuids_are_any_text_up_to_36_characters(api: Api) -> None:
    """A uuid need not look like one; 37 characters are too long for the column."""
    assert api.start_launch(uuid="x" * 36).json()["id"] == "x" * 36
    assert "character varying(36)" in refused(api.start_launch(uuid="x" * 37))[2]


def test_servers_do_not_share_uuids(sandbox: Sandbox) -> None:
    """The same uuid is free on another server."""
    with Api(sandbox.reportportal("a")) as first, Api(sandbox.reportportal("b")) as second:
        assert first.start_launch(uuid="mine").status_code == 201
        assert second.start_launch(uuid="mine").status_code == 201


def test_a_duplicate_log_is_accepted_twice(api: Api) -> None:
    """Nothing protects logs: the same uuid comes in twice."""
    launch = api.launch()
    item = api.item(launch)
    entry = {"launchUuid": launch, "itemUuid": item, "time": 0, "message": "again", "uuid": "log-1"}
    for _ in range(2):
        assert api.logs(entry).json() == {"responses": [{"id": "log-1"}]}
    assert [log.message for log in api.shown_item(item).logs] == ["again", "again"]


def test_a_nested_step_has_only_nested_steps(api: Api) -> None:
    """A child with statistics under one without answers 400 / 40016; a nested step is welcome."""
    launch = api.launch()
    step = api.item(launch)
    nested = api.item(launch, step, hasStats=False)
    assert refused(api.start_item(launch, nested))[:2] == (400, 40016)
    assert api.start_item(launch, nested, hasStats=False).status_code == 201
    assert not api.get(f"item/uuid/{step}").json()["hasChildren"]


def test_nesting_ends_at_64_levels(api: Api) -> None:
    """The 65th level answers 400 / 40016."""
    launch = api.launch()
    parent = api.item(launch, type="suite")
    for _ in range(63):
        parent = api.item(launch, parent, type="suite")
    status, code, message = refused(api.start_item(launch, parent))
    assert (status, code) == (400, 40016)
    assert "Max limit is 64." in message


def test_an_unknown_issue_type_cannot_be_resolved(api: Api) -> None:
    """A locator that the project does not have answers 400 / 40020 and names those it has."""
    launch = api.launch()
    item = api.item(launch)
    status, code, message = refused(api.finish_item(launch, item, "failed", issue={"issueType": "zz999"}))
    assert (status, code) == (400, 40020)
    assert "ti001, ab001, pb001, nd001, si001" in message


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_failed_and_skipped_need_investigation(api: Api, status: str) -> None:
    """Without an issue they get ti001; with NOT_ISSUE, under either spelling of the field, they get none."""
    launch = api.launch()
    items = [api.item(launch) for _ in range(4)]
    api.finish_item(launch, items[0], status)
    api.finish_item(launch, items[1], status, issue={"issueType": "NOT_ISSUE"})
    api.finish_item(launch, items[2], status, issue={"issue_type": "NOT_ISSUE"})
    api.finish_item(launch, items[3], status, issue={"issueType": "AB001"})
    issues = [api.shown_item(item).issue for item in items]
    assert [issue and issue.issue_type for issue in issues] == ["ti001", None, None, "ab001"]


def test_another_project_is_forbidden(api: Api, portal: ReportPortalServer) -> None:
    """A project that the key does not reach answers 403 / 4003."""
    response = api.session.get(f"{portal.url}/api/v1/other/settings", timeout=10)
    assert refused(response)[:2] == (403, 4003)


def test_a_log_for_an_unknown_item_falls_to_the_launch(api: Api) -> None:
    """Nobody is told that the item is unknown."""
    launch = api.launch()
    answer = api.logs({"launchUuid": launch, "itemUuid": "nobody", "time": 0, "message": "lost"})
    assert set(answer.json()["responses"][0]) == {"id"}
    assert [log.message for log in api.shown().logs] == ["lost"]


def test_stopping_interrupts_and_says_so(api: Api) -> None:
    """A stopped launch has an attribute and a description that say it, and may not be finished."""
    launch = api.launch(description="nightly run")
    item = api.item(launch)
    answer = api.put("launch/1/stop", {"endTime": "2027-01-01T00:00:00Z"})
    assert answer.json() == {"message": "Launch with ID = '1' successfully stopped."}
    shown = api.shown()
    assert (shown.status, shown.description) == ("STOPPED", "nightly run stopped")
    assert [(one.key, one.value) for one in shown.attributes] == [("status", "stopped")]
    assert api.shown_item(item).status == "INTERRUPTED"
    assert refused(api.finish_launch(launch))[:2] == (406, 40023)


def test_a_deleted_launch_is_gone_with_all_that_was_in_it(api: Api) -> None:
    """Not while it is in progress; afterwards its uuids are free, and its numbers are not used again."""
    launch = api.launch()
    item = api.item(launch)
    assert refused(api.delete_launch(launch))[:2] == (406, 40024)
    api.finish_item(launch, item, "failed")
    before = api.get(f"launch/uuid/{launch}").json() if api.finish_launch(launch).ok else {}
    assert api.delete_launch(launch).status_code == 200
    assert refused(api.get(f"launch/uuid/{launch}"))[:2] == (404, 4041)
    assert refused(api.get(f"item/uuid/{item}"))[:2] == (404, 4043)
    assert api.start_launch(uuid=launch).status_code == 201
    assert api.get(f"launch/uuid/{launch}").json()["id"] > before["id"]
