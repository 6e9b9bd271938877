"""Jira by its own Python client, with every answer sorted into what is to be done."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import requests
from jira import JIRA
from jira.exceptions import JIRAError
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from testbus_consumers.errors import SecretError, TargetDownError
from testbus_consumers.jira import adf, wiki
from testbus_consumers.jira.errors import BlockedError, DeniedError, RateLimitedError, RefusedError, UnreachableError
from testbus_consumers.runtime import check_leases, metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbus_consumers.jira.document import Markup
    from testbus_consumers.jira.settings import JiraSettings


#: What is done when an issue is created.
CREATE: Final = "create an issue"

#: HTTP statuses by which something is refused.
_REFUSALS: Final = frozenset(range(400, 500)) - {408, 429}

#: Headers of Jira's own that come with pages: Data Center refuses a log-in with one.
_LOG_IN: Final = ("X-Seraph-LoginReason", "X-Authentication-Denied-Reason")

#: Seconds to wait when a rate limit does not say.
_UNSAID_S: Final = 30

#: Characters of an answer that a message tells.
_DETAILS_CHARS: Final = 500

#: HTTP statuses.
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER = 401, 403, 404, 429, 500

#: Those that may be others later: a time-out on the way, a conflict, an address or version that is not Jira's.
_PASSING: Final = frozenset({0, 408, 409, 410})

#: Field of a new issue → the setting that it comes from.
_SETTINGS: Final = {
    "project": "see consumers.jira.project",
    "issuetype": "see consumers.jira.issue_type",
    "labels": "see consumers.jira.labels",
}


@contextmanager
def sorted_out(what: str, where: str) -> Iterator[None]:
    """Turn everything that a call of the library can raise into the error that says what is to be done.

    Raises RefusedError, DeniedError, BlockedError, RateLimitedError, UnreachableError, TargetDownError.
    """
    try:
        yield
    except JIRAError as error:
        raise _meaning(error, what, where) from None
    except requests.RequestException as error:
        kind = UnreachableError if _never_sent(error) else TargetDownError
        raise kind(f"{what}: {where} cannot be reached: {type(error).__name__}") from None
    except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        # What the library makes of an answer that is not Jira's: the page of a proxy, or of a login.
        raise TargetDownError(f"{what}: {where} does not answer as Jira does: {type(error).__name__}") from None


def _meaning(error: JIRAError, what: str, where: str) -> Exception:
    status, response = int(error.status_code or 0), error.response
    body = _body(response)
    explained = f"{what}: {where} answers {status}{_details(body)}"
    if status in _REFUSALS and not _is_jiras(response):
        return BlockedError(f"{explained}: that is a page, and none of Jira's: a proxy or a firewall before it answers")
    if status == _UNAUTHORISED:
        return DeniedError(
            f"{explained}: it does not know the credentials. Cloud wants consumers.jira.user (the e-mail address) and "
            "an API token, Data Center a personal access token without user"
        )
    if status == _FORBIDDEN:
        return DeniedError(
            f"{explained}: the account may not do this: give it the permission in Jira, see `testbus check`"
        )
    if status == _TOO_MANY:
        return _limited(response, explained)
    if status in _PASSING or status >= _SERVER:
        return TargetDownError(explained)
    hint = "; is it there, and may the account see it?" if status == _NOT_FOUND else ""
    if what == CREATE:
        # Nowhere else: a field that a transition wants has no place in a new issue.
        hint += _remedies(body)
    return RefusedError(f"{explained}{hint}", status=status)


def _limited(response: Any, explained: str) -> RateLimitedError:
    named = str(response.headers.get("Retry-After") or "") if response is not None else ""
    seconds = int(named) if named.isdecimal() else _UNSAID_S
    return RateLimitedError(f"{explained}; it asks to wait {seconds} s", timedelta(seconds=seconds))


def _remedies(body: Mapping[str, Any]) -> str:
    """Return which setting is to be changed for which field."""
    faults = body.get("errors")
    named = faults if isinstance(faults, dict) else {}
    own = {"summary", "description", "comment"}
    answer = [
        _SETTINGS.get(name, f"give it a value under consumers.jira.fields.{name}") for name in named if name not in own
    ]
    return f"; {'; '.join(answer)}" if answer else ""


def _details(body: Mapping[str, Any]) -> str:
    messages, faults = body.get("errorMessages"), body.get("errors")
    parts = [str(one) for one in messages] if isinstance(messages, list) else []
    parts += [f"{name}: {text}" for name, text in faults.items()] if isinstance(faults, dict) else []
    parts += [str(body["message"])] if isinstance(body.get("message"), str) else []
    return f" ({'; '.join(parts)[:_DETAILS_CHARS]})" if parts else ""


def _body(response: Any) -> Mapping[str, Any]:
    try:
        body = response.json() if response is not None else {}
    except ValueError:
        body = {}
    return body if isinstance(body, dict) else {}


def _is_jiras(response: Any) -> bool:
    """Tell whether an answer is one of Jira's: JSON, or a refused log-in."""
    if response is None or any(name in response.headers for name in _LOG_IN):
        return True
    try:
        return isinstance(response.json(), dict)
    except ValueError:
        return False


