"""The project: its own types of defects, the files of its log entries, and how long its texts may be."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.sandbox.api import TIMEOUT_S, Api, refused

#: A type of the project's own.
NETWORK = {"typeRef": "system_issue", "longName": "Network trouble", "shortName": "NET", "color": "#00ff00"}


def types(api: Api) -> dict[str, list[str]]:
    """Return the short names of the types in each group."""
    found = api.get("settings").json()["subTypes"]
    return {group: [one["shortName"] for one in ones] for group, ones in found.items()}


def test_a_project_has_types_of_its_own(api: Api) -> None:
    """Made with a locator of the group, listed, taken by a finish, and counted in its group."""
    made = api.post("settings/sub-type", NETWORK)
    assert made.status_code == 201
    locator = made.json()["locator"]
    assert locator.startswith("si_")
    assert types(api)["SYSTEM_ISSUE"] == ["SI", "NET"]
    launch = api.launch()
    item = api.item(launch)
    api.finish_item(launch, item, "failed", issue={"issueType": locator.upper()})
    issue = api.shown_item(item).issue
    assert issue is not None
    assert issue.issue_type == locator
    defects = api.get(f"launch/uuid/{launch}").json()["statistics"]["defects"]
    assert defects == {"system_issue": {"total": 1, locator: 1}}


def test_items_of_a_removed_type_fall_to_the_type_of_its_group(api: Api) -> None:
    """And a finish with its locator is refused from then on."""
    made = api.post("settings/sub-type", NETWORK).json()
    launch = api.launch()
    first, second = (api.item(launch, name=name) for name in ("test_a", "test_b"))
    issue = {"issueType": made["locator"]}
    api.finish_item(launch, first, "failed", issue=issue)
    gone = api.session.delete(api.url(f"settings/sub-type/{made['id']}"), timeout=TIMEOUT_S)
    assert gone.json() == {"message": "Issue sub-type delete operation completed successfully."}
    found = api.shown_item(first).issue
    assert found is not None
    assert found.issue_type == "si001"
    assert refused(api.finish_item(launch, second, "failed", issue=issue))[:2] == (400, 40020)
    again = api.session.delete(api.url(f"settings/sub-type/{made['id']}"), timeout=TIMEOUT_S)
    assert refused(again)[:2] == (404, 40416)
    assert refused(api.session.delete(api.url("settings/sub-type/1"), timeout=TIMEOUT_S))[:2] == (403, 40010)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"shortName": "TOO LONG"}, 4001),
        ({"longName": "ab"}, 4001),
        ({"color": "green"}, 4001),
        ({"shortName": None}, 4001),
        ({"typeRef": "NOT_ISSUE"}, 4001),
        ({"typeRef": "ANYTHING"}, 40016),
    ],
)
def test_types_that_cannot_be_are_refused(api: Api, changed: dict[str, Any], code: int) -> None:
    """Names of a length, a colour, and one of the five groups."""
    assert refused(api.post("settings/sub-type", NETWORK | changed))[:2] == (400, code)


def test_the_file_of_a_log_entry_can_be_fetched(api: Api) -> None:
    """By the key's user with the number that the entry tells, and by whoever looks at the page."""
    launch = api.launch()
    entry = {"launchUuid": launch, "time": 0, "message": "m", "file": {"name": "a.png"}}
    api.logs(entry, files=(("a.png", b"\x89PNG", "image/png"),))
    number = api.get("log/1").json()["binaryContent"]["id"]
    for answer in (
        api.session.get(f"{api.portal.url}/api/v1/data/{api.portal.project}/{number}", timeout=TIMEOUT_S),
        requests.get(f"{api.portal.url}/ui/data/{number}", timeout=TIMEOUT_S),
    ):
        assert (answer.content, answer.headers["Content-Type"]) == (b"\x89PNG", "image/png")
        assert answer.headers["Content-Security-Policy"] == "sandbox"
    gone = api.session.get(f"{api.portal.url}/api/v1/data/{api.portal.project}/7", timeout=TIMEOUT_S)
    assert refused(gone)[:2] == (404, 40427)
    assert requests.get(f"{api.portal.url}/api/v1/data/{api.portal.project}/1", timeout=TIMEOUT_S).status_code == 401
    assert requests.get(f"{api.portal.url}/ui/data/7", timeout=TIMEOUT_S).status_code == 404


def test_lengths_are_counted_as_java_counts_them(api: Api) -> None:
    """In UTF-16 units: an emoji is two."""
    launch = api.launch()
    assert api.start_item(launch, name="😀" * 512).status_code == 201
    assert refused(api.start_item(launch, name="😀" * 512 + "x"))[:2] == (400, 4001)
