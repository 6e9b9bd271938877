"""Jira by its own Python client, with every answer sorted into what is to be done."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from jira import JIRA

from testbus_consumers.errors import SecretError, TargetDownError
from testbus_consumers.jira import adf, http_errors, wiki
from testbus_consumers.jira.errors import BlockedError, DeniedError, RateLimitedError, RefusedError
from testbus_consumers.runtime import check_leases, metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbus_consumers.jira.document import Markup
    from testbus_consumers.jira.settings import JiraSettings

#: Fields of an issue that are looked at.
_FIELDS: Final = "summary,description,status,resolutiondate,statuscategorychangedate,updated"

#: Issues with one label that are looked at, and comments on one issue.
_FOUND: Final = 50

#: Category of statuses that close an issue.
_DONE: Final = "done"

#: Permissions that filing takes.
PERMISSIONS: Final = ("BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "ADD_COMMENTS")

#: HTTP statuses: of what is not taken as it is, what may not be done, what is not there.
_BAD_REQUEST: Final = 400
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404

#: What is asked to see whether Jira takes anything at all: it changes nothing.
_PROBE: Final = "ask who we are"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An issue, as Jira shows it."""

    #: Its key; another one than asked for when it was moved to another project.
    key: str
    #: Its title.
    title: str
    #: Name of its status.
    status: str
    #: Whether its status is not of the category Done.
    open: bool
    #: When it was closed, or last changed.
    closed_at: datetime
    #: Its description, in the markup of the flavour; None when it has none.
    description: Any
    #: The library's own object.
    resource: Any