def _never_sent(error: requests.RequestException) -> bool:
    """Tell whether no connection came about: then nothing can have been done."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError | ConnectTimeoutError)


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

#: What is asked to see whether Jira takes anything at all: it changes nothing.
_PROBE: Final = "ask who we are"


@dataclass(frozen=True, kw_only=True)
class SeenIssue:
    """An issue, as Jira shows it."""

    #: Its key; another one than asked for when it was moved to another project.
    key: str
    title: str
    #: Name of its status.
    status: str
    #: Whether its status is not of the category Done.
    open: bool
    #: When it was closed, or last changed.
    closed_at: datetime
    #: Its description, in the markup of the flavour; None when it has none.
    description: Any


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
                with sorted_out("ask what it is", self._where), closing(self._connect("2")) as jira:
                    answer = jira.server_info().get("deploymentType")
            except RefusedError as error:
                raise TargetDownError(f"{error} See consumers.jira.url") from None
            self._flavour = "cloud" if answer == "Cloud" else "datacenter"
        return self._flavour

    @property
    def markup(self) -> Markup:
        """Return the form of rich text that Jira takes."""
        return adf if self.flavour == "cloud" else wiki

    def create(self, fields: Mapping[str, Any]) -> str:
        """Create an issue and return its key."""
        with self._call(CREATE) as jira:
            return str(jira.create_issue(fields=dict(fields), prefetch=False).key)

    def find(self, project: str, label: str) -> list[SeenIssue]:
        """Return the issues of a project with a label, the oldest first, as the search index shows them."""
        query = f'project = "{project}" AND labels = "{label}" ORDER BY created ASC'
        with self._call(f"search for {label}") as jira:
            found: Any = jira.search_issues(query, maxResults=_FOUND, fields=_FIELDS)
            return [_seen(issue) for issue in found]

    def read(self, key: str) -> SeenIssue | None:
        """Return an issue as it is now; None when it is not there, or not to be seen."""
        try:
            with self._call(f"read {key}") as jira:
                return _seen(jira.issue(key, fields=_FIELDS))
        except RefusedError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def describe(self, issue: SeenIssue, description: Any) -> None:
        """Replace an issue's description; its watchers are not notified."""
        with self._call(f"change {issue.key}") as jira:
            # The library's own `update` reads the issue again afterwards, with all of its fields.
            url = jira._get_url(f"issue/{issue.key}")  # noqa: SLF001 as above
            jira._session.put(url, json={"fields": {"description": description}})  # noqa: SLF001 as above

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
            answer = jira.my_permissions(projectKey=project, permissions=",".join(PERMISSIONS))["permissions"]
        return tuple(name for name in PERMISSIONS if not answer.get(name, {}).get("havePermission"))

    def required(self, project: str, issue_type: str) -> dict[str, str]:
        """Return the fields that a new issue of a type must be given: id → name. RefusedError without such a type."""
        with self._call(f"ask for the fields of {issue_type} in {project}") as jira:
            if self.flavour == "cloud":
                answer = jira.createmeta(project, issuetypeNames=issue_type, expand="projects.issuetypes.fields")
                kinds = [kind for one in answer["projects"] for kind in one["issuetypes"] if kind["name"] == issue_type]
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
            with metrics.request("jira", what.partition(" ")[0]), sorted_out(what, self._where):
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


def _seen(issue: Any) -> SeenIssue:
    fields = issue.raw["fields"]
    status = fields["status"]
    closed = fields.get("statuscategorychangedate") or fields.get("resolutiondate") or fields["updated"]
    return SeenIssue(
        key=issue.key,
        title=str(fields.get("summary") or ""),
        status=str(status["name"]),
        open=status["statusCategory"]["key"] != _DONE,
        closed_at=datetime.strptime(closed, "%Y-%m-%dT%H:%M:%S.%f%z"),
        description=fields.get("description"),
    )
