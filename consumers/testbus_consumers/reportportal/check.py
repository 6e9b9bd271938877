"""Whether a ReportPortal target can be used: asked step by step, each with what to do where it does not hold.

What the server offers for this was read in the public sources of service-api 5.15.1 and of its development towards
6.0: `GET /api/info` (without a key), `GET /api/users` (from 6.0 on `/api/v1/users`): the key's own user with a role
for each project, and `GET /api/v1/{project}/settings` for every member. Nothing is written.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from testbus_consumers.errors import SecretError, TargetDownError
from testbus_consumers.reportportal import defects
from testbus_consumers.runtime.consumer import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_consumers.reportportal.client import ReportPortalClient
    from testbus_consumers.reportportal.transport import Reply

#: The version whose rules are tested with (major, minor).
TESTED: Final = (5, 15)

#: The first version in which this differs.
_CHANGED: Final = (6, 0)

#: Seconds that clocks may differ by; the header Date has whole seconds.
_SKEW_S: Final = 5.0

#: Roles that may look and not report: up to 5.15 an operator, from 6.0 on a viewer.
_LOOKING: Final = frozenset({"OPERATOR", "VIEWER"})

#: Roles that may report, before and since 6.0.
_REPORTING: Final = frozenset({"CUSTOMER", "MEMBER", "PROJECT_MANAGER", "EDITOR"})

#: Where the key's own user is found, the place of 5.x first.
_MYSELF: Final = ("/api/users", "/api/v1/users")

#: Projects that a message names.
_NAMED: Final = 10

_UNAUTHORIZED: Final = 401
_OK: Final = 200


def findings(client: ReportPortalClient) -> list[Finding]:
    """Return what was found, in the order in which it was looked at; what cannot be looked at is left out."""
    try:
        reply = client.ask("/api/info")
    except TargetDownError as error:
        return [Finding(what="reachability", level=Level.FAILED, detail=str(error))]
    build = reply.json.get("build") if isinstance(reply.json, dict) else None
    version = build.get("version") if isinstance(build, dict) else None
    if reply.status != _OK or not version:
        detail = (
            f"{client.where}: {reply.status} from /api/info, and not as ReportPortal answers: is the endpoint "
            "its address, without a path of the page?"
        )
        return [Finding(what="reachability", level=Level.FAILED, detail=detail)]
    answered = f"{client.where} answers in {reply.took_s * 1000:.0f} ms"
    return [
        Finding(what="reachability", level=Level.OK, detail=answered),
        _version(str(version)),
        *_clock(reply),
        *_rights(client),
    ]


def _version(version: str) -> Finding:
    numbers = version.partition("-")[0].split(".")[: len(TESTED)]
    found = tuple(int(part) for part in numbers if part.isdecimal())
    tested = ".".join(map(str, TESTED))
    if len(found) < len(TESTED):
        level, detail = Level.WARNING, f"{version}: not a version that can be compared; tested with {tested}"
    elif found < TESTED:
        level, detail = (
            Level.WARNING,
            f"{version} is older than {tested}, which this was tested with: upgrade if you can",
        )
    elif found >= _CHANGED:
        level = Level.WARNING
        detail = (
            f"{version} is newer than {tested}, which this was tested with. From 6.0 on `project` has to be the "
            "project's key, and the key's user an editor of it; no call that 6.0 announced to remove is used"
        )
    elif found > TESTED:
        level, detail = Level.OK, f"{version}; tested with {tested}"
    else:
        level, detail = Level.OK, version
    return Finding(what="version", level=level, detail=detail)


def _clock(reply: Reply) -> Iterator[Finding]:
    try:
        ahead = parsedate_to_datetime(reply.headers["Date"]).timestamp() + 0.5 - reply.at
    except (KeyError, ValueError):
        return
    off = abs(ahead) - reply.took_s / 2
    if off <= _SKEW_S:
        yield Finding(what="clock", level=Level.OK, detail=f"within {_SKEW_S:.0f} s of this machine's")
        return
    side = "ahead of" if ahead > 0 else "behind"
    detail = (
        f"the server's clock is {abs(ahead):.0f} s {side} this machine's: let both keep time by NTP. Launches show the "
        "runners' times, and ReportPortal ends by its own clock what it takes for forgotten"
    )
    yield Finding(what="clock", level=Level.WARNING, detail=detail)


def _rights(client: ReportPortalClient) -> Iterator[Finding]:
    settings = client.settings
    try:
        key = settings.api_key.reveal()
    except SecretError as error:
        yield Finding(what="credentials", level=Level.FAILED, detail=str(error))
        return
    try:
        user = _myself(client, key)
        reply = client.ask(f"/api/v1/{quote(settings.project, safe='')}/settings", key=key)
    except TargetDownError as error:
        yield Finding(what="credentials", level=Level.FAILED, detail=str(error))
        return
    if user is not None:
        yield Finding(what="credentials", level=Level.OK, detail=f"the key is {user.get('userId')}'s")
    if reply.status != _OK:
        yield Finding(what="project", level=Level.FAILED, detail=_no_project(client, reply, user))
        return
    yield Finding(what="project", level=Level.OK, detail=settings.project)
    yield _role(user, settings.project)
    for fault in defects.faults(settings.defects, reply.json if isinstance(reply.json, dict) else {}):
        yield Finding(what="defects", level=Level.WARNING, detail=f"{fault}. Such failures will be To Investigate")


def _myself(client: ReportPortalClient, key: str) -> dict[str, Any] | None:
    """Return the user whose key it is, None where the server does not tell; raises TargetDownError."""
    for path in _MYSELF:
        reply = client.ask(path, key=key)
        if reply.status == _UNAUTHORIZED:
            raise TargetDownError(
                f"{client.where} does not accept the API key (401): make one on the profile page of a member of the "
                "project, and put it where api_key says"
            )
        if reply.status == _OK and isinstance(reply.json, dict) and "userId" in reply.json:
            return reply.json
    return None


def _no_project(client: ReportPortalClient, reply: Reply, user: dict[str, Any] | None) -> str:
    code = reply.json.get("errorCode") if isinstance(reply.json, dict) else None
    there = list(_projects(user))
    names = ", ".join(there[:_NAMED]) + (", …" if len(there) > _NAMED else "")
    known = f"; the key's user is a member of: {names}" if there else ""
    return (
        f"{client.where}: {reply.status}/{code or '-'}: no such project, or the key's user is not a member of it: "
        f"correct `project`, or add the user to it{known}"
    )


def _role(user: dict[str, Any] | None, project: str) -> Finding:
    if user is None:
        detail = "the server does not tell the key's user and role: a first run will show whether it may report"
        return Finding(what="rights", level=Level.WARNING, detail=detail)
    name = user.get("userId")
    if user.get("userRole") == "ADMINISTRATOR":
        detail = f"{name} is an administrator: a member with the least role that may report would do"
        return Finding(what="rights", level=Level.OK, detail=detail)
    role = _projects(user).get(project.lower(), "")
    if role in _REPORTING:
        return Finding(what="rights", level=Level.OK, detail=f"{name} may report ({role})")
    if role in _LOOKING:
        detail = f"{name} is {role} in {project} and may not report: give it the role member (editor from 6.0 on)"
        return Finding(what="rights", level=Level.FAILED, detail=detail)
    detail = f"{name} has the role {role or 'unknown'} in {project}, which this does not know: try with a first run"
    return Finding(what="rights", level=Level.WARNING, detail=detail)


def _projects(user: dict[str, Any] | None) -> dict[str, str]:
    """Return the user's projects (name, or key from 6.0 on, in small letters) with its role in each."""
    assigned = (user or {}).get("assignedProjects")
    if not isinstance(assigned, dict):
        return {}
    return {str(name).lower(): str(one.get("projectRole")).upper() for name, one in assigned.items()}