class JiraClient:
    """Creates, finds, reads and changes issues."""

    def __init__(self, settings: JiraSettings) -> None:
        """Take the settings; nothing is connected yet, and the token is read when it is used."""
        self.settings = settings
        self._where = f"Jira at {settings.url}"
        self._lock = threading.Lock()
        self._library: JIRA | None = None
        self._flavour: str | None = settings.flavour

    @property
    def flavour(self) -> str:
        """Return `cloud` or `datacenter`; Jira is asked once, if the settings do not say."""
        if self._flavour is None:
            try:
                with http_errors.sorted_out("ask what it is", self._where), closing(self._connect("2")) as jira:
                    told = jira.server_info().get("deploymentType")
            except RefusedError as error:
                raise TargetDownError(f"{error} See consumers.jira.url") from None
            self._flavour = "cloud" if told == "Cloud" else "datacenter"
        return self._flavour

    @property
    def markup(self) -> Markup:
        """Return the form of rich text that Jira takes."""
        return adf if self.flavour == "cloud" else wiki

    def create(self, fields: Mapping[str, Any]) -> str:
        """Create an issue and return its key."""
        with self._call(http_errors.CREATE) as jira:
            return str(jira.create_issue(fields=dict(fields), prefetch=False).key)

    def find(self, project: str, label: str) -> list[Seen]:
        """Return the issues of a project with a label, the oldest first, as the search index shows them."""
        query = f'project = "{project}" AND labels = "{label}" ORDER BY created ASC'
        with self._call(f"search for {label}") as jira:
            found: Any = jira.search_issues(query, maxResults=_FOUND, fields=_FIELDS)
            return [_seen(issue) for issue in found]

    def read(self, key: str) -> Seen | None:
        """Return an issue as it is now; None when it is not there, or not to be seen."""
        try:
            with self._call(f"read {key}") as jira:
                return _seen(jira.issue(key, fields=_FIELDS))
        except RefusedError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def describe(self, issue: Seen, description: Any) -> None:
        """Replace an issue's description; its watchers are not told."""
        with self._call(f"change {issue.key}"):
            issue.resource.update(fields={"description": description})

    def comment(self, key: str, body: Any) -> str:
        """Add a comment and return its id."""
        with self._call(f"comment on {key}") as jira:
            return str(jira.add_comment(key, body).id)

    def comments(self, key: str) -> list[tuple[str, Any]]:
        """Return ids and bodies of an issue's latest comments."""
        with self._call(f"read the comments of {key}") as jira:
            found = jira.comments(key, max_results=_FOUND, order_by="-created")
            return [(str(one.id), (one.raw or {}).get("body")) for one in found]

    def reopen(self, key: str) -> bool:
        """Take the first transition that leads out of the category Done and asks for nothing; False without one.

        A transition that wants a field, or that Jira refuses, is a matter for people.
        """
        with self._call(f"reopen {key}") as jira:
            ways = [one for one in jira.transitions(key, expand="transitions.fields") if _opens(one)]
        for way in ways:
            try:
                with self._call(f"reopen {key}") as jira:
                    jira.transition_issue(key, way["id"])
            except RefusedError as error:
                if error.status != _BAD_REQUEST:
                    raise
            else:
                return True
        return False

    def lacks(self, project: str) -> tuple[str, ...]:
        """Return the permissions that filing takes and the account does not have in a project."""
        with self._call(f"ask for the permissions in {project}") as jira:
            told = jira.my_permissions(projectKey=project, permissions=",".join(PERMISSIONS))["permissions"]
        return tuple(name for name in PERMISSIONS if not told.get(name, {}).get("havePermission"))

    def required(self, project: str, issue_type: str) -> dict[str, str]:
        """Return the fields that a new issue of a type must be given: id → name. RefusedError without such a type."""
        with self._call(f"ask for the fields of {issue_type} in {project}") as jira:
            if self.flavour == "cloud":
                told = jira.createmeta(project, issuetypeNames=issue_type, expand="projects.issuetypes.fields")
                kinds = [kind for one in told["projects"] for kind in one["issuetypes"] if kind["name"] == issue_type]
                fields = [{"fieldId": name, **field} for kind in kinds for name, field in kind["fields"].items()]
            else:
                kinds = [kind.raw for kind in jira.project_issue_types(project) if kind.name == issue_type]
                fields = [field.raw for kind in kinds for field in jira.project_issue_fields(project, kind["id"])]
        if not kinds:
            raise RefusedError(f"{project} has no issue type {issue_type!r}: see consumers.jira.issue_type")
        return {
            field["fieldId"]: field["name"]
            for field in fields
            if field.get("required") and not field.get("hasDefaultValue")
        }

    def version(self) -> str:
        """Return what Jira says it is, and that it knows the account."""
        with self._call(_PROBE) as jira:
            info, user = jira.server_info(), jira.myself()
        return f"Jira {info.get('deploymentType')} {info.get('version')} as {user.get('displayName')}"

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            library, self._library = self._library, None
        if library is not None:
            library.close()  # type: ignore[no-untyped-call]

    @contextmanager
    def _call(self, what: str) -> Iterator[JIRA]:
        """Give the library, and sort out what it raises; credentials that were refused are read anew next time."""
        library = self._connected()
        check_leases()
        try:
            # The first word of what is asked: the rest names issues and projects.
            with metrics.request("jira", what.partition(" ")[0]), http_errors.sorted_out(what, self._where):
                yield library
        except BlockedError as error:
            if what != _PROBE and self._answers():
                raise RefusedError(
                    f"{error}. Other requests get through: let this one, or leave the run out, then redrive",
                    status=_FORBIDDEN,
                ) from None
            raise
        except DeniedError:
            self.close()
            raise

    def _answers(self) -> bool:
        """Tell whether Jira takes other requests."""
        try:
            with self._call(_PROBE) as jira:
                return bool(jira.myself())
        except (TargetDownError, RateLimitedError, RefusedError):
            return False

    def _connected(self) -> JIRA:
        """Return the library's client, which is made when it is first used: after any fork."""
        flavour = self.flavour
        with self._lock:
            if self._library is None:
                self._library = self._connect("3" if flavour == "cloud" else "2")
                # What the library would have asked for itself, with one request more: it picks the search by it.
                self._library.deploymentType = "Cloud" if flavour == "cloud" else "Server"
                self._library._version = (1001, 0, 0) if flavour == "cloud" else (9, 0, 0)  # noqa: SLF001 as above
            return self._library

    def _connect(self, version: str) -> JIRA:
        try:
            token = self.settings.token.reveal()
        except SecretError as error:
            raise TargetDownError(f"{self._where}: {error}") from None
        who: dict[str, Any] = (
            {"token_auth": token} if self.settings.user is None else {"basic_auth": (self.settings.user, token)}
        )
        library = JIRA(
            self.settings.url,
            options={"rest_api_version": version, "check_update": False},
            get_server_info=False,
            # The library would sleep, and create a second issue after a lost answer: the runtime retries.
            max_retries=0,
            timeout=self.settings.timeout_s,
            logging=False,
            **who,
        )
        # The credentials go to the configured address, and nowhere else.
        library._session.max_redirects = 0  # noqa: SLF001 the library has no setting for it
        return library


def _opens(transition: Any) -> bool:
    """Tell whether a transition leads out of the category Done, and can be taken without saying more."""
    needed = (
        name
        for name, field in (transition.get("fields") or {}).items()
        if field.get("required") and not field.get("hasDefaultValue")
    )
    return transition["to"]["statusCategory"]["key"] != _DONE and next(needed, None) is None


def _seen(issue: Any) -> Seen:
    fields = issue.raw["fields"]
    status = fields["status"]
    closed = fields.get("statuscategorychangedate") or fields.get("resolutiondate") or fields["updated"]
    return Seen(
        key=issue.key,
        title=str(fields.get("summary") or ""),
        status=str(status["name"]),
        open=status["statusCategory"]["key"] != _DONE,
        closed_at=datetime.strptime(closed, "%Y-%m-%dT%H:%M:%S.%f%z"),
        description=fields.get("description"),
        resource=issue,
    )
