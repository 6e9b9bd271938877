"""Jira by its Python client, unmodified: Cloud and Data Center answer as the real ones do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jira import JIRA
from jira.exceptions import JIRAError

from testbus_sandbox import JiraServer, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jira.resources import Issue

FLAVOURS = ("cloud", "datacenter")


@pytest.fixture(params=FLAVOURS)
def server(request: pytest.FixtureRequest) -> Iterator[JiraServer]:
    """Return a running Jira of each flavour."""
    with Sandbox(reportportals=(), slack=False, jira=True, jira_flavour=request.param) as sandbox:
        yield sandbox.jira


def connected(server: JiraServer, **options: Any) -> JIRA:
    """Return the client with the right credentials and version of the API."""
    if server.flavour == "cloud":
        who: dict[str, Any] = {"basic_auth": (server.user, server.token), "options": {"rest_api_version": "3"}}
    else:
        who = {"token_auth": server.token}
    return JIRA(server.url, **{"max_retries": 0, "timeout": 5, **who, **options})


@pytest.fixture
def client(server: JiraServer) -> Iterator[JIRA]:
    """Return the client."""
    client = connected(server)
    yield client
    client.close()


def rich(server: JiraServer, text: str) -> Any:
    """Return text as the flavour takes it."""
    if server.flavour != "cloud":
        return text
    paragraph = {"type": "paragraph", "content": [{"type": "text", "text": text}]}
    return {"type": "doc", "version": 1, "content": [paragraph]}


def fields(server: JiraServer, **more: Any) -> dict[str, Any]:
    """Return the fields of a small issue."""
    return {"project": {"key": server.project}, "issuetype": {"name": "Bug"}, "summary": "It broke", **more}


def refused(call: Any, *arguments: Any, **named: Any) -> tuple[int, dict[str, Any]]:
    """Return status and body of a call that Jira refuses."""
    with pytest.raises(JIRAError) as caught:
        call(*arguments, **named)
    response = caught.value.response
    assert response is not None
    return response.status_code, response.json()


def test_an_issue_is_created_read_edited_and_commented(client: JIRA, server: JiraServer) -> None:
    """Through the client's own methods; what it reads back is what it wrote."""
    made = client.create_issue(fields(server, description=rich(server, "why"), labels=["a", "b"]))
    assert made.key == "DEMO-1"
    assert made.fields.summary == "It broke"
    assert made.fields.status.statusCategory.key == "new"
    assert made.raw["fields"]["description"] == rich(server, "why")
    made.update(fields={"summary": "It broke again", "description": rich(server, "because")})
    comment = client.add_comment(made.key, rich(server, "seen"))
    assert client.comment(made.key, comment.id).body is not None
    assert [one.id for one in client.comments(made.key)] == [comment.id]
    (issue,) = server.issues
    assert (issue.summary, issue.text, issue.labels, issue.edits) == ("It broke again", "because", ("a", "b"), 1)
    assert [one.text for one in issue.comments] == ["seen"]
    assert made.permalink() == f"{server.url}/browse/DEMO-1"


def test_a_search_finds_by_project_label_and_category(client: JIRA, server: JiraServer) -> None:
    """Done ones are left out when asked; the order is as asked; pages go on to the end."""
    for number in range(7):
        client.create_issue(fields(server, labels=["mine" if number else "other"]))
    server.close("DEMO-3")
    found = client.search_issues('project = DEMO AND labels = "mine" AND statusCategory != Done ORDER BY created')
    assert [issue.key for issue in found] == ["DEMO-2", "DEMO-4", "DEMO-5", "DEMO-6", "DEMO-7"]
    newest = client.search_issues("labels = mine ORDER BY created DESC", maxResults=2)
    assert [issue.key for issue in newest] == ["DEMO-7", "DEMO-6"]
    every = client.search_issues("project = DEMO", maxResults=False)
    assert len(every) == 7


