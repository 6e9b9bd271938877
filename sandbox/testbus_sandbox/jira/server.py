"""A running Jira: where it is, what it has, and what its users can make it do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_sandbox.errors import UnknownServerError
from testbus_sandbox.jira import page
from testbus_sandbox.jira.http import MAX_BYTES
from testbus_sandbox.jira.models import ISSUE_TYPES, PERMISSIONS, Named
from testbus_sandbox.jira.routes import VERSIONS, RestApi, fault_body
from testbus_sandbox.jira.tracker import Tracker
from testbus_sandbox.server import HOST, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from testbus_sandbox.faults import Faults
    from testbus_sandbox.jira.models import Comment, Issue
    from testbus_sandbox.server import LoopThread, Traffic

#: The only user's name; Cloud knows it with the token, Data Center the token alone.
USER: Final = "testbus@example.com"


def known_flavour(flavour: str) -> str:
    """Return the flavour; raise UnknownServerError when there is no such Jira."""
    if flavour not in VERSIONS:
        raise UnknownServerError(f"there is no Jira of the flavour {flavour!r}: use {' or '.join(VERSIONS)}")
    return flavour


class JiraServer:
    """A Jira on a server of its own; every method may be called from any thread."""

    def __init__(self, loop: LoopThread, projects: Sequence[str], flavour: str) -> None:
        """Make one of the `flavour` cloud or datacenter, with projects of these keys; nothing listens yet."""
        #: cloud or datacenter.
        self.flavour = flavour
        #: Key of the first project.
        self.project = projects[0]
        #: Whom the token belongs to.
        self.user = USER
        #: API token (cloud) or personal access token (datacenter).
        self.token = "sandbox-jira"  # noqa: S105 - opens nothing but this server
        named = {key: Named(str(10000 + n), key, key.title()) for n, key in enumerate(projects)}
        self._tracker = Tracker(named, flavour)
        self._api = RestApi(self._tracker, self.user, self.token)
        #: What it runs on.
        self.server = Server(loop, error_body=fault_body, max_bytes=MAX_BYTES)
        self.server.app.add_routes([*self._api.routes(), *page.routes(self._tracker)])

    @property
    def url(self) -> str:
        """The address that clients are given, for example `http://127.0.0.1:40003`."""
        return f"http://{HOST}:{self.server.port}"

    @property
    def page(self) -> str:
        """Address of the page that shows its issues."""
        return f"{self.url}/ui/"

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Every issue as it is now, with its comments, the oldest first."""
        return self._tracker.issues

    @property
    def comments(self) -> tuple[Comment, ...]:
        """The comments of all issues."""
        return tuple(comment for issue in self.issues for comment in issue.comments)

    @property
    def faults(self) -> Faults:
        """What it does wrong."""
        return self.server.faults

    @property
    def requests(self) -> Traffic:
        """How many requests it received, by method and route."""
        return self.server.traffic

    def lag(self, seconds: float) -> None:
        """Let searches see what is written from now on only after so many seconds; GET sees it at once."""
        self._tracker.lag_s = seconds

    def use_clock(self, clock: Callable[[], float]) -> None:
        """Take the time from a function that returns seconds since 1970: index lag and rate limit go by it."""
        self._tracker.clock = clock

    def limit(self, requests: int | None, seconds: float = 60.0) -> None:
        """Answer 429 to more than so many requests in so many seconds; None takes the limit off."""
        self._api.rate = None if requests is None else (requests, seconds)

    def require(self, field: str, name: str, issue_type: str = ISSUE_TYPES[0].name) -> None:
        """Demand a field, as `customfield_10010`, of every new issue of a type in the first project."""
        self._tracker.required.setdefault((self.project, issue_type), {})[field] = name

    def deny(self, *permissions: str) -> None:
        """Take permissions, as CREATE_ISSUES, from the user; without any, give all of them back."""
        self._tracker.permissions = set(PERMISSIONS) - set(permissions)

    def close(self, key: str, *, for_good: bool = False) -> None:
        """Do what a person does who has repaired it; `for_good` in a workflow that lets nobody reopen."""
        self._tracker.can_reopen = not for_good
        self._tracker.close(key)

    def delete(self, key: str) -> None:
        """Do what a person does who does not want the issue."""
        self._tracker.delete(key)

    def edit(self, key: str, **fields: object) -> None:
        """Do what a person does who changes fields of the issue."""
        self._tracker.edit(key, fields, documents=self.flavour == "cloud")
