"""ReportPortal's REST contract: shapes of requests and answers, limits, authorisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.sandbox.api import START_MS, TIMEOUT_S, Api, refused

if TYPE_CHECKING:
    from testbus_sandbox import ReportPortalServer


def test_v1_answers_with_numbers_and_links(api: Api, portal: ReportPortalServer) -> None:
    """Starting and finishing answer id, number, uniqueId, link and message."""
    assert api.start_launch(uuid="run").json() == {"id": "run", "number": 1}
    item = api.start_item("run", uuid="one").json()
    assert item["id"] == "one"
    assert item["uniqueId"].startswith("auto:")
    assert api.finish_item("run", "one").json() == {"message": "TestItem with ID = 'one' successfully finished."}
    link = f"{portal.url}/ui/#demo/launches/all/1"
    assert api.finish_launch("run").json() == {"id": "run", "number": 1, "link": link}
    assert api.start_launch().json()["number"] == 2
    assert api.start_launch(name="other").json()["number"] == 1


def test_the_version_needs_no_key(portal: ReportPortalServer) -> None:
    """/api/info and /info tell the version to everybody."""
    for path in ("/api/info", "/info"):
        answer = requests.get(portal.url + path, timeout=TIMEOUT_S)
        assert answer.json()["build"]["version"] == "5.15.1"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}])
def test_a_request_without_the_key_is_unauthorized(portal: ReportPortalServer, headers: dict[str, str]) -> None:
    """401 has Spring's shape, not ReportPortal's."""
    for path in ("/api/v1/demo/settings", "/api/v2/demo/nothing"):
        answer = requests.get(portal.url + path, headers=headers, timeout=TIMEOUT_S)
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_token"
        assert answer.json()["error_description"]


def test_settings_name_the_defect_types(api: Api) -> None:
    """Five groups, each with a locator."""
    groups = api.get("settings").json()["subTypes"]
    locators = {name: types[0]["locator"] for name, types in groups.items()}
    assert locators == {
        "TO_INVESTIGATE": "ti001",
        "AUTOMATION_BUG": "ab001",
        "PRODUCT_BUG": "pb001",
        "NO_DEFECT": "nd001",
        "SYSTEM_ISSUE": "si001",
    }


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": None}, "'name' should not be null"),
        ({"name": "  "}, "'name' should not contain only white spaces"),
        ({"name": "x" * 257}, "'name' should have size from '1' to '256'"),
        ({"startTime": None}, "'startTime' should not be null"),
        ({"attributes": [{"key": "k", "value": " "}]}, "'attributes[].value' should not contain only white spaces"),
        ({"attributes": [{"value": str(n)} for n in range(257)]}, "'attributes' should have size from '0' to '256'"),
        ({"mode": "default"}, "not one of the values accepted for Enum class: [DEFAULT, DEBUG]"),
        ({"startTime": "yesterday"}, "Unable to parse date: yesterday"),
        ({"name": {"a": 1}}, "Cannot deserialize value of type `java.lang.String`"),
        ({"attributes": {"a": 1}}, "an array is expected"),
    ],
)
def test_a_bad_field_of_a_launch_is_refused(api: Api, fields: dict[str, Any], field: str) -> None:
    """400 / 4001 names the field."""
    status, code, message = refused(api.start_launch(**fields))
    assert (status, code) == (400, 4001)
    assert message.startswith("Incorrect Request. ")
    assert field in message


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "x" * 1025}, "'name' should have size from '1' to '1024'"),
        ({"type": "method"}, "Value is not allowed for field 'type'."),
        ({"type": None}, "'type' should not be null"),
        ({"launchUuid": None}, "'launchUuid' should not be null"),
        ({"uniqueId": "x" * 1025}, "'uniqueId' should have size from '0' to '1024'"),
        ({"parameters": [{"value": "1"}]}, "'parameters[].key' should not be null"),
        ({"hasStats": "perhaps"}, "Cannot deserialize value of type `boolean`"),
    ],
)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_bad_field_of_an_item_is_refused(api: Api, fields: dict[str, Any], field: str, version: str) -> None:
    """400 / 4001 names the field, from v2 too: it checks the form before it queues."""
    status, code, message = refused(api.start_item(api.launch(), version=version, **fields))
    assert (status, code) == (400, 4001)
    assert field in message


def test_every_bad_field_is_named_at_once(api: Api) -> None:
    """Validation collects what it does not like."""
    message = refused(api.start_launch(name=None, startTime=None))[2]
    assert message == "Incorrect Request. [Field 'name' should not be null.] [Field 'startTime' should not be null.]"


def test_a_bad_finish_is_refused(api: Api) -> None:
    """An unknown status and a missing end answer 400 / 4001."""
    launch = api.launch()
    item = api.item(launch)
    assert refused(api.finish_item(launch, item, "broken"))[:2] == (400, 4001)
    assert refused(api.finish_item(launch, item, endTime=None))[:2] == (400, 4001)
    assert refused(api.finish_launch(launch, status="in_progress"))[:2] == (400, 4001)


def test_a_body_must_be_json(api: Api) -> None:
    """Broken JSON answers 400 / 4001, another media type falls into the catch-all 500 / 5000."""
    url = api.url("launch")
    broken = api.session.post(url, data="{", headers={"Content-Type": "application/json"}, timeout=TIMEOUT_S)
    assert refused(broken)[:2] == (400, 4001)
    assert refused(api.post("launch", ["a list"]))[:2] == (400, 4001)
    text = api.session.post(url, data="{}", headers={"Content-Type": "text/plain"}, timeout=TIMEOUT_S)
    assert refused(text)[:2] == (500, 5000)


def test_unknown_paths_are_not_found(api: Api) -> None:
    """A call that service-api does not have answers 404."""
    assert api.get("nothing").status_code == 404


def test_descriptions_are_cut_without_a_word(api: Api) -> None:
    """Only 2,048 characters are kept, of launches and items; a launch's finish appends."""
    launch = api.launch(description="d" * 3000)
    item = api.item(launch, description="d" * 3000)
    assert len(api.shown().description or "") == 2048
    assert len(api.shown_item(item).description or "") == 2048
    other = api.launch(description="begin")
    api.finish_launch(other, description="end")
    assert api.portal.launches[1].description == "begin end"