def test_pages_go_on_by_token_or_by_number(client: JIRA, server: JiraServer) -> None:
    """Cloud gives a token and no total; Data Center a total and a place."""
    for _ in range(5):
        client.create_issue(fields(server))
    if server.flavour == "datacenter":
        page: Any = client.search_issues("project = DEMO ORDER BY created ASC", startAt=2, maxResults=2)
        assert (page.total, [one.key for one in page]) == (5, ["DEMO-3", "DEMO-4"])
        return
    first: Any = client.enhanced_search_issues("project = DEMO ORDER BY created ASC", maxResults=3)
    rest: Any = client.enhanced_search_issues("project = DEMO ORDER BY created ASC", nextPageToken=first.nextPageToken)
    assert [one.key for one in (*first, *rest)] == [f"DEMO-{number}" for number in range(1, 6)]
    raw: Any = client.enhanced_search_issues("project = DEMO", json_result=True, fields="summary")
    assert "total" not in raw
    assert raw["isLast"]


def test_the_old_search_is_gone_from_cloud(client: JIRA, server: JiraServer) -> None:
    """410 with the address of the new one; Data Center still has it."""
    if server.flavour == "datacenter":
        assert client._get_json("search", {"jql": "project = DEMO"})["total"] == 0
        return
    status, body = refused(client._get_json, "search", {"jql": "project = DEMO"})
    assert status == 410
    assert "/rest/api/3/search/jql" in body["errorMessages"][0]
    status, body = refused(client.search_issues, "ORDER BY created")
    assert (status, body["errors"]) == (400, {})
    assert body["errorMessages"][0].startswith("Unbounded JQL queries are not allowed here.")


@pytest.mark.parametrize(
    ("jql", "said"),
    [
        ("colour = red", "Field 'colour' does not exist or you do not have permission to view it."),
        ("project = NONE", "The value 'NONE' does not exist for the field 'project'."),
        ("project ~ DEMO", "Error in the JQL Query: Expecting operator but got '~'"),
        ("project = DEMO AND", "Error in the JQL Query: Expecting a field name but the query ended."),
        ("project = DEMO OR labels = x", "Error in the JQL Query: Expecting either 'OR' or 'AND' but got 'OR'."),
        ("project =", "Error in the JQL Query: Expecting either a value"),
        ("project = DEMO ORDER BY colour", "Not able to sort using field 'colour'."),
        ("project = DEMO ORDER created", "Error in the JQL Query: Expecting 'by'"),
        ('labels = "x', "Error in the JQL Query: The character '\"'"),
    ],
)
def test_jql_is_read_strictly(client: JIRA, jql: str, said: str) -> None:
    """What is not understood is refused with 400, never guessed."""
    status, body = refused(client.search_issues, jql)
    assert (status, body["errors"]) == (400, {})
    assert body["errorMessages"][0].startswith(said)


def test_rich_text_has_the_form_of_its_version(client: JIRA, server: JiraServer) -> None:
    """API 3 takes documents only, API 2 texts only."""
    other: Any = "text" if server.flavour == "cloud" else {"type": "doc", "version": 1, "content": []}
    status, body = refused(client.create_issue, fields(server, description=other))
    assert status == 400
    assert body["errors"]["description"].startswith("Operation value must be a")
    client.create_issue(fields(server))
    status, body = refused(client.add_comment, "DEMO-1", other)
    assert status == 400
    assert set(body["errors"]) == {"comment"}
    assert refused(client.add_comment, "DEMO-1", "")[0] == 400


