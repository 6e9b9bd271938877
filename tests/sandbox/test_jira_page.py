"""What people see of the sandbox's Jira."""

from __future__ import annotations

import pytest
import requests

from testbus_sandbox import NotRunningError, Sandbox, UnknownServerError
from testbus_sandbox.jira import adf


def document(*content: object) -> dict[str, object]:
    """Return a document of these nodes."""
    return {"type": "doc", "version": 1, "content": list(content)}


def text(words: str, *marks: object) -> dict[str, object]:
    """Return a text."""
    return {"type": "text", "text": words, **({"marks": list(marks)} if marks else {})}


LINK = {"type": "link", "attrs": {"href": "https://ci/1"}}
SCRIPT = {"type": "link", "attrs": {"href": "javascript:alert(1)"}}
TABLE = {
    "type": "table",
    "content": [
        {"type": "tableRow", "content": [{"type": "tableCell", "content": [{"type": "paragraph", "content": [cell]}]}]}
        for cell in (text("run <1>", LINK), text("run 2", {"type": "code"}))
    ],
}


def test_the_page_shows_issues_with_structure_comments_and_links() -> None:
    """A document as headings, tables and links; nothing in it becomes markup of the page."""
    with Sandbox(reportportals=(), slack=False, jira=True) as sandbox:
        jira = sandbox.jira
        session = requests.Session()
        session.auth = (jira.user, jira.token)
        assert "No issue yet" in session.get(jira.page, timeout=5).text
        heading = {"type": "heading", "attrs": {"level": 3}, "content": [text("Seen", SCRIPT)]}
        issue = {
            "project": {"key": jira.project},
            "issuetype": {"name": "Bug"},
            "summary": "<b>It</b> broke",
            "description": document(heading, TABLE),
            "labels": ["x"],
        }
        assert session.post(f"{jira.url}/rest/api/3/issue", json={"fields": issue}, timeout=5).status_code == 201
        session.post(f"{jira.url}/rest/api/2/issue/DEMO-1/comment", json={"body": "see [it|https://ci/2]"}, timeout=5)
        link = {"object": {"url": "https://ci/3", "title": "Build"}}
        session.post(f"{jira.url}/rest/api/3/issue/DEMO-1/remotelink", json=link, timeout=5)
        shown = session.get(f"{jira.url}/browse/DEMO-1", timeout=5).text
        assert session.get(jira.url, timeout=5).text.count("DEMO-1") == 2
        assert session.get(f"{jira.url}/browse/DEMO-2", timeout=5).status_code == 404
    for wanted in (
        "&lt;b&gt;It&lt;/b&gt; broke",
        "<h2>Seen</h2>",
        '<a href="https://ci/1" rel="noreferrer">run &lt;1&gt;</a>',
        "<code>run 2</code>",
        '<a href="https://ci/2" rel="noreferrer">it</a>',
        '<a href="https://ci/3" rel="noreferrer">Build</a>',
    ):
        assert wanted in shown
    assert jira.issues[0].text == "Seen\nrun <1>\nrun 2"
    assert [comment.text for comment in jira.comments] == ["see [it|https://ci/2]"]


@pytest.mark.parametrize(
    "broken",
    [
        "text",
        {"type": "doc", "version": 2, "content": []},
        {"type": "doc", "version": 1},
        document({"type": "paragraph", "content": [text("")]}),
        document(text("outside a paragraph")),
        document({"type": "heading", "attrs": {"level": 9}, "content": []}),
        document({"type": "table", "content": []}),
        document({"type": "bulletList", "content": [{"type": "paragraph"}]}),
        document({"type": "paragraph", "content": [text("x", {"type": "code"}, {"type": "strong"})]}),
        document({"type": "paragraph", "content": [text("x", {"type": "link"})]}),
        document({"type": "paragraph", "content": "x"}),
        document({"type": "paragraph", "content": [{"type": "text", "text": "x", "marks": "code"}]}),
    ],
)
def test_what_an_editor_would_not_take_is_no_document(broken: object) -> None:
    """Version, structure and marks are checked."""
    assert not adf.valid(broken)


def test_a_sandbox_without_jira_says_so() -> None:
    """Not running, not asked for, and of no known flavour."""
    with pytest.raises(NotRunningError):
        _ = Sandbox(jira=True).jira
    with Sandbox(reportportals=(), slack=True) as sandbox, pytest.raises(UnknownServerError, match="jira=True"):
        _ = sandbox.jira
    with pytest.raises(UnknownServerError, match="cloud or datacenter"):
        Sandbox(jira=True, jira_flavour="server")