def test_the_test_case_id_comes_from_the_code_reference(api: Api) -> None:
    """Without one it is the codeRef, with the parameters' values in brackets."""
    launch = api.launch()
    parameters = [{"key": "p", "value": "v1"}, {"key": "q", "value": "v2"}]
    items = [
        api.item(launch, codeRef="pkg/a.py:test_a"),
        api.item(launch, codeRef="pkg/a.py:test_a", parameters=parameters),
        api.item(launch, codeRef="pkg/a.py:test_a", testCaseId="TC-1"),
        api.item(launch),
    ]
    assert [api.shown_item(item).test_case_id for item in items] == [
        "pkg/a.py:test_a",
        "pkg/a.py:test_a[v1,v2]",
        "TC-1",
        None,
    ]


def test_attributes_are_a_set_that_finishing_adds_to(api: Api) -> None:
    """A duplicate is kept once; what the finish brings is added; the system's are not shown to clients."""
    smoke = {"value": "smoke"}
    launch = api.launch()
    item = api.item(launch, attributes=[smoke, smoke, {"key": "os", "value": "linux", "system": True}])
    api.finish_item(launch, item, attributes=[smoke, {"key": "team", "value": 7}])
    assert [(one.key, one.value) for one in api.shown_item(item).attributes] == [
        (None, "smoke"),
        ("os", "linux"),
        ("team", "7"),
    ]
    assert api.get(f"item/uuid/{item}").json()["attributes"] == [smoke, {"key": "team", "value": "7"}]


def test_scalars_are_read_as_jackson_reads_them(api: Api) -> None:
    """Numbers and booleans become text, other scalars booleans, and null for a boolean is false."""
    launch = api.launch(name=7, description=True, rerun=0)
    assert (api.shown().name, api.shown().description) == ("7", "true")
    items = [api.item(launch, hasStats=value) for value in (None, 0, "FALSE", 1, "true")]
    assert [api.shown_item(item).has_stats for item in items] == [False, False, False, True, True]
    assert refused(api.start_launch(startTime=True))[:2] == (400, 4001)
    assert refused(api.finish_item(launch, items[0], issue={"issueType": " ", "comment": "x" * 65_537}))[:2] == (
        400,
        4001,
    )


def test_an_item_resource_has_what_clients_read(api: Api) -> None:
    """By uuid instants are milliseconds, with the second media type and by number ISO 8601."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    item = api.item(launch, suite, at=7, codeRef="a:b", parameters=[{"key": "p", "value": None}])
    body = api.get(f"item/uuid/{item}").json()
    assert body["startTime"] == START_MS + 7
    assert body["status"] == "IN_PROGRESS"
    assert body["parameters"] == [{"key": "p", "value": "NULL"}]
    assert (body["parent"], body["launchId"], body["path"], body["type"]) == (1, 1, "1.2", "STEP")
    assert "endTime" not in body
    accept = {"Accept": "application/x.reportportal.test.v2+json"}
    second = api.session.get(api.url(f"item/uuid/{item}"), headers=accept, timeout=TIMEOUT_S).json()
    assert second["startTime"] == api.get("item/2").json()["startTime"] == "2026-11-18T11:06:40.007000Z"


def test_a_launch_resource_counts_its_tests(api: Api) -> None:
    """Statistics count leaves by outcome and defects by type."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    for status in ("passed", "failed", "skipped", "interrupted"):
        api.finish_item(launch, api.item(launch, suite), status)
    statistics = api.get(f"launch/uuid/{launch}").json()["statistics"]
    assert statistics["executions"] == {"total": 4, "passed": 1, "failed": 2, "skipped": 1}
    assert statistics["defects"] == {"to_investigate": {"total": 2, "ti001": 2}}