def test_every_fault_of_an_issue_is_told(client: JIRA, server: JiraServer) -> None:
    """Required and unknown fields, limits and labels, each by its field."""
    server.require("customfield_10010", "Team")
    bad = fields(server, summary="x" * 256, labels=["a b"], customfield_99="?", description=rich(server, "x" * 32768))
    status, body = refused(client.create_issue, bad)
    assert (status, body["errorMessages"]) == (400, [])
    assert body["errors"] == {
        "summary": "Summary must be less than 255 characters.",
        "labels": "The label 'a b' contains spaces which is invalid.",
        "customfield_99": "Field 'customfield_99' cannot be set. It is not on the appropriate screen, or unknown.",
        "customfield_10010": "Team is required.",
        "description": "The entered text is too long. It exceeds the allowed limit of 32,767 characters.",
    }
    for summary in ("two\nlines", " "):
        assert "summary" in refused(client.create_issue, fields(server, summary=summary))[1]["errors"]
    assert refused(client.create_issue, fields(server, issuetype={"name": "Wish"}))[1]["errors"].keys() == {"issuetype"}
    assert refused(client.create_issue, fields(server, project={"key": "NONE"}))[1]["errors"].keys() == {"project"}
    made = client.create_issue(fields(server, customfield_10010={"value": "A"}))
    assert made.raw["fields"]["customfield_10010"] == {"value": "A"}
    assert server.issues[0].fields == {"customfield_10010": {"value": "A"}}


def test_create_meta_tells_what_is_required(client: JIRA, server: JiraServer) -> None:
    """Cloud in one answer, Data Center by project and type; names of fields are known by `field`."""
    server.require("customfield_10010", "Team")
    if server.flavour == "cloud":
        kinds = client.createmeta(projectKeys="DEMO", expand="projects.issuetypes.fields")["projects"][0]["issuetypes"]
        needed = [name for name, one in kinds[0]["fields"].items() if one["required"]]
    else:
        kind = client.project_issue_types("DEMO")[0]
        needed = [one.fieldId for one in client.project_issue_fields("DEMO", kind.id) if one.required]
    assert needed == ["summary", "customfield_10010"]
    assert "customfield_10010" in [one["id"] for one in client.fields()]


def test_a_search_lags_behind_and_a_get_does_not(client: JIRA, server: JiraServer) -> None:
    """By a clock that the test moves: what was written shows after the lag, with what it was then."""
    now = [1000.0]
    server.use_clock(lambda: now[0])
    server.lag(60)
    client.create_issue(fields(server, labels=["mine"]))
    assert client.issue("DEMO-1").key == "DEMO-1"
    assert keys(client, "labels = mine") == []
    now[0] += 59
    server.close("DEMO-1")
    assert keys(client, "labels = mine") == []
    now[0] += 1
    assert keys(client, "labels = mine AND statusCategory != Done") == ["DEMO-1"]
    now[0] += 59
    assert keys(client, "labels = mine AND statusCategory != Done") == []
    server.delete("DEMO-1")
    assert keys(client, "labels = mine") == ["DEMO-1"]
    now[0] += 60
    assert keys(client, "labels = mine") == []


def test_cloud_reconciles_what_it_is_told_of(server: JiraServer, client: JIRA) -> None:
    """An issue whose id is known is seen as it is."""
    if server.flavour != "cloud":
        return
    server.lag(60)
    made = client.create_issue(fields(server))
    found: Any = client.enhanced_search_issues("project = DEMO", reconcileIssues=[int(made.id)])
    assert [one.key for one in found] == ["DEMO-1"]


def keys(client: JIRA, jql: str) -> list[str]:
    """Return the keys that a search finds."""
    found: Any = client.search_issues(jql)
    return [issue.key for issue in found]


def test_a_closed_issue_is_reopened_by_a_transition(client: JIRA, server: JiraServer) -> None:
    """By id or by name, where the workflow has one."""
    made: Issue = client.create_issue(fields(server))
    server.close("DEMO-1")
    assert client.issue("DEMO-1").fields.resolutiondate
    found: Any = client.transitions(made)
    assert [one["name"] for one in found] == ["To Do", "In Progress"]
    client.transition_issue(made, "To Do")
    assert server.issues[0].open
    server.close("DEMO-1", for_good=True)
    assert client.transitions(made) == []
    assert refused(client._session.post, f"{server.url}/rest/api/2/issue/DEMO-1/transitions",
                   data='{"transition": {"id": "10000"}}')[0] == 400  # fmt: skip


