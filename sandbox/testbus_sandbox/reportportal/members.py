"""Whose key it is, and what that user may do: the user's own page of the API, and the role in the project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from testbus_sandbox.reportportal.http import answer, denied_without_key
from testbus_sandbox.reportportal.store import PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Roles in a project, with ReportPortal's own order: from CUSTOMER on one may report.
ROLES: Final[Mapping[str, int]] = {"OPERATOR": 0, "CUSTOMER": 1, "MEMBER": 2, "PROJECT_MANAGER": 3}


@dataclass(slots=True)
class Member:
    """The only user of a server."""

    #: One of ROLES; may be changed while the server runs.
    role: str = "MEMBER"
    #: USER or ADMINISTRATOR, who may do everything.
    user_role: str = "USER"

    @property
    def may_report(self) -> bool:
        """Tell whether the user may start, finish and log."""
        return self.user_role == "ADMINISTRATOR" or ROLES[self.role] >= ROLES["CUSTOMER"]


def routes(member: Member, project: str, api_key: str) -> list[web.RouteDef]:
    """Return the calls about the user."""

    async def myself(request: web.Request) -> web.Response:
        """GET /users: the user whose key it is."""
        return denied_without_key(request, api_key) or answer(_resource(member, project))

    return [web.get("/api/users", myself), web.get("/api/users/", myself)]


def _resource(member: Member, project: str) -> dict[str, Any]:
    """Return the user as JSON."""
    assigned = {"projectId": PROJECT_ID, "projectRole": member.role, "entryType": "INTERNAL"}
    return {
        "id": 1,
        "userId": "sandbox",
        "email": "sandbox@example.com",
        "fullName": "Sandbox",
        "active": True,
        "accountType": "INTERNAL",
        "userRole": member.user_role,
        "photoLoaded": True,
        "assignedProjects": {project: assigned},
    }