def test_a_launch_is_updated_as_a_person_does_it(api: Api) -> None:
    """Attributes replace all but the system's; mode and description change."""
    api.launch(attributes=[{"value": "old"}, {"key": "os", "value": "linux", "system": True}])
    body = {"description": "late words", "attributes": [{"value": "new"}], "mode": "DEBUG"}
    answer = api.put("launch/1/update", body)
    assert answer.json() == {"message": "Launch with ID = '1' successfully updated."}
    shown = api.shown()
    assert (shown.description, shown.mode) == ("late words", "DEBUG")
    assert [one.value for one in shown.attributes] == ["linux", "new"]
    assert refused(api.put("launch/9/update", {}))[:2] == (404, 4041)


def test_an_item_is_updated_as_a_person_does_it(api: Api) -> None:
    """A changed status spreads to the finished suite and launch; a suite's own cannot be set."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    step = api.item(launch, suite)
    assert refused(api.put("item/2/update", {"status": "passed"}))[:2] == (400, 4001)
    api.finish_item(launch, step, "failed")
    api.finish_item(launch, suite, None)
    api.finish_launch(launch)
    answer = api.put("item/2/update", {"status": "passed", "description": "fixed by hand"})
    assert answer.json() == {"message": "TestItem with ID = '2' successfully updated."}
    assert [item.status for item in api.shown().items] == ["PASSED", "PASSED"]
    assert api.shown().status == "PASSED"
    assert refused(api.put("item/1/update", {"status": "failed"}))[:2] == (400, 4001)
    assert refused(api.put("item/2/update", {"status": "stopped"}))[:2] == (400, 4001)
    assert refused(api.put("item/9/update", {}))[:2] == (404, 4043)


def test_triage_needs_an_item_with_an_issue(api: Api) -> None:
    """What passed has no issue to define: 400 / 40020."""
    launch = api.launch()
    api.finish_item(launch, api.item(launch), "passed")
    body = {"issues": [{"testItemId": number, "issue": {"issueType": "pb001"}} for number in (1, 9)]}
    assert refused(api.put("item", body))[:2] == (400, 40020)


def test_a_key_tells_its_user_and_role(api: Api) -> None:
    """GET /users, outside any project: the user with a role for each project; nothing without the key."""
    path = f"{api.portal.url}/api/users"
    found = api.session.get(path, timeout=TIMEOUT_S).json()
    assert (found["userId"], found["userRole"]) == ("sandbox", "USER")
    assert found["assignedProjects"]["demo"]["projectRole"] == "MEMBER"
    assert requests.get(path, timeout=TIMEOUT_S).status_code == 401


@pytest.mark.parametrize(("role", "may"), [("OPERATOR", False), ("CUSTOMER", True), ("PROJECT_MANAGER", True)])
def test_an_operator_may_look_and_not_report(api: Api, role: str, *, may: bool) -> None:
    """403 / 4003 for whatever writes; an administrator may do everything."""
    api.portal.member.role = role
    assert api.get("settings").status_code == 200
    answer = api.start_launch()
    assert answer.status_code == 201 if may else refused(answer)[:2] == (403, 4003)
    api.portal.member.user_role = "ADMINISTRATOR"
    assert api.start_launch().status_code == 201


def test_external_issues_are_kept(api: Api) -> None:
    """A finish may link tickets, and each must be whole."""
    launch = api.launch()
    ticket = {"ticketId": "ABC-1", "btsUrl": "https://jira", "btsProject": "ABC", "url": "https://jira/ABC-1"}
    issue = {"issueType": "pb001", "comment": "known", "externalSystemIssues": [ticket]}
    item = api.item(launch)
    bad = api.finish_item(launch, item, "failed", issue={**issue, "externalSystemIssues": [{"ticketId": "ABC-1"}]})
    assert refused(bad)[:2] == (400, 4001)
    api.finish_item(launch, item, "failed", issue=issue)
    shown = api.shown_item(item).issue
    assert shown is not None
    assert shown.external[0].ticket_id == "ABC-1"
    assert api.get(f"item/uuid/{item}").json()["issue"]["externalSystemIssues"] == [ticket]
