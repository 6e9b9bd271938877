"""Linking tickets to items, by the rules of ReportPortal's server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.api import Api, refused

#: A ticket as ReportPortal takes it.
TICKET = {"ticketId": "ABC-1", "btsUrl": "https://jira", "btsProject": "ABC", "url": "https://jira/ABC-1"}


def link(api: Api, *items: int, **ticket: str) -> Any:
    """Link a ticket to items."""
    return api.put("item/issue/link", {"testItemIds": items, "issues": [TICKET | ticket]})


def failing(api: Api) -> str:
    """Return the uuid of an item that failed, number 1 in a launch of its own."""
    launch = api.launch()
    item = api.item(launch)
    api.finish_item(launch, item, "failed")
    return item


def test_a_ticket_is_added_and_the_triage_stays(api: Api) -> None:
    """Type and comment are a person's; linking again changes nothing."""
    item = failing(api)
    api.put("item", {"issues": [{"testItemId": 1, "issue": {"issueType": "pb001", "comment": "mine"}}]})
    for _ in range(2):
        answer = link(api, 1)
        assert answer.status_code == 200
        assert answer.json() == [{"message": "TestItem with ID = '1' successfully updated."}]
    link(api, 1, ticketId="ABC-2")
    issue = api.shown_item(item).issue
    assert issue is not None
    assert (issue.issue_type, issue.comment) == ("pb001", "mine")
    assert [ticket.ticket_id for ticket in issue.external] == ["ABC-1", "ABC-2"]


def test_a_ticket_that_is_known_keeps_its_address(api: Api) -> None:
    """The server finds it by its id alone."""
    item = failing(api)
    link(api, 1)
    link(api, 1, url="https://elsewhere")
    issue = api.shown_item(item).issue
    assert issue is not None
    assert [ticket.url for ticket in issue.external] == ["https://jira/ABC-1"]


def test_items_that_are_not_there_are_left_out(api: Api) -> None:
    """Without a word."""
    failing(api)
    assert len(link(api, 1, 99).json()) == 1
    assert link(api, 99).json() == []


def test_one_item_without_a_defect_refuses_all(api: Api) -> None:
    """Passed, in progress, with children: 400 / 40020, and nothing is linked."""
    item = failing(api)
    launch = api.shown().uuid
    api.finish_item(launch, api.item(launch, name="passed"), "passed")
    api.item(launch, name="running")
    suite = api.item(launch, name="suite", type="suite")
    api.finish_item(launch, api.item(launch, suite, name="child"), "failed")
    for other, said in ((2, "on PASSED test items"), (3, "no info about actual issue"), (4, "has descendants")):
        status, code, message = refused(link(api, 1, other))
        assert (status, code) == (400, 40020)
        assert said in message
    issue = api.shown_item(item).issue
    assert issue is not None
    assert issue.external == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"testItemIds": [], "issues": [TICKET]}, "[Field 'testItemIds' should not be empty.]"),
        ({"testItemIds": [1]}, "[Field 'issues' should not be empty.]"),
        ({"testItemIds": list(range(301)), "issues": [TICKET]}, "Field 'testItemIds' should have size from '0' to"),
        ({"testItemIds": [1], "issues": [TICKET | {"btsProject": " "}]}, "Field 'issues[].btsProject' should not"),
        ({"testItemIds": ["a"], "issues": [TICKET]}, "JSON parse error"),
    ],
)
def test_a_bad_request_is_refused(api: Api, body: Any, said: str) -> None:
    """400 / 4001, with the field."""
    status, code, message = refused(api.put("item/issue/link", body))
    assert (status, code) == (400, 4001)
    assert said in message