def test_a_remote_link_is_replaced_by_its_global_id(client: JIRA, server: JiraServer) -> None:
    """Without one there are as many links as requests."""
    client.create_issue(fields(server))
    target = {"url": "https://ci/1", "title": "Build 1"}
    for globally in ("build", "build", None):
        with pytest.warns(Warning, match="applicationlinks"):
            client.add_remote_link("DEMO-1", target, globalId=globally)
    client.add_simple_link("DEMO-1", target)
    assert len(client.remote_links("DEMO-1")) == len(server.issues[0].links) == 3
    assert refused(client.add_simple_link, "DEMO-1", {"url": "https://ci/1"})[1]["errors"].keys() == {"title"}


def test_credentials_are_checked(server: JiraServer) -> None:
    """401 without the right ones, whatever is asked; serverInfo is for everybody."""
    kind = {"cloud": "Cloud", "datacenter": "Server"}[server.flavour]
    wrong: Any
    for wrong in (
        {"basic_auth": None, "token_auth": None},
        {"basic_auth": (server.user, "wrong")},
        {"basic_auth": None, "token_auth": "wrong"},
    ):
        client = connected(server, **wrong)
        assert client.server_info()["deploymentType"] == kind
        with pytest.raises(JIRAError) as caught:
            client.myself()
        assert caught.value.status_code == 401
        client.close()


def test_permissions_decide_what_is_seen_and_done(client: JIRA, server: JiraServer) -> None:
    """What may not be seen is not there; what may not be done is refused."""
    client.create_issue(fields(server))
    assert client.my_permissions("DEMO", permissions="CREATE_ISSUES")["permissions"]["CREATE_ISSUES"]["havePermission"]
    server.deny("CREATE_ISSUES", "EDIT_ISSUES", "ADD_COMMENTS", "TRANSITION_ISSUES", "LINK_ISSUES")
    asked: Any = client.my_permissions("DEMO", permissions="CREATE_ISSUES")
    assert not asked["permissions"]["CREATE_ISSUES"]["havePermission"]
    assert refused(client.create_issue, fields(server))[0] == 403
    assert refused(client.issue("DEMO-1").update, fields={"summary": "x"})[0] == 403
    assert refused(client.add_comment, "DEMO-1", rich(server, "x"))[0] == (403 if server.flavour == "cloud" else 400)
    assert refused(client.add_simple_link, "DEMO-1", {"url": "https://ci", "title": "x"})[0] == 403
    assert client.transitions("DEMO-1") == []
    server.deny("BROWSE_PROJECTS")
    assert refused(client.issue, "DEMO-1") == (
        404,
        {"errorMessages": ["Issue does not exist or you do not have permission to see it."], "errors": {}},
    )
    assert refused(client.project, "DEMO")[0] == 404
    assert refused(client.search_issues, "project = DEMO")[0] == 400


def test_a_rate_limit_says_when_to_come_back(client: JIRA, server: JiraServer) -> None:
    """429 with Retry-After in whole seconds, until the window is over."""
    now = [1000.0]
    server.use_clock(lambda: now[0])
    server.limit(2, 30)
    client.myself()
    now[0] += 10.5
    client.myself()
    with pytest.raises(JIRAError) as caught:
        client.myself()
    assert caught.value.status_code == 429
    assert caught.value.response is not None
    assert caught.value.response.headers["Retry-After"] == "20"
    now[0] += 20
    client.myself()
    server.limit(None)


def test_an_answer_can_be_lost_after_the_issue_was_created(client: JIRA, server: JiraServer) -> None:
    """A fault with act_first: HTTP 500, and the issue is there."""
    server.faults.status(500, path="/issue$", method="POST", times=1, act_first=True)
    assert refused(client.create_issue, fields(server))[0] == 500
    assert [issue.key for issue in server.issues] == ["DEMO-1"]
    assert server.requests.by_route[f"POST /rest/api/{'3' if server.flavour == 'cloud' else '2'}/issue"] == 1
