"""Searching: pages by number for Data Center; by token, without a total, for Cloud, which took the old one away."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.errors import JiraError
from testbus_sandbox.jira import jql
from testbus_sandbox.jira.http import PAGE, Call, number, wanted_fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from testbus_sandbox.jira.tracker import Tracker

#: Ids that one search may ask to see as they are now.
MAX_RECONCILED: Final = 50

#: What the body of a search may have.
_PARAMETERS: Final = frozenset(
    {"jql", "startAt", "maxResults", "fields", "expand", "nextPageToken", "reconcileIssues", "validateQuery"}
)

#: https://developer.atlassian.com/changelog/#CHANGE-2046
_GONE: Final = (
    "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. "
    "A full migration guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046"
)

#: What Cloud says of a query without a restriction.
_UNBOUNDED: Final = "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."


class Searching:
    """The search of one Jira."""

    def __init__(self, tracker: Tracker) -> None:
        """Take the tracker."""
        self._tracker = tracker

    def table(self) -> list[tuple[str, str, Callable[[Call], Awaitable[web.Response]]]]:
        """Return the routes of this product."""
        if self._tracker.flavour != "cloud":
            return [("GET", "search", self._numbered), ("POST", "search", self._numbered)]
        return [
            ("GET", "search/jql", self._tokened),
            ("POST", "search/jql", self._tokened),
            ("GET", "search", self._gone),
            ("POST", "search", self._gone),
        ]

    async def _gone(self, _: Call) -> web.Response:
        raise JiraError(410, _GONE)

    async def _numbered(self, call: Call) -> web.Response:
        given = await _given(call)
        found = self._tracker.search(jql.parse(str(given.get("jql") or "")))
        start, size = number(_text(given, "startAt"), 0), number(_text(given, "maxResults"), PAGE)
        wanted = given["fields"] or ("*navigable",)
        shown = [call.json.issue(issue, wanted) for issue in found[start : start + size]]
        return call.answer({"startAt": start, "maxResults": size, "total": len(found), "issues": shown})

    async def _tokened(self, call: Call) -> web.Response:
        given = await _given(call)
        query = jql.parse(str(given.get("jql") or ""))
        if not query.clauses:
            raise JiraError(400, _UNBOUNDED)
        fresh = [str(one) for one in given["reconcileIssues"]]
        if len(fresh) > MAX_RECONCILED:
            raise JiraError(400, f"reconcileIssues: at most {MAX_RECONCILED} issues.")
        found = self._tracker.search(query, fresh)
        start, size = _place(_text(given, "nextPageToken")), number(_text(given, "maxResults"), PAGE)
        shown = [call.json.issue(issue, given["fields"]) for issue in found[start : start + size]]
        answer: dict[str, Any] = {"issues": shown, "isLast": start + size >= len(found)}
        if not answer["isLast"]:
            answer["nextPageToken"] = base64.b64encode(f"from:{start + size}".encode()).decode()
        return call.answer(answer)


async def _given(call: Call) -> dict[str, Any]:
    """Return the parameters of a search, from the query or from the body."""
    if call.request.method == "POST":
        body = await call.body()
        if unknown := set(body) - _PARAMETERS:
            raise JiraError(400, f'Unrecognized field "{min(unknown)}"')
        return body | {"fields": tuple(body.get("fields") or ()), "reconcileIssues": body.get("reconcileIssues") or ()}
    query = call.request.query
    return dict(query) | {
        "fields": wanted_fields(query),
        "reconcileIssues": [one for text in query.getall("reconcileIssues", []) for one in text.split(",") if one],
    }


def _text(given: dict[str, Any], name: str) -> str | None:
    return None if given.get(name) is None else str(given[name])


def _place(token: str | None) -> int:
    """Return where a page begins; raise JiraError 400 for a token that is none of ours."""
    if not token:
        return 0
    try:
        text = base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    if not text.startswith("from:"):
        raise JiraError(400, "The provided next page token is invalid or expired.")
    return int(text.removeprefix("from:"))
