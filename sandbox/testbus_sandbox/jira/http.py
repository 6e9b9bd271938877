"""What every request to the REST API has: who calls, how often, and how errors are answered."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from testbus_sandbox.errors import JiraError
from testbus_sandbox.jira import models

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from testbus_sandbox.jira.tracker import Tracker

#: Largest request, in bytes.
MAX_BYTES: Final = 10 * 1024 * 1024

#: Entries of one page, unless the request says otherwise, and at most.
PAGE: Final = 50
MAX_PAGE: Final = 100

#: What needs no credentials.
_OPEN: Final = "serverInfo"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and how to answer it."""

    request: web.Request
    #: `2`, `3` or `latest`.
    version: str
    #: Writes JSON for it.
    json: models.Payloads

    @property
    def documents(self) -> bool:
        """Whether rich text is an Atlassian document in this version."""
        return self.version == "3"

    @property
    def root(self) -> str:
        """The server's address."""
        return str(self.request.url.origin())

    def part(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.match_info[name]

    def query(self, name: str) -> str | None:
        """Return a query parameter."""
        return self.request.query.get(name)

    async def body(self) -> dict[str, Any]:
        """Return the body; raise JiraError 400 for what is no JSON object."""
        try:
            body = json.loads(await self.request.read() or b"null")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise JiraError(400, "Invalid request payload. Refer to the REST API documentation and try again.")
        return body

    def answer(self, data: object, status: int = 200) -> web.Response:
        """Return JSON."""
        return web.json_response(data, status=status)

    def page(self, name: str, entries: Sequence[object]) -> web.Response:
        """Return a page of entries under a name, by startAt and maxResults."""
        start, size = number(self.query("startAt"), 0), number(self.query("maxResults"), PAGE)
        shown = list(entries[start : start + size])
        last = start + size >= len(entries)
        return self.answer({"startAt": start, "maxResults": size, "total": len(entries), "isLast": last, name: shown})


class Api:
    """Guards the routes: credentials, rate limit, and errors as Jira writes them."""

    def __init__(self, tracker: Tracker, user: str, token: str) -> None:
        """Take the tracker, and who the only user is."""
        self.tracker = tracker
        #: Requests that are taken in how many seconds; None sets no limit.
        self.rate: tuple[int, float] | None = None
        self._user = user
        self._token = token
        self._window = (0.0, 0)

    def guarded(
        self, handler: Callable[[Call], Awaitable[web.Response]], version: str
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return a handler with everything around it."""

        async def around(request: web.Request) -> web.Response:
            call = Call(request, version, models.Payloads(str(request.url.origin()), version, self.tracker.flavour))
            if (limited := self._limited()) is not None:
                return limited
            if not self._known(request) and not request.path.endswith(_OPEN):
                return _unauthorised(self.tracker.flavour)
            try:
                return await handler(call)
            except JiraError as error:
                return call.answer(models.faults(error.messages, error.fields), error.status)

        return around

    def _known(self, request: web.Request) -> bool:
        """Tell whether the credentials are right: e-mail and token for Cloud, a personal access token otherwise."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if self.tracker.flavour != "cloud":
            return scheme.lower() == "bearer" and given == self._token
        if scheme.lower() != "basic":
            return False
        try:
            return base64.b64decode(given, validate=True).decode() == f"{self._user}:{self._token}"
        except (binascii.Error, UnicodeDecodeError):
            return False

    def _limited(self) -> web.Response | None:
        """Return the refusal of one request too many."""
        if self.rate is None:
            return None
        most, seconds = self.rate
        now = self.tracker.clock()
        since, taken = self._window
        if now - since >= seconds:
            since, taken = now, 0
        if taken < most:
            self._window = (since, taken + 1)
            return None
        headers = {"Retry-After": str(math.ceil(since + seconds - now)), "X-RateLimit-Remaining": "0"}
        return web.json_response(models.faults(["Rate limit exceeded."], {}), status=429, headers=headers)


def number(text: str | None, default: int) -> int:
    """Return a number of a query; raise JiraError 400 for what is none. Pages are cut to MAX_PAGE."""
    if text in (None, ""):
        return default
    if not str(text).isdecimal():
        raise JiraError(400, f"'{text}' is not a number.")
    return min(int(str(text)), MAX_PAGE if default == PAGE else int(str(text)))


def wanted_fields(query: Mapping[str, str]) -> tuple[str, ...]:
    """Return the fields that a query asks for: repeated, or separated by commas."""
    every = query.getall("fields", []) if hasattr(query, "getall") else []
    return tuple(name.strip() for text in every for name in text.split(",") if name.strip())


def _unauthorised(flavour: str) -> web.Response:
    """Return what an unknown caller gets: plain text from Cloud, JSON from Data Center."""
    message = "Client must be authenticated to access this resource."
    headers = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED", "WWW-Authenticate": 'OAuth realm="sandbox"'}
    if flavour == "cloud":
        return web.Response(status=401, text=message, headers=headers)
    return web.json_response({"message": message, "status-code": 401}, status=401, headers=headers)
